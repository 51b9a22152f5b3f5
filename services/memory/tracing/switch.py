"""Switching tracemalloc on, and off again while other threads allocate.

In CPython up to 3.13.1 `tracemalloc.stop` may end the process with a segmentation fault: a thread that allocates raw
memory without the interpreter's lock, as zlib does, waits for the lock within the tracing allocator, and records its
block when the tables are gone (https://github.com/python/cpython/issues/128679). So the allocators from before are put
back first, and such threads get time to leave.
"""

from __future__ import annotations

import ctypes
import time
import tracemalloc

_DOMAINS = range(3)  # PYMEM_DOMAIN_RAW, PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ
# Who waits for the lock gets it in some of these pauses: a thread gives it up after 5 ms at the latest.
_PAUSES, _PAUSE_SECONDS = 10, 0.01


class _Allocator(ctypes.Structure):
    """`PyMemAllocatorEx`."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("ctx", "malloc", "calloc", "realloc", "free")]


class TracingSwitch:
    """Switches tracing on and off; whoever holds it sees to it that both alternate."""

    def __init__(self) -> None:
        self._before: list[_Allocator] = []

    def on(self, frames: int) -> None:
        """Record `frames` frames of each allocation from now on."""
        self._before = [_Allocator() for _domain in _DOMAINS]
        for domain, allocator in zip(_DOMAINS, self._before, strict=True):
            ctypes.pythonapi.PyMem_GetAllocator(domain, ctypes.byref(allocator))
        tracemalloc.start(frames)

    def off(self) -> None:
        """Forget all traces, and record no more."""
        for domain, allocator in zip(_DOMAINS, self._before, strict=False):
            ctypes.pythonapi.PyMem_SetAllocator(domain, ctypes.byref(allocator))
        self._before = []
        for _pause in range(_PAUSES):
            time.sleep(_PAUSE_SECONDS)
        tracemalloc.stop()
