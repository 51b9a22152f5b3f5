"""Which device and which arithmetic the embedding model runs with."""

from __future__ import annotations

import torch

from services.errors import UnavailableError
from services.knowledge.cores import usable_cores
from services.texts import _


def choose_device(wanted: str) -> torch.device:
    """Return the device for the setting `wanted` (auto, cpu, cuda).

    Raises:
        UnavailableError: CUDA is wanted and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UnavailableError(
            _("Embeddings are set to run on CUDA, but there is no usable GPU."),
            _("Set MILLPOND_EMBEDDING_DEVICE to auto, or install a GPU build of torch as the README describes."),
        )
    return torch.device("cpu" if wanted == "cpu" or not torch.cuda.is_available() else "cuda")


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """Return the arithmetic for the setting `wanted` (auto, float32, bfloat16).

    auto takes bfloat16 where the hardware multiplies it: about twice as fast, and rankings do not change.
    """
    if wanted == "auto":
        fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else _cpu_multiplies_bfloat16()
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if wanted == "bfloat16" else torch.float32


def choose_threads(wanted: int) -> int:
    """Return the number of threads for the setting `wanted`; 0 means one per core that this process may use."""
    return wanted or usable_cores()


def _cpu_multiplies_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
