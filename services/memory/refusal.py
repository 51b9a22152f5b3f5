"""Memory that the system refuses to this process: said before a start, and in place of a crash.

Under a limit of the address space (`ulimit -v`) the libraries of the model crash rather than fail, and a container's
limit kills. Both limits are known beforehand, and what a ready process needs has been measured.
"""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

from services.core.errors import MillpondError, UnavailableError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.memory.cgroup import find_group

# Of a ready process over a small data folder, with room for its first questions; see `tests/siege/siege_memory.py`.
ADDRESS_SPACE_BYTES = 1750 * MEGABYTE
ADDRESS_SPACE_PER_CORE = 25 * MEGABYTE  # stacks and heaps of threads
RESIDENT_BYTES = 600 * MEGABYTE
_SIGNS = (
    "cannot allocate memory",
    "can't allocate memory",
    "failed to map segment",
    "can't start new thread",
    "bad_alloc",
    "out of memory",
    "not enough memory",
)


def require_memory(data_dir: Path) -> None:
    """Refuse to start where the limits leave less memory than a ready process needs.

    Raises:
        UnavailableError: what the limit is, how much is needed, and what to do.
    """
    index = _index_bytes(data_dir)
    _require(
        # The index is read into memory, and written from it.
        ADDRESS_SPACE_BYTES + ADDRESS_SPACE_PER_CORE * (os.cpu_count() or 1) + 2 * index,
        address_space_limit(),
        _(
            "Millpond cannot start: this process may use {limit} MB of address space (ulimit -v), and needs about "
            "{needed} MB. Nothing was changed."
        ),
        _("Raise the limit (ulimit -v unlimited, or LimitAS in the service's unit)."),
    )
    group = find_group()
    _require(
        RESIDENT_BYTES + index,
        group.limit_bytes() if group is not None else None,
        _(
            "Millpond cannot start: its container may use {limit} MB of memory, and it needs about {needed} MB. "
            "Nothing was changed."
        ),
        _("Raise the container's memory limit (docker run --memory, or MemoryMax in the service's unit)."),
    )


def _require(needed: int, limit: int | None, message: str, hint: str) -> None:
    if limit is not None and limit < needed:
        raise UnavailableError(message.format(limit=f"{limit // MEGABYTE:,}", needed=f"{needed // MEGABYTE:,}"), hint)


def address_space_limit() -> int | None:
    """Return the most bytes of address space that this process may have, None without a limit."""
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    return min((limit for limit in limits if limit != resource.RLIM_INFINITY), default=None)


def memory_refused(error: BaseException) -> MillpondError | None:
    """Return what to say if the system refused memory and `error` followed from that, else None."""
    seen: BaseException | None = error
    while seen is not None:
        if _is_refusal(seen):
            return UnavailableError(
                _("The system refused memory to this process. What was stored before is kept."),
                _("Free some memory on this machine, or raise the limit of this process (ulimit -v) or its container."),
            )
        seen = seen.__cause__ or seen.__context__
    return None


def _is_refusal(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    text = str(error).lower()
    return isinstance(error, (ImportError, RuntimeError, OSError)) and any(sign in text for sign in _SIGNS)


def _index_bytes(data_dir: Path) -> int:
    """Return the size of the largest saved index, 0 without one."""
    sizes = []
    for path in data_dir.glob("index/*/codes.npy"):
        try:
            sizes.append(path.stat().st_size)
        except OSError:
            continue
    return max(sizes, default=0)
