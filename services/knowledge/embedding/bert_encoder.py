"""BERT-like encoders computed with torch alone.

Importing transformers and sentence-transformers costs over 150 MB that inference does not need. This computes the same
numbers (Devlin et al., https://arxiv.org/abs/1810.04805; the layout of the weights is that of Hugging Face's BertModel
and XLMRobertaModel) without padding: the tokens of a batch are concatenated, and only attention treats one sequence at
a time.

Weights of linear layers are packed for the CPU once instead of at every call, which halves the time of the few tokens
of a question. torch offers the packing through the operators that its compiler uses
(`torch/_inductor/fx_passes/mkldnn_fusion.py`); where they are missing, the plain operation is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional

from services.knowledge.embedding.model_files import ModelFiles
from services.knowledge.embedding.packed_weights import PackedWeights
from services.knowledge.embedding.torch_device import Array, computing

Parameters = tuple[Tensor, Tensor]
# (address, length in bytes)
Range = tuple[int, int]
# The packed layout depends on the expected number of rows.
_EXPECTED_TOKENS = 256


@dataclass(frozen=True, slots=True)
class _Layer:
    """One transformer layer; query, key and value are one matrix."""

    attention_in: Linear
    attention_out: Linear
    attention_norm: Parameters
    up: Linear
    down: Linear
    norm: Parameters

    def ranges(self) -> list[Range]:
        """Return the memory ranges of the layer's parameters."""
        matrices = [self.attention_in, self.attention_out, self.up, self.down]
        others = [*self.attention_norm, *self.norm]
        return [*(part for m in matrices for part in m.ranges), *(part for t in others for part in ranges(t))]


class BertEncoder:
    """A BERT-like encoder: `bytes` of weights and the forward pass."""

    def __init__(self, files: ModelFiles, device: torch.device, dtype: torch.dtype, *, int8: bool = False) -> None:
        config = files.config
        self.dimension = int(config["hidden_size"])
        self.device = device
        self.on_cpu = device.type == "cpu"
        self._heads = int(config["num_attention_heads"])
        self._epsilon = float(config["layer_norm_eps"])
        self._mean = files.pooling == "mean"
        self._first_position = files.first_position
        read = 0
        with _tensors(files) as tensor_of:
            # Copied, so that the file does not stay mapped.
            def parameter(name: str) -> Tensor:
                nonlocal read
                tensor = tensor_of(name)
                tensor = tensor.to(device=device, dtype=dtype, copy=True)
                read += tensor.nbytes
                return tensor

            def pair(name: str) -> Parameters:
                return parameter(f"{name}.weight"), parameter(f"{name}.bias")

            words = parameter("embeddings.word_embeddings.weight")
            self._words: Tensor | Int8Rows = Int8Rows(words) if int8 else words
            del words
            positions = parameter("embeddings.position_embeddings.weight")
            # Token types are always 0: their row is added to every position.
            self._positions = positions + parameter("embeddings.token_type_embeddings.weight")[0]
            self._norm = pair("embeddings.LayerNorm")
            self._layers = [
                _read_layer(f"encoder.layer.{number}", pair, linear_int8 if int8 else linear)
                for number in range(int(config["num_hidden_layers"]))
            ]
        # Without int8 the packed parameters have the size of those read.
        self.bytes = sum(length for _address, length in self.ranges()) if int8 else read

    def ranges(self) -> tuple[Range, ...]:
        """Return the memory ranges of the weights in this process: (address, length in bytes)."""
        words = self._words.ranges if isinstance(self._words, Int8Rows) else ranges(self._words)
        own = [self._positions, *self._norm]
        layers = [part for layer in self._layers for part in layer.ranges()]
        return (*words, *(part for tensor in own for part in ranges(tensor)), *layers)

    def forward(self, sequences: Sequence[Sequence[int]], yield_turn: Callable[[], None]) -> Array:
        """Return the pooled vectors of token id sequences, float32 (n, d), not normalised.

        `yield_turn` is called between operations.

        Raises:
            DeviceMemoryError: the GPU has no room for so many at once.
        """
        with computing():
            return self._forward(sequences, yield_turn).numpy()

    def _forward(self, sequences: Sequence[Sequence[int]], yield_turn: Callable[[], None]) -> Tensor:
        lengths = [len(sequence) for sequence in sequences]
        hidden = self._embed(sequences)
        for layer in self._layers:
            yield_turn()
            attended = self._attend(layer.attention_in(hidden), lengths)
            yield_turn()
            hidden = self._normalise(hidden.add_(layer.attention_out(attended)), layer.attention_norm)
            yield_turn()
            wide = functional.gelu(layer.up(hidden))
            yield_turn()
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
            self._words.select(words) if isinstance(self._words, Int8Rows) else functional.embedding(words, self._words)
        )
        hidden = rows.add_(functional.embedding(places, self._positions))
        return self._normalise(hidden, self._norm)

    def _attend(self, mixed: Tensor, lengths: Sequence[int]) -> Tensor:
        """Return the self-attention of each sequence; `mixed` is query, key and value side by side, (tokens, 3 d)."""
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
        """Load the weights; check `fits` first. With `int8` they are stored in 8 bits and computed in `dtype`."""
        with torch.inference_mode():
            return cls(files, device, dtype, int8=int8)


