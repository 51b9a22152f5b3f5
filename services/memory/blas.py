"""OpenBLAS and forks: its threads must be out of the way before this process is copied.

OpenBLAS, when built on POSIX threads as in NumPy's and SciPy's wheels, ends its threads in a handler that the C library
runs before each fork (`openblas_fork_handler` in its driver/others/memory.c). A multiplication that another thread has
in progress then waits for them for good, and the fork with it. With one thread nothing is ever handed to others. What
this service computes in bulk goes through torch and FAISS, which are not affected.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path

_MAPS = Path("/proc/self/maps")
_NAMES = ("{}", "{}64_", "scipy_{}", "scipy_{}64_")  # as distributions rename them
_POSIX_THREADS = 1  # what openblas_get_parallel() says; 2 would be OpenMP, which forks well

_seen: set[str] = set()


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
