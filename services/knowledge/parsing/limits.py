"""Resource limits of parser children: address space, CPU time, open files, environment.

Without the `resource` module (Windows) only the wall-clock limit holds, and `unlimited` says so.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import sys
from dataclasses import dataclass
from typing import Any

from services.core.i18n import _
from services.core.machine import MEGABYTE

resource: Any
try:
    import resource
except ImportError:  # Windows
    resource = None

# Address space that a parser needs beyond its libraries.
MIN_FREE_MB = 48
OPEN_FILES = 64
# Below the threads of the pipeline, one of which may hold the interpreter's lock that a question waits for.
NICENESS = 15
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

# The only environment variables of a parser beside PYTHONPATH: no settings or secrets of the service.
_KEPT = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "TEMP", "TMP", "VIRTUAL_ENV")
_FIXED = {
    "TOKENIZERS_PARALLELISM": "false",  # its threads would not survive a fork
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "PYTHONUTF8": "1",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Address space in MB, CPU time in seconds, and what the process may add to that (`allow_more_cpu`)."""

    memory_mb: int
    cpu_seconds: int
    more_cpu_seconds: int = 0


def minimal_environment(python_path: str) -> dict[str, str]:
    """Return the environment of the fork server: enough to find Python and its libraries, no secrets."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, **_FIXED, "PYTHONPATH": python_path}


def can_fork() -> bool:
    """Whether files are parsed in forked children with limits, or in new processes without."""
    return resource is not None and hasattr(os, "fork")


def unlimited() -> tuple[str, ...]:
    """Return the names of the resources that this operating system cannot limit; empty if none."""
    if not can_fork():
        return (_("memory"), _("CPU time"), _("open files"))
    return (_("memory"),) if sys.platform == "darwin" else ()


def apply(limits: Limits) -> None:
    """Apply `limits` to the calling process, a new child.

    Raises:
        MemoryError: the loaded libraries leave no memory under the limit.
    """
    if resource is None:
        return
    memory = limits.memory_mb * MEGABYTE
    if memory - _address_space() < MIN_FREE_MB * MEGABYTE:
        raise MemoryError
    for kind, soft, hard in (
        (resource.RLIMIT_AS, memory, memory),
        # The soft limit ends the process with SIGXCPU, which tells the reason; the hard one is the fallback.
        (resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + limits.more_cpu_seconds + 5),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES),
    ):
        try:
            resource.setrlimit(kind, (soft, hard))
        except (ValueError, OSError):
            # macOS refuses RLIMIT_AS; a stricter limit set from outside stays as it is.
            continue
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))


def set_cpu_limit(cpu_seconds: int) -> None:
    """Set the soft limit of CPU time within the hard one of `apply`, for a child that gets another job."""
    if resource is not None:
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        soft = cpu_seconds if hard == resource.RLIM_INFINITY else min(cpu_seconds, hard)
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def allow_more_cpu(seconds: float) -> None:
    """Raise the soft limit of CPU time by what a page took that has a limit of its own."""
    if resource is not None:
        soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
        raised = soft + math.ceil(seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (raised if hard == resource.RLIM_INFINITY else min(raised, hard), hard))


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent, a process id, ends (Linux only)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the call
        os._exit(1)


def _address_space() -> int:
    """Return the bytes of address space in use, 0 where the system does not report them."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - runs in every child, pathlib costs more
            return int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
