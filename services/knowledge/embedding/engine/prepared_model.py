"""Prepared weights of an embedding model.

`layers.onnx` is the graph, `small.npz` positions and the first normalisation, `words.f16` the vocabulary's table in
float16; of a packed model the table stays in the model's own file, in 4 bits, and `small.npz` says where.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.knowledge.embedding.engine.prepared_folder import Preparation, prepared_folder
from services.knowledge.embedding.model_files import ModelFiles

# Raise it when a newer program prepares differently.
RECIPE = 3
LAYERS, WORDS, SMALL = "layers.onnx", "words.f16", "small.npz"
_MODULE = "services.knowledge.embedding.engine.prepare"


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A folder of prepared weights; `arithmetic`: int8 or float32; `cosine`: the least to float32 that was measured."""

    folder: Path
    arithmetic: str
    cosine: float


def made_of(files: ModelFiles) -> tuple[str, ...]:
    """Return the names of the files that are made of a model."""
    return (LAYERS, SMALL) if files.packed else (LAYERS, WORDS, SMALL)


def prepared(files: ModelFiles, arithmetic: str, folders: list[Path], tokenizer: Path) -> PreparedModel:
    """Return the prepared weights of a model, from the first of `folders` that has them sound, else made anew with the
    help of its tokenizer.

    Raises:
        UnavailableError: they cannot be made.
    """
    order = {"arithmetic": arithmetic, "tokenizer": str(tokenizer)}
    found = prepared_folder(
        Preparation(files, f"{arithmetic}-{RECIPE}", made_of(files), _MODULE, order),
        folders,
    )
    return PreparedModel(found.folder, str(found.manifest["arithmetic"]), float(found.manifest["cosine"]))
