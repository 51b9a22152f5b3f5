"""A small model of random weights, written without torch: a folder as sentence-transformers saves it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from services.knowledge.bundled_models import MINILM
from services.knowledge.embedding import model_files
from tests.knowledge.embedding.model_folders import WORDS, write

DIMENSION = 32
_INNER, _LAYERS, _POSITIONS = 64, 2, 70


def make_small_model(folder: Path) -> Path:
    """Write a BERT of 2 layers and 32 dimensions, which reads 64 tokens and puts a prompt before chunks."""
    folder.mkdir(parents=True)
    config: dict[str, Any] = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": DIMENSION,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": 4,
        "intermediate_size": _INNER,
        "vocab_size": WORDS,
        "max_position_embeddings": _POSITIONS,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }
    write(folder / "config.json", config)
    save_file(_weights(), folder / "model.safetensors", metadata={"format": "pt"})
    bundled = model_files.find_model(MINILM, "").folder
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(bundled / name, folder / name)
    kinds = (("Transformer", ""), ("Pooling", "1_Pooling"))
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, path) in enumerate(kinds)
    ]
    write(folder / "modules.json", modules)
    write(folder / "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": False})
    write(folder / "config_sentence_transformers.json", {"prompts": {"document": "text: "}})
    (folder / "1_Pooling").mkdir()
    write(
        folder / "1_Pooling" / "config.json",
        {"word_embedding_dimension": DIMENSION, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True},
    )
    return folder


def _weights() -> dict[str, np.ndarray[Any, Any]]:
    """Return weights large enough for texts to look different."""
    chance = np.random.default_rng(3)

    def of(*shape: int) -> np.ndarray[Any, Any]:
        return (0.3 * chance.standard_normal(shape)).astype(np.float32)

    def norm(name: str) -> dict[str, np.ndarray[Any, Any]]:
        return {f"{name}.weight": 1 + of(DIMENSION), f"{name}.bias": of(DIMENSION)}

    def dense(name: str, inner: int, outer: int) -> dict[str, np.ndarray[Any, Any]]:
        return {f"{name}.weight": of(outer, inner), f"{name}.bias": of(outer)}

    weights = {
        "embeddings.word_embeddings.weight": of(WORDS, DIMENSION),
        "embeddings.position_embeddings.weight": of(_POSITIONS, DIMENSION),
        "embeddings.token_type_embeddings.weight": of(2, DIMENSION),
        **norm("embeddings.LayerNorm"),
    }
    for number in range(_LAYERS):
        layer = f"encoder.layer.{number}"
        for part in ("query", "key", "value"):
            weights |= dense(f"{layer}.attention.self.{part}", DIMENSION, DIMENSION)
        weights |= dense(f"{layer}.attention.output.dense", DIMENSION, DIMENSION)
        weights |= norm(f"{layer}.attention.output.LayerNorm")
        weights |= dense(f"{layer}.intermediate.dense", DIMENSION, _INNER)
        weights |= dense(f"{layer}.output.dense", _INNER, DIMENSION)
        weights |= norm(f"{layer}.output.LayerNorm")
    return weights
