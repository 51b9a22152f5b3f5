"""Linear layers with their weights laid out for the processor once, instead of at every call.

For the few tokens of a question that halves the time. torch offers the layout through the operators that its compiler
uses (`torch/_inductor/fx_passes/mkldnn_fusion.py`); where they are missing, the plain operation does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

# (address, length in bytes)
Range = tuple[int, int]

# The layout depends on the number of rows that are usual.
_USUAL_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Linear:
    """x -> x weight^T + bias for x (tokens, inputs) of the weight's own type; `ranges` is where the two lie in RAM."""

    apply: Callable[[Tensor], Tensor]
    ranges: tuple[Range, ...]

    def __call__(self, x: Tensor) -> Tensor:
        return self.apply(x)


def linear(weight: Tensor, bias: Tensor) -> Linear:
    """Return the layer with these parameters."""
    if not _can_lay_out(weight):
        return Linear(lambda x: functional.linear(x, weight, bias), (*ranges(weight), *ranges(bias)))
    operators = torch.ops.mkldnn
    laid_out = operators._reorder_linear_weight(weight, _USUAL_TOKENS)  # noqa: SLF001 - see the module
    apply: Callable[..., Tensor] = operators._linear_pointwise  # noqa: SLF001
    return Linear(lambda x: apply(x, laid_out, bias, "none", [], ""), (*ranges(laid_out), *ranges(bias)))


def linear_int8(weight: Tensor, bias: Tensor) -> Linear:
    """Return the layer with its weight in eight bits and a scale for each output (symmetric, weight only).

    The weight is made whole again at each call: that costs about a third more time for a batch and twice as much for
    a question, but the values computed with stay exact. torch's own dynamic int8 rounds those too: cosine 0.90.
    """
    rows = Int8Rows(weight)
    return Linear(lambda x: functional.linear(x, rows.whole(x.dtype), bias), (*rows.ranges, *ranges(bias)))


class Int8Rows:
    """A matrix in eight bits, with a scale for each of its rows."""

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
        """Where both lie in RAM."""
        return (*ranges(self._values), *ranges(self._scales))

    def whole(self, dtype: torch.dtype) -> Tensor:
        """Return the matrix in `dtype`, for a moment."""
        return self._values.to(dtype).mul_(self._scales)

    def take(self, rows: Tensor) -> Tensor:
        """Return some of its rows."""
        return self._values[rows].to(self._scales.dtype).mul_(self._scales[rows])


def ranges(tensor: Tensor) -> tuple[Range, ...]:
    """Return where a tensor lies in this process's RAM; empty for one on a device."""
    if tensor.device.type != "cpu":
        return ()
    if tensor.layout is torch.strided:
        return ((tensor.data_ptr(), tensor.nbytes),)
    operators = torch.ops.mkldnn
    if not (hasattr(operators, "data_ptr") and hasattr(operators, "_nbytes")):
        return ()
    return ((int(operators.data_ptr(tensor)), int(operators._nbytes(tensor))),)  # noqa: SLF001 - see the module


def _can_lay_out(weight: Tensor) -> bool:
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    operators = torch.ops.mkldnn
    if not (hasattr(operators, "_reorder_linear_weight") and hasattr(operators, "_linear_pointwise")):
        return False
    if weight.dtype == torch.bfloat16:
        return bool(operators._is_mkldnn_bf16_supported())  # noqa: SLF001
    return weight.dtype == torch.float32
