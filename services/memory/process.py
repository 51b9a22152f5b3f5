"""The memory of this process as the operating system and the C library count it, and the settings of its allocator.

It also disables the threads of OpenBLAS, which do not survive a fork: built on POSIX threads, as in NumPy's and SciPy's
wheels, OpenBLAS ends its threads in a handler that the C library runs before each fork (`openblas_fork_handler` in its
driver/others/memory.c). A multiplication in progress in another thread then waits for them for ever, and the fork with
it. Bulk computation in this service goes through torch and FAISS, which are not affected.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from services.core.machine import MEGABYTE

# malloc.h of glibc
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
# What glibc's dynamic threshold for mapped blocks reaches after the first large file.
_MMAP_THRESHOLD = 32 * MEGABYTE
_process = psutil.Process()
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
_statm = (0, -1)  # which process opened the file of its own memory, and the descriptor
_MAPS = Path("/proc/self/maps")
_SYMBOL_FORMATS = ("{}", "{}64_", "scipy_{}", "scipy_{}64_")  # as distributions name the symbols
_POSIX_THREADS = 1  # of openblas_get_parallel(); 2 is OpenMP, which forks well
_handled_libraries: set[str] = set()


def rss_bytes() -> int:
    """Return the resident set size of this process in bytes (about 2 microseconds on Linux, 8 elsewhere)."""
    global _statm  # noqa: PLW0603 - one descriptor a process
    process, descriptor = _statm
    if process != os.getpid():  # the first time, or after a fork: the file is that of the process that opened it
        with suppress(OSError):
            descriptor = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
            _statm = os.getpid(), descriptor
            return int(os.pread(descriptor, 200, 0).split()[1]) * _PAGE
        return int(_process.memory_info().rss)
    return int(os.pread(descriptor, 200, 0).split()[1]) * _PAGE


def heap_bytes() -> int | None:
    """Return the bytes allocated from the C library, mapped blocks included; None where that is unknown.

    Usually 20 to 50 microseconds; it walks the free lists, which takes 10 ms when they hold 100,000 chunks.
    """
    info = getattr(psutil, "heap_info", None)
    if info is None:
        return None
    heap = info()
    return int(heap.heap_used + heap.mmap_used)


def trim_heap() -> None:
    """Return the allocator's free pages to the operating system, where the C library can (glibc's malloc_trim).

    Free pages that the allocator keeps after a large load look like a leak.
    """
    # Only present where psutil was built against a C library with heap statistics.
    trim = getattr(psutil, "heap_trim", None)
    if trim is not None:
        trim()


def limit_arenas(count: int) -> bool:
    """Limit the C library's allocator to `count` arenas (glibc's mallopt(3)); return whether that was done.

    By default there are up to eight arenas per core; long-lived blocks are then scattered over all of them and keep
    freed pages from being returned. Works only before other threads have started. 0 changes nothing, and settings in
    the environment (MALLOC_ARENA_MAX, GLIBC_TUNABLES) take precedence.
    """
    return count > 0 and not _is_set_by_environment("MALLOC_ARENA_MAX") and _mallopt(_M_ARENA_MAX, count)


def fix_mmap_threshold() -> bool:
    """Fix the block size from which glibc maps blocks separately at 32 MiB (mallopt(3)); return whether that was done.

    By default the threshold starts at 128 KiB and rises to the size of each mapped block that is freed, up to 32 MiB;
    the trim threshold is twice that. Long-lived blocks then move into the arenas at some late point, which looks like a
    leak. Settings in the environment (MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_, GLIBC_TUNABLES) take precedence.
    """
    if _is_set_by_environment("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
        return False
    return _mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD) and _mallopt(_M_TRIM_THRESHOLD, 2 * _MMAP_THRESHOLD)


def _is_set_by_environment(*variables: str) -> bool:
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    return any(name in os.environ or name.lower().removeprefix("malloc_").strip("_") in tunables for name in variables)


def _mallopt(parameter: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(parameter, value))
    except AttributeError:  # another C library
        return False


def disable_openblas_threads() -> None:
    """Make every OpenBLAS loaded so far compute in the calling thread only (about a millisecond)."""
    try:
        maps = _MAPS.read_bytes()
    except OSError:
        return  # no /proc, and no such wheels either
    for line in maps.splitlines() if b"openblas" in maps else ():
        if b"openblas" in line:
            path = line.split(maxsplit=5)[-1].decode("utf-8", "surrogateescape")
            if path not in _handled_libraries:
                _handled_libraries.add(path)
                _disable_threads_of(path)


def _disable_threads_of(path: str) -> None:
    with suppress(OSError):  # the file was replaced on disk since it was loaded
        library = ctypes.CDLL(path)
        for name in _SYMBOL_FORMATS:
            parallel = getattr(library, name.format("openblas_get_parallel"), None)
            limit = getattr(library, name.format("openblas_set_num_threads"), None)
            if parallel is not None and limit is not None and parallel() == _POSIX_THREADS:
                limit(1)