@contextmanager
def _tensors(files: ModelFiles) -> Iterator[Callable[[str], Tensor]]:
    """Yield what reads a tensor of the model by its name."""
    if files.packed:
        packed = PackedWeights(files.weights)
        yield lambda name: torch.from_numpy(packed.get_tensor(name))
        return
    with safe_open(files.weights, framework="pt") as weights:
        yield weights.get_tensor


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
    """Round up a number of rows. oneDNN caches over 2 MB of generated code for every size it has seen."""
    step = 16 if tokens <= 64 else 32 if tokens <= 320 else 64
    return -(-tokens // step) * step


@dataclass(frozen=True, slots=True)
class Linear:
    """x -> x weight^T + bias for x (tokens, inputs) of the weight's type; `ranges` are the memory ranges of both."""

    apply: Callable[[Tensor], Tensor]
    ranges: tuple[Range, ...]

    def __call__(self, x: Tensor) -> Tensor:
        return self.apply(x)


def linear(weight: Tensor, bias: Tensor) -> Linear:
    """Return a linear layer with these parameters, packed for the CPU where possible."""
    if not _can_pack(weight):
        return Linear(lambda x: functional.linear(x, weight, bias), (*ranges(weight), *ranges(bias)))
    operators = torch.ops.mkldnn
    packed = operators._reorder_linear_weight(weight, _EXPECTED_TOKENS)  # noqa: SLF001 - see the module
    apply: Callable[..., Tensor] = operators._linear_pointwise  # noqa: SLF001
    return Linear(lambda x: apply(x, packed, bias, "none", [], ""), (*ranges(packed), *ranges(bias)))


def linear_int8(weight: Tensor, bias: Tensor) -> Linear:
    """Return a linear layer with its weight in 8 bits and a scale for each output (symmetric, weight only).

    The weight is dequantised at each call: that costs about a third more time for a batch and twice as much for a
    question, but activations stay exact. torch's own dynamic int8 rounds those too: cosine 0.90.
    """
    rows = Int8Rows(weight)
    return Linear(lambda x: functional.linear(x, rows.dequantised(x.dtype), bias), (*rows.ranges, *ranges(bias)))


class Int8Rows:
    """A matrix in 8 bits, with a scale for each row."""

    def __init__(self, matrix: Tensor) -> None:
        exact = matrix.float()
        self._scales = exact.abs().amax(dim=1, keepdim=True).div_(127).clamp_(min=1e-7).to(matrix.dtype)
        self._values = (exact / self._scales.float()).round_().clamp_(-127, 127).to(torch.int8)

    @property
    def bytes(self) -> int:
        """Bytes of values and scales."""
        return self._values.nbytes + self._scales.nbytes

    @property
    def ranges(self) -> tuple[Range, ...]:
        """Memory ranges of values and scales."""
        return (*ranges(self._values), *ranges(self._scales))

    def dequantised(self, dtype: torch.dtype) -> Tensor:
        """Return the matrix in `dtype`."""
        return self._values.to(dtype).mul_(self._scales)

    def select(self, rows: Tensor) -> Tensor:
        """Return the given rows, dequantised."""
        return self._values[rows].to(self._scales.dtype).mul_(self._scales[rows])


def ranges(tensor: Tensor) -> tuple[Range, ...]:
    """Return the memory range of a tensor in this process: (address, length in bytes); empty for one on a device."""
    if tensor.device.type != "cpu":
        return ()
    if tensor.layout is torch.strided:
        return ((tensor.data_ptr(), tensor.nbytes),)
    operators = torch.ops.mkldnn
    if not (hasattr(operators, "data_ptr") and hasattr(operators, "_nbytes")):
        return ()
    return ((int(operators.data_ptr(tensor)), int(operators._nbytes(tensor))),)  # noqa: SLF001 - see the module


def _can_pack(weight: Tensor) -> bool:
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    operators = torch.ops.mkldnn
    if not (hasattr(operators, "_reorder_linear_weight") and hasattr(operators, "_linear_pointwise")):
        return False
    if weight.dtype == torch.bfloat16:
        return bool(operators._is_mkldnn_bf16_supported())  # noqa: SLF001
    return weight.dtype == torch.float32
