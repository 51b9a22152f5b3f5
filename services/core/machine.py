"""Units of size and the cores of this machine. Parser children import it, so it imports nothing of ours."""

from __future__ import annotations

import os
from pathlib import Path

# Exist once a driver is loaded: NVIDIA's, AMD's, and that of Windows' Linux.
_GPU_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
MEGABYTE = 1024 * 1024


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use (its affinity mask)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_gpu_driver() -> bool:
    """Return whether a GPU may be here: to ask torch costs 200 MB."""
    return any(Path(each).exists() for each in _GPU_DRIVERS)
