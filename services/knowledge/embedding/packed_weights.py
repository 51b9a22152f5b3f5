"""The tensors of a packed model under the names of Hugging Face's BertModel."""

from __future__ import annotations

import re
from pathlib import Path

from services.knowledge.embedding.packed_file import Array, PackedFile, Shape

WORDS = "embeddings.word_embeddings.weight"
PACKED_WORDS = "emb.word"
_OUTER = {
    "embeddings.word_embeddings": PACKED_WORDS,
    "embeddings.position_embeddings": "emb.pos",
    "embeddings.token_type_embeddings": "emb.type",
    "embeddings.LayerNorm": "emb.ln",
}
_INNER = {
    "attention.self.query": "q",
    "attention.self.key": "k",
    "attention.self.value": "v",
    "attention.output.dense": "ao",
    "attention.output.LayerNorm": "aln",
    "intermediate.dense": "fi",
    "output.dense": "fo",
    "output.LayerNorm": "oln",
}
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.+)")


class PackedWeights:
    """Reads tensors by the names that they have in a model's safetensors file."""

    def __init__(self, path: Path) -> None:
        """Open a packed model.

        Raises:
            OSError: it cannot be read.
            DamagedError: it is damaged.
        """
        self.file = PackedFile(path)

    def get_tensor(self, name: str) -> Array:
        """Return a tensor as float32.

        Raises:
            DamagedError: the file does not have it.
        """
        whole, _dot, part = name.rpartition(".")
        packed = _OUTER.get(whole)
        if packed is None and (layer := _LAYER.fullmatch(whole)) is not None:
            packed = f"l{layer[1]}.{_INNER.get(layer[2], '')}"
        tables = whole in _OUTER and not whole.endswith("LayerNorm")
        ending = "" if tables else ".w" if part == "weight" else ".b"
        return self.file.tensor(f"{packed}{ending}", *_shape(name, self.file.shape))


def _shape(name: str, shape: Shape) -> tuple[int, ...]:
    if name.endswith("embeddings.weight"):
        rows = {"word": shape.words, "position": shape.positions, "token_type": shape.types}
        return rows[name.removeprefix("embeddings.").removesuffix("_embeddings.weight")], shape.width
    if "LayerNorm" in name or name.endswith(".bias"):
        return (shape.inner if "intermediate" in name else shape.width,)
    if "attention" in name:
        return shape.width, shape.width
    return (shape.inner, shape.width) if "intermediate" in name else (shape.width, shape.inner)
