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
