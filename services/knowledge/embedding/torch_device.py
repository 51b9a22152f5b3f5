"""Where torch computes, in which precision, and within how much of a GPU's memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from services.core.errors import UnavailableError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.knowledge.embedding.weights import DeviceMemoryError

Array = NDArray[np.float32]


@contextmanager
def computing() -> Iterator[None]:
    """Compute without gradients; what is left on a GPU that had no room is given back.

    Raises:
        DeviceMemoryError: it had none.
    """
    try:
        with torch.inference_mode():
            yield
    except torch.OutOfMemoryError as error:
        problem = str(error)
    else:
        return
    # Outside of the handler: its traceback keeps the failed attempt's tensors on the GPU.
    torch.cuda.empty_cache()
    raise DeviceMemoryError(problem)


def choose_device(wanted: str) -> torch.device:
    """Return the device for the setting `wanted` (auto, cpu, cuda).

    Raises:
        UnavailableError: CUDA is asked for and not usable.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UnavailableError(
            _("Embeddings are set to run on CUDA, but there is no usable GPU."),
            _("Set MILLPOND_EMBEDDING_DEVICE to auto, or install a GPU build of torch as the README describes."),
        )
    return torch.device("cpu" if wanted == "cpu" or not torch.cuda.is_available() else "cuda")


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """Return the compute precision for the setting `wanted` (auto, float32, bfloat16, float16, int8).

    auto means half precision where the hardware multiplies it: about twice as fast, with the same rankings. On a GPU
    that is float16, which is closer to the exact vectors than bfloat16. int8 is the storage of the weights; the
    compute precision is then that of auto.
    """
    if wanted in {"auto", "int8"}:
        if device.type == "cuda":
            return torch.float16
        return torch.bfloat16 if _cpu_multiplies_bfloat16() else torch.float32
    return {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(wanted, torch.float32)


def cap_gpu_memory(device: torch.device, megabytes: int) -> None:
    """Limit torch to `megabytes` of the GPU's memory (0: no limit); does nothing without a GPU."""
    if device.type == "cuda" and megabytes:
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, megabytes * MEGABYTE / total), device)


def _cpu_multiplies_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
