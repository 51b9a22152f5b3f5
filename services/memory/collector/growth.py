"""How much came since the last full collection, whoever made it, and whether that is enough for another one."""

from __future__ import annotations

import sys
from collections.abc import Callable

from services.memory.collector.collecting import full_collections
from services.memory.collector.policy_types import Level
from services.memory.process import rss_bytes

MB = 1_000_000
# In a quiet moment a collection disturbs nobody: about 2 MB of Python objects are worth it.
IDLE = Level(20_000, 16 * MB)
# After big work it is likely to bring something.
BIG_WORK = Level(5_000, 8 * MB)
# Under load by a share of what is in use, between these two.
LEAST, MOST = Level(50_000, 32 * MB), Level(300_000, 128 * MB)
BLOCK_SHARE, RSS_SHARE = 0.2, 0.1
# A collection under load that gave back less than this share of what had come, or hardly anything, was in vain: then
# more must come for the next.
_WORTH, _HARDLY = 0.1, Level(5000, 4 * MB)
_PATIENCE = 4


def own_level() -> Level:
    """Return what this process has in use now (0.2 ms)."""
    return Level(sys.getallocatedblocks(), rss_bytes())


class Growth:
    """Follows the memory in use from its lowest point since the last full collection."""

    def __init__(self, level: Callable[[], Level] = own_level) -> None:
        self._level = level
        self._low = level()
        self._runs = full_collections()
        self._patience = 1

    @property
    def full(self) -> int:
        """How many full collections there had been at the last look."""
        return self._runs

    def begin(self) -> None:
        """Count from now on."""
        self._runs, self._low = full_collections(), self._level()

    def look(self) -> Level:
        """Return what is in use now; a full collection that somebody else made begins a new count."""
        level, runs = self._level(), full_collections()
        if runs != self._runs:
            self._runs, self._low = runs, level
        self._low = Level(min(self._low.blocks, level.blocks), min(self._low.rss, level.rss))
        return level

    def grown(self, level: Level) -> Level:
        """Return how far `level` is above the lowest point."""
        return Level(level.blocks - self._low.blocks, level.rss - self._low.rss)

    def needed(self) -> Level:
        """Return what must have come under load."""
        blocks = min(max(int(BLOCK_SHARE * self._low.blocks), LEAST.blocks), MOST.blocks)
        rss = min(max(int(RSS_SHARE * self._low.rss), LEAST.rss), MOST.rss)
        return Level(blocks * self._patience, rss * self._patience)

    def collected(self, before: Level, *, under_load: bool) -> Level:
        """Begin a new count after a full collection of our own; returns what is in use now."""
        grown, after = self.grown(before), self._level()
        worth = before.blocks - after.blocks >= max(_WORTH * grown.blocks, _HARDLY.blocks)
        worth = worth or before.rss - after.rss >= max(_WORTH * grown.rss, _HARDLY.rss)
        if worth:
            self._patience = 1
        elif under_load:
            self._patience = min(2 * self._patience, _PATIENCE)
        self._runs, self._low = full_collections(), after
        return after


def reached(grown: Level, needed: Level) -> bool:
    """Return whether enough came, in blocks or in resident memory."""
    return grown.blocks >= needed.blocks or grown.rss >= needed.rss
