"""The weights of a BERT-like encoder as arrays; names and layout are those of Hugging Face's BertModel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.knowledge.embedding.model_files import ModelFiles
from services.knowledge.embedding.packed_weights import WORDS, PackedWeights

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Affine:
    """x -> x weight^T + bias: `weight` (outputs, inputs), `bias` (outputs)."""

    weight: Array
    bias: Array


@dataclass(frozen=True, slots=True)
class Norm:
    """Layer normalisation: `scale` and `shift`, (d) each."""

    scale: Array
    shift: Array


@dataclass(frozen=True, slots=True)
class Layer:
    """One transformer layer; `mixed` is query, key and value one after the other."""

    mixed: Affine
    attention_out: Affine
    attention_norm: Norm
    up: Affine
    down: Affine
    norm: Norm


@dataclass(frozen=True, slots=True)
class BertWeights:
    """A whole encoder: `words` (vocabulary, d), None where they stay packed; `positions` (n, d) with the only token
    type's row added.
    """

    words: Array | None
    positions: Array
    norm: Norm
    layers: tuple[Layer, ...]
    heads: int
    epsilon: float


def read_weights(files: ModelFiles) -> BertWeights:
    """Read all weights of a model that `is_bert_like` as float32.

    Raises:
        DamagedError: a packed file is damaged.
    """
    from safetensors import safe_open

    if files.packed:
        return _assembled(files, PackedWeights(files.weights).get_tensor)
    with safe_open(files.weights, framework="numpy") as weights:
        return _assembled(files, lambda name: np.asarray(weights.get_tensor(name), dtype=np.float32))


def _assembled(files: ModelFiles, array: Callable[[str], Array]) -> BertWeights:
    config = files.config

    def affine(name: str) -> Affine:
        return Affine(array(f"{name}.weight"), array(f"{name}.bias"))

    def norm(name: str) -> Norm:
        return Norm(array(f"{name}.weight"), array(f"{name}.bias"))

    def layer(name: str) -> Layer:
        parts = [affine(f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
        return Layer(
            Affine(np.concatenate([each.weight for each in parts]), np.concatenate([each.bias for each in parts])),
            affine(f"{name}.attention.output.dense"),
            norm(f"{name}.attention.output.LayerNorm"),
            affine(f"{name}.intermediate.dense"),
            affine(f"{name}.output.dense"),
            norm(f"{name}.output.LayerNorm"),
        )

    return BertWeights(
        None if files.packed else array(WORDS),
        array("embeddings.position_embeddings.weight") + array("embeddings.token_type_embeddings.weight")[0],
        norm("embeddings.LayerNorm"),
        tuple(layer(f"encoder.layer.{number}") for number in range(int(config["num_hidden_layers"]))),
        int(config["num_attention_heads"]),
        float(config["layer_norm_eps"]),
    )
