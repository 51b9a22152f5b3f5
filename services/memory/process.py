"""The memory of this process, as the operating system counts it.

OpenBLAS and forks: its threads must be out of the way before this process is copied.

OpenBLAS, when built on POSIX threads as in NumPy's and SciPy's wheels, ends its threads in a handler that the C library
runs before each fork (`openblas_fork_handler` in its driver/others/memory.c). A multiplication that another thread has
in progress then waits for them for good, and the fork with it. With one thread nothing is ever handed to others. What
this service computes in bulk goes through torch and FAISS, which are not affected.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

import psutil

# malloc.h of glibc
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
# Where glibc's border between blocks in arenas and blocks with a mapping of their own ends up after the first big file.
_MMAP_THRESHOLD = 32 * 1024 * 1024
_process = psutil.Process()
_MAPS = Path("/proc/self/maps")
_NAMES = ("{}", "{}64_", "scipy_{}", "scipy_{}64_")  # as distributions rename them
_POSIX_THREADS = 1  # what openblas_get_parallel() says; 2 would be OpenMP, which forks well
_seen: set[str] = set()


def rss_bytes() -> int:
    """Return the resident set size of this process in bytes (about 8 microseconds)."""
    return int(_process.memory_info().rss)


def heap_bytes() -> int | None:
    """Return what the C allocator has handed out in bytes, mapped blocks included; None where it cannot tell.

    Usually 20 to 50 microseconds; it walks the free lists, which takes 10 ms when they hold 100,000 pieces.
    """
    info = getattr(psutil, "heap_info", None)
    if info is None:
        return None
    found = info()
    return int(found.heap_used + found.mmap_used)


def trim_heap() -> None:
    """Give the allocator's free pages back to the operating system, where the C library can (glibc's malloc_trim).

    What the allocator keeps after a big load is no leak, but it would look like one and is of use to nobody.
    """
    # Only there where psutil was built against a C library with heap figures.
    trim = getattr(psutil, "heap_trim", None)
    if trim is not None:
        trim()


def limit_arenas(count: int) -> bool:
    """Have the C library divide the allocator's memory into at most `count` arenas (glibc's mallopt(3)).

    By default every thread gets another one, up to eight a core. What lives long is then scattered over all of them and
    keeps freed pages from going back. Works only before other threads have begun; 0 changes nothing, and what the
    environment says (MALLOC_ARENA_MAX, GLIBC_TUNABLES) stands. Returns whether it was done.
    """
    return count > 0 and not _is_told("MALLOC_ARENA_MAX") and _mallopt(_M_ARENA_MAX, count)


def fix_mmap_threshold() -> bool:
    """Fix the size from which a block gets a mapping of its own, 32 MiB, instead of letting it grow (mallopt(3)).

    glibc begins with 128 KiB and takes over the size of each mapped block that is freed, up to 32 MiB; what is free at
    an arena's end goes back from twice that. So blocks that live long move into the arenas one day, late, which looks
    like a leak. What the environment says (MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_, GLIBC_TUNABLES) stands.
    Returns whether it was done.
    """
    if _is_told("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
        return False
    return _mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD) and _mallopt(_M_TRIM_THRESHOLD, 2 * _MMAP_THRESHOLD)


def _is_told(*variables: str) -> bool:
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    return any(name in os.environ or name.lower().removeprefix("malloc_").strip("_") in tunables for name in variables)


def _mallopt(parameter: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(parameter, value))
    except AttributeError:  # another C library
        return False


def compute_in_one_thread() -> None:
    """Have every OpenBLAS that is loaded by now compute in the thread that calls it (about a millisecond)."""
    try:
        maps = _MAPS.read_bytes()
    except OSError:
        return  # no such file system, and no such wheels either
    for line in maps.splitlines() if b"openblas" in maps else ():
        if b"openblas" in line:
            path = line.split(maxsplit=5)[-1].decode("utf-8", "surrogateescape")
            if path not in _seen:
                _seen.add(path)
                _limit(path)


def _limit(path: str) -> None:
    with suppress(OSError):  # replaced on disk since it was loaded
        library = ctypes.CDLL(path)
        for name in _NAMES:
            parallel = getattr(library, name.format("openblas_get_parallel"), None)
            limit = getattr(library, name.format("openblas_set_num_threads"), None)
            if parallel is not None and limit is not None and parallel() == _POSIX_THREADS:
                limit(1)
