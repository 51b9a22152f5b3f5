"""BERT-like encoders computed with torch alone.

Importing transformers and sentence-transformers costs over 150 MB that inference does not need. This computes the same
numbers (Devlin et al., https://arxiv.org/abs/1810.04805; the layout of the weights is that of Hugging Face's BertModel
and XLMRobertaModel) without padding: the tokens of a batch lie one after the other, and only attention looks at one
sequence at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional

from services.knowledge.embedding.linear import Int8Rows, Linear, Range, linear, linear_int8, ranges
from services.knowledge.embedding.model_files import ModelFiles

MODEL_TYPES = frozenset({"bert", "roberta", "xlm-roberta"})

Parameters = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class _Layer:
    """One layer; query, key and value are one matrix."""

    attention_in: Linear
    attention_out: Linear
    attention_norm: Parameters
    up: Linear
    down: Linear
    norm: Parameters

    def ranges(self) -> list[Range]:
        """Return where the layer's parameters lie."""
        matrices = [self.attention_in, self.attention_out, self.up, self.down]
        others = [*self.attention_norm, *self.norm]
        return [*(part for m in matrices for part in m.ranges), *(part for t in others for part in ranges(t))]


class SlimEncoder:
    """Weights in RAM (`bytes` of them) and the forward pass over them."""

    def __init__(self, files: ModelFiles, device: torch.device, dtype: torch.dtype, *, int8: bool = False) -> None:
        config = files.config
        self.dimension = int(config["hidden_size"])
        self.device = device
        self._heads = int(config["num_attention_heads"])
        self._epsilon = float(config["layer_norm_eps"])
        self._mean = files.pooling == "mean"
        # RoBERTa's positions start after the padding token's id.
        self._first_position = int(config["pad_token_id"]) + 1 if config["model_type"] != "bert" else 0
        read = 0
        with safe_open(files.weights, framework="pt") as weights:
            # A copy each, so that the file is not kept mapped.
            def parameter(name: str) -> Tensor:
                nonlocal read
                tensor: Tensor = weights.get_tensor(name)
                tensor = tensor.to(device=device, dtype=dtype, copy=True)
                read += tensor.nbytes
                return tensor

            def pair(name: str) -> Parameters:
                return parameter(f"{name}.weight"), parameter(f"{name}.bias")

            words = parameter("embeddings.word_embeddings.weight")
            self._words: Tensor | Int8Rows = Int8Rows(words) if int8 else words
            del words
            positions = parameter("embeddings.position_embeddings.weight")
            # Token types are always 0: their row is part of every position.
            self._positions = positions + parameter("embeddings.token_type_embeddings.weight")[0]
            self._norm = pair("embeddings.LayerNorm")
            self._layers = [
                _read_layer(f"encoder.layer.{number}", pair, linear_int8 if int8 else linear)
                for number in range(int(config["num_hidden_layers"]))
            ]
        # Without int8 every parameter is kept as it was read.
        self.bytes = sum(length for _address, length in self.ranges()) if int8 else read

    def ranges(self) -> tuple[Range, ...]:
        """Return where the weights lie in this process's RAM."""
        words = self._words.ranges if isinstance(self._words, Int8Rows) else ranges(self._words)
        own = [self._positions, *self._norm]
        layers = [part for layer in self._layers for part in layer.ranges()]
        return (*words, *(part for tensor in own for part in ranges(tensor)), *layers)

    @classmethod
    def fits(cls, files: ModelFiles) -> bool:
        """Whether this encoder computes what the model in `files` does."""
        config = files.config
        return (
            files.slim
            and config.get("model_type") in MODEL_TYPES
            and config.get("hidden_act") == "gelu"
            and config.get("position_embedding_type", "absolute") == "absolute"
            and not config.get("is_decoder")
            and _has_plain_names(files)
        )

    def forward(self, sequences: Sequence[Sequence[int]], give_way: Callable[[], None]) -> Tensor:
        """Return the pooled vectors of token id sequences, float32 (n, d) on the CPU, not normalised.

        `give_way` is called between operations.
        """
        lengths = [len(sequence) for sequence in sequences]
        hidden = self._embed(sequences)
        for layer in self._layers:
            give_way()
            attended = self._attend(layer.attention_in(hidden), lengths)
            give_way()
            hidden = self._normalise(hidden.add_(layer.attention_out(attended)), layer.attention_norm)
            give_way()
            wide = functional.gelu(layer.up(hidden))
            give_way()
            hidden = self._normalise(hidden.add_(layer.down(wide)), layer.norm)
        parts = torch.split(hidden[: sum(lengths)].float(), lengths)
        return torch.stack([part.mean(0) if self._mean else part[0] for part in parts]).cpu()

    def _embed(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        first = self._first_position
        tokens = [token for sequence in sequences for token in sequence]
        positions = [first + position for sequence in sequences for position in range(len(sequence))]
        spare = _rows(len(tokens)) - len(tokens)
        words = torch.tensor(tokens + [0] * spare, device=self.device)
        places = torch.tensor(positions + [first] * spare, device=self.device)
        rows = (
            self._words.take(words) if isinstance(self._words, Int8Rows) else functional.embedding(words, self._words)
        )
        hidden = rows.add_(functional.embedding(places, self._positions))
        return self._normalise(hidden, self._norm)

    def _attend(self, mixed: Tensor, lengths: Sequence[int]) -> Tensor:
        """Attention of each sequence over itself; `mixed` is query, key and value side by side, (tokens, 3 d)."""
        attended = mixed.new_zeros(len(mixed), self.dimension)
        start = 0
        for length in lengths:
            query, key, value = mixed[start : start + length].view(1, length, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
            result = functional.scaled_dot_product_attention(query, key, value)
            attended[start : start + length].view(length, self._heads, -1).copy_(result[0].transpose(0, 1))
            start += length
        return attended

    def _normalise(self, hidden: Tensor, parameters: Parameters) -> Tensor:
        return functional.layer_norm(hidden, (self.dimension,), *parameters, self._epsilon)

    @classmethod
    def load(cls, files: ModelFiles, device: torch.device, dtype: torch.dtype, *, int8: bool = False) -> Self:
        """Read the weights; see `fits` first. With `int8` they are kept in eight bits, and computed with in `dtype`."""
        with torch.inference_mode():
            return cls(files, device, dtype, int8=int8)


def _read_layer(name: str, pair: Callable[[str], Parameters], linear: Callable[[Tensor, Tensor], Linear]) -> _Layer:
    mixed = [pair(f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
    return _Layer(
        attention_in=linear(
            torch.cat([weight for weight, _bias in mixed]), torch.cat([bias for _weight, bias in mixed])
        ),
        attention_out=linear(*pair(f"{name}.attention.output.dense")),
        attention_norm=pair(f"{name}.attention.output.LayerNorm"),
        up=linear(*pair(f"{name}.intermediate.dense")),
        down=linear(*pair(f"{name}.output.dense")),
        norm=pair(f"{name}.output.LayerNorm"),
    )


def _rows(tokens: int) -> int:
    """Round up a number of rows. oneDNN keeps over 2 MB of generated code for every size that it has met."""
    step = 16 if tokens <= 64 else 32 if tokens <= 320 else 64
    return -(-tokens // step) * step


def _has_plain_names(files: ModelFiles) -> bool:
    with safe_open(files.weights, framework="pt") as weights:
        names: Any = weights.keys()
        return "embeddings.word_embeddings.weight" in names and "embeddings.token_type_embeddings.weight" in names
