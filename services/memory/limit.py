"""The memory limit of this process and what counts against it: one answer for all callers."""

from __future__ import annotations

import time

import psutil

from services.memory.budget.types import LimitSource
from services.memory.cgroup import MemoryGroup, find_group

# A container's limit can change while it runs; it is read again after so many seconds.
REFRESH_SECONDS = 5.0


class MemoryLimit:
    """The configured limit, else the container's, else a share of the machine's RAM; never more than the container's.

    Args:
        configured: bytes, 0: none.
        share: of the machine's RAM, used where there is no other limit.
    """

    def __init__(
        self, configured: int = 0, share: float = 1.0, *, proc: str = "/proc", groups: str = "/sys/fs/cgroup"
    ) -> None:
        self.group: MemoryGroup | None = find_group(proc, groups)
        self.total = int(psutil.virtual_memory().total)
        self._configured = configured
        self._share = share
        self._cached = (0, LimitSource.SHARE)
        self._expires = 0.0

    def current(self) -> tuple[int, LimitSource]:
        """Return the limit in bytes and its source, at most some seconds old (under a microsecond)."""
        now = time.monotonic()
        if now >= self._expires:
            self._cached = self.effective(self.group.limit_bytes() if self.group else None)
            self._expires = now + REFRESH_SECONDS
        return self._cached

    def effective(self, container: int | None) -> tuple[int, LimitSource]:
        """Return the limit in bytes and its source, given the container's limit in bytes (None: none)."""
        # A container's limit above the RAM has no effect.
        container = container if container is not None and container < self.total else None
        if self._configured and (container is None or self._configured <= container):
            return self._configured, LimitSource.CONFIGURED
        if container is not None:
            return container, LimitSource.CONTAINER
        return int(self.total * self._share), LimitSource.SHARE

    def used(self, rss: int) -> int:
        """Return the bytes that count against the limit: RSS, or the container's use where that is the limit.

        The container's use excludes file pages that the kernel can drop (about 50 microseconds to read).
        """
        if self.current()[1] is not LimitSource.CONTAINER or self.group is None:
            return rss
        return max(rss, self.group.used_bytes() or 0)
