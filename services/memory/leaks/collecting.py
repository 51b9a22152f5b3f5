"""A full collection before objects are called a leak."""

from __future__ import annotations

import time

from services.memory.leaks.growth import Doubt
from services.memory.leaks.probes import Probes
from services.memory.leaks.readings import Readings
from services.memory.leaks.watching import Watching, blocks_of
from services.memory.types import Series
from services.reporting import EventKind, Reporter
from services.texts import _

# Seconds between two collections that are made to see what is in use.
PACE = 45.0


class Collecting:
    """Sees to it that the collector has looked at what grew.

    Between two full collections the memory in unreachable cycles grows like a leak. A collection stops the process for
    its duration, about 0.1 s for a million objects: one is made only when a leak would be named otherwise, and the
    event says so. Where the collector was switched off nothing will ever look: then that growth is the leak.
    """

    def __init__(self, probes: Probes, reporter: Reporter) -> None:
        self._probes = probes
        self._reporter = reporter
        self._last = 0.0

    def check(self, live: Watching, readings: Readings, now: float) -> None:
        """Doubt windows that look like a leak and whose last quarter no full collection has seen; have one then."""
        collect = self._probes.collect
        if collect is None or not self._probes.collects():
            return
        for look in [look for look in live.looks.values() if look.suspicious]:
            blocks = blocks_of(readings, look.window, look.time)
            runs = None if blocks is None else blocks.get(Series.GC_RUNS_2)
            if runs is None or runs[-1] > runs[-max(2, len(runs) // 4)]:
                continue
            live.doubt(look, Doubt.CYCLES)
            if now - self._last < PACE:
                continue
            self._last = now
            began, before = time.perf_counter(), self._probes.rss()
            collect()
            pause, after = time.perf_counter() - began, self._probes.rss()
            told = _("Collected, to see whether what grows is in use")
            self._reporter.event(EventKind.COLLECTION, told, pause_seconds=pause, rss_before=before, rss_after=after)
