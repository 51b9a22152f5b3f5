"""Small packed models with chance weights, in the form that `services.knowledge.embedding.packed_file` reads."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from tests.knowledge.tokenization.references import small_vocabulary

WIDTH, LAYERS, HEADS, INNER, POSITIONS = 32, 2, 4, 64, 70
EPSILON = 1e-12


def quantised(weights: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Return blocks of 4 bits, and the weights that they stand for."""
    blocks = weights.reshape(-1, 32)
    scales = (np.abs(blocks).max(axis=1) / 7).astype(np.float16)
    levels = np.clip(np.rint(blocks / scales[:, None].astype(np.float32)) + 8, 0, 15).astype(np.uint8)
    halves = levels[:, :16] | (levels[:, 16:] << 4)
    packed = b"".join(scale.tobytes() + half.tobytes() for scale, half in zip(scales, halves, strict=True))
    exact = (levels.astype(np.float32) - 8) * scales[:, None].astype(np.float32)
    return packed, exact.reshape(weights.shape)


def tensors(words: int) -> dict[str, np.ndarray]:
    """Return the weights by packed name: matrices are (outputs, inputs)."""
    chance = np.random.default_rng(3)

    def some(*shape: int) -> np.ndarray:
        return (0.3 * chance.standard_normal(shape)).astype(np.float32)

    made = {"emb.word": some(words, WIDTH), "emb.pos": some(POSITIONS, WIDTH), "emb.type": some(2, WIDTH)}
    made |= {"emb.ln.w": 1 + some(WIDTH), "emb.ln.b": some(WIDTH)}
    for layer in range(LAYERS):
        for name in ("q", "k", "v", "ao"):
            made |= {f"l{layer}.{name}.w": some(WIDTH, WIDTH), f"l{layer}.{name}.b": some(WIDTH)}
        for name in ("aln", "oln"):
            made |= {f"l{layer}.{name}.w": 1 + some(WIDTH), f"l{layer}.{name}.b": some(WIDTH)}
        made |= {f"l{layer}.fi.w": some(INNER, WIDTH), f"l{layer}.fi.b": some(INNER)}
        made |= {f"l{layer}.fo.w": some(WIDTH, INNER), f"l{layer}.fo.b": some(WIDTH)}
    return made


def write_model(path: Path) -> dict[str, np.ndarray]:
    """Write a packed model; return its weights as they are read again, by packed name."""
    pieces, scores, normalised = small_vocabulary()
    encoded = [piece.encode() for piece in pieces]
    offsets = np.cumsum([0, *map(len, encoded)]).astype("<u4")
    text = b"".join(encoded)
    entries = b"".join(
        struct.pack("<IB", code, len(to)) + struct.pack(f"<{len(to)}I", *map(ord, to))
        for code, to in normalised.items()
    )
    words = len(pieces) + 3
    head = struct.pack("<4sI7ifi", b"E5S1", 1, WIDTH, LAYERS, HEADS, INNER, words, POSITIONS, 2, EPSILON, 32)
    head += struct.pack("<5iQ", len(pieces), 0, 2, 1, 3, len(text))
    head += offsets.tobytes() + np.asarray(scores, "<f4").tobytes() + text
    head += struct.pack("<II", len(normalised), len(entries)) + entries
    read: dict[str, np.ndarray] = {}
    contents: list[tuple[str, int, int, bytes]] = []
    for name, weights in tensors(words).items():
        blocks = (name.endswith(".w") and weights.ndim == 2) or name == "emb.word"
        content, read[name] = quantised(weights) if blocks else (weights.tobytes(), weights)
        contents.append((name, int(blocks), weights.size, content))
    size = len(head) + 4 + sum(2 + len(name) + 21 for name, *_rest in contents)
    head += struct.pack("<I", len(contents))
    for name, kind, count, content in contents:
        head += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", kind, count, size, len(content))
        size += len(content)
    path.write_bytes(head + b"".join(content for *_rest, content in contents))
    return read


def as_bert(read: dict[str, np.ndarray]) -> Any:
    """Return Hugging Face's BertModel with these weights."""
    import torch
    import transformers

    config = transformers.BertConfig(
        vocab_size=len(read["emb.word"]),
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=INNER,
        max_position_embeddings=POSITIONS,
        layer_norm_eps=EPSILON,
    )
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    inner = {
        "attention.self.query": "q",
        "attention.self.key": "k",
        "attention.self.value": "v",
        "attention.output.dense": "ao",
        "attention.output.LayerNorm": "aln",
        "intermediate.dense": "fi",
        "output.dense": "fo",
        "output.LayerNorm": "oln",
    }
    named = {
        "embeddings.word_embeddings.weight": read["emb.word"],
        "embeddings.position_embeddings.weight": read["emb.pos"],
        "embeddings.token_type_embeddings.weight": read["emb.type"],
        "embeddings.LayerNorm.weight": read["emb.ln.w"],
        "embeddings.LayerNorm.bias": read["emb.ln.b"],
    }
    for layer in range(LAYERS):
        for theirs, ours in inner.items():
            named[f"encoder.layer.{layer}.{theirs}.weight"] = read[f"l{layer}.{ours}.w"]
            named[f"encoder.layer.{layer}.{theirs}.bias"] = read[f"l{layer}.{ours}.b"]
    missing = model.load_state_dict({name: torch.from_numpy(one) for name, one in named.items()}, strict=False)
    assert not missing.unexpected_keys
    assert set(missing.missing_keys) <= {"embeddings.position_ids", "embeddings.token_type_ids"}
    return model
