"""What the memory of this process is held against, and what counts as used: one answer for everybody who asks."""

from __future__ import annotations

import time

import psutil

from services.memory.budget.types import LimitSource
from services.memory.sampling.cgroup import MemoryGroup, find_group

# A container's limit can be changed while it runs; so often it is looked at.
LIMIT_SECONDS = 5.0


class MemoryLimit:
    """The configured limit, else the container's, else a share of the machine's RAM; never more than the container's.

    Args:
        configured: bytes, 0: none.
        share: of the RAM, where nothing else names a limit.
    """

    def __init__(
        self, configured: int = 0, share: float = 1.0, *, proc: str = "/proc", groups: str = "/sys/fs/cgroup"
    ) -> None:
        self.group: MemoryGroup | None = find_group(proc, groups)
        self.total = int(psutil.virtual_memory().total)
        self._configured = configured
        self._share = share
        self._found = (0, LimitSource.SHARE)
        self._until = 0.0

    def find(self) -> tuple[int, LimitSource]:
        """Return the limit in bytes and where it comes from, at most some seconds old (under a microsecond)."""
        now = time.monotonic()
        if now >= self._until:
            self._found = self.of(self.group.limit_bytes() if self.group else None)
            self._until = now + LIMIT_SECONDS
        return self._found

    def of(self, container: int | None) -> tuple[int, LimitSource]:
        """Return the limit where the container's is `container` bytes (None: it has none)."""
        # One that is above the RAM limits nothing.
        container = container if container is not None and container < self.total else None
        if self._configured and (container is None or self._configured <= container):
            return self._configured, LimitSource.CONFIGURED
        if container is not None:
            return container, LimitSource.CONTAINER
        return int(self.total * self._share), LimitSource.SHARE

    def used(self, rss: int) -> int:
        """Return what counts against the limit: RSS, or what the container uses where the limit is the container's.

        The container's use is without files that the kernel can drop (some 50 microseconds to read).
        """
        if self.find()[1] is not LimitSource.CONTAINER or self.group is None:
            return rss
        return max(rss, self.group.used_bytes() or 0)
