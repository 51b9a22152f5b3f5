"""The collector's settings of this very process: read, set, and put back as they were."""

from __future__ import annotations

import gc
import time

from services.memory.collector.rules import Thresholds
from services.memory.collector.types import CollectorSettings

# Counting tracked objects copies the collector's lists: 20 ms for a million.
_COUNT_SECONDS = 15.0


def thresholds() -> Thresholds:
    """Return the thresholds that are in use."""
    first, second, third = gc.get_threshold()
    return first, second, third


class OwnCollector:
    """Sets `gc`, and knows how it was before the first change. Whoever calls it holds a lock."""

    def __init__(self) -> None:
        self._found: tuple[Thresholds, bool] | None = None
        self._froze = False
        self._tracked = 0
        self._counted = float("-inf")

    def use(self, settings: CollectorSettings) -> None:
        """Set thresholds, and switch on or off."""
        if self._found is None:
            self._found = thresholds(), gc.isenabled()
        gc.set_threshold(*settings.thresholds)
        (gc.enable if settings.automatic else gc.disable)()

    def freeze(self) -> int:
        """Hide all present objects; returns how many more are hidden now."""
        before = gc.get_freeze_count()
        gc.freeze()
        self._froze = True
        self._counted = float("-inf")
        return gc.get_freeze_count() - before

    def unfreeze(self) -> int:
        """Show all objects again; returns how many were hidden."""
        before = gc.get_freeze_count()
        gc.unfreeze()
        self._froze = False
        self._counted = float("-inf")
        return before

    def tracked(self, *, count: bool = True) -> int:
        """Return how many objects the collector can see; at most 15 seconds old, unless nothing is to be counted."""
        now = time.monotonic()
        if count and now - self._counted > _COUNT_SECONDS:
            self._counted = now
            self._tracked = len(gc.get_objects())
        return self._tracked

    def restore(self) -> None:
        """Put everything back as it was before the first change."""
        if self._froze:
            self.unfreeze()
        if self._found is not None:
            found, enabled = self._found
            gc.set_threshold(*found)
            (gc.enable if enabled else gc.disable)()
            self._found = None
