"""What is around the process: the machine's memory, its container, memory pressure, and the limit that holds."""

from __future__ import annotations

from collections.abc import Mapping

import psutil

from services.memory.limit import MemoryLimit
from services.memory.sampling.files import field, read
from services.memory.types import Series

_KB = 1024


class SurroundingsSource:
    """Reads the surroundings. `limit_bytes` is what RSS is held against; 0: the container's limit or the RAM.

    Where somebody else also holds RSS against a `limit`, it is the same one.
    """

    def __init__(
        self,
        limit_bytes: int = 0,
        *,
        limit: MemoryLimit | None = None,
        proc: str = "/proc",
        groups: str = "/sys/fs/cgroup",
    ) -> None:
        self._limit = limit or MemoryLimit(limit_bytes, proc=proc, groups=groups)
        self._pressure = f"{proc}/pressure/memory"
        self._memory = f"{proc}/meminfo"
        self._group = self._limit.group

    def __call__(self) -> Mapping[str, float]:
        """Return what this system can tell."""
        group = self._group
        used, group_limit = (group.used_bytes(), group.limit_bytes()) if group else (None, None)
        found: dict[str, float | None] = {
            Series.PRESSURE: _share(read(self._pressure)),
            Series.GROUP_USED: used,
            Series.GROUP_LIMIT: group_limit,
            Series.AVAILABLE: self._available(),
            Series.LIMIT: self._limit.of(group_limit)[0],
        }
        return {name: float(value) for name, value in found.items() if value is not None}

    def _available(self) -> int:
        kilobytes = field(read(self._memory) or b"", b"MemAvailable:")
        return _KB * kilobytes if kilobytes is not None else int(psutil.virtual_memory().available)


def _share(text: bytes | None) -> float | None:
    """Return the share of the last 10 s in which some task waited for memory.

    https://docs.kernel.org/accounting/psi.html
    """
    first = (text or b"").split(b"\n", 1)[0].split()
    for word in first[1:]:
        name, _, value = word.partition(b"=")
        if name == b"avg10":
            return float(value) / 100
    return None
