"""What the detector can ask of the process besides the history: censuses, threads, descriptors, traced lines.

A full collection before objects are called a leak.
"""

from __future__ import annotations

import contextlib
import gc
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.core.events import EventKind, EventSink
from services.core.i18n import _
from services.memory.leaks.growth import Doubt
from services.memory.leaks.readings import Readings
from services.memory.leaks.windows import MeasureWatch, blocks_of
from services.memory.objects.types import Census
from services.memory.process import rss_bytes, trim_heap
from services.memory.types import Series

_FOLDER = Path("/proc/self/fd")
_NUMBERS = re.compile(r"\d+")
_ADDRESSES = re.compile(r"0x[0-9a-fA-F]+")
MOST_GROUPS = 200
# Seconds between two collections that are made to see what is in use.
PACE = 45.0


@dataclass(frozen=True, slots=True)
class Probes:
    """Callables that look at this process; None where there is nothing to ask.

    `lines` returns the traced lines that grow, with bytes per hour, the fastest first; empty while tracing is off.
    """

    census: Callable[[], Census] | None = None
    lines: Callable[[], Sequence[tuple[str, float]]] | None = None
    threads: Callable[[], Counter[str]] | None = None
    descriptors: Callable[[], Counter[str]] | None = None
    collect: Callable[[], object] | None = None
    collects: Callable[[], bool] = gc.isenabled  # whether the collector runs by itself
    trim: Callable[[], None] = trim_heap
    rss: Callable[[], int] = rss_bytes


def own_process(
    census: Callable[[], Census] | None = None, lines: Callable[[], Sequence[tuple[str, float]]] | None = None
) -> Probes:
    """Return probes that look at this very process."""
    return Probes(census, lines, thread_groups, descriptor_groups, gc.collect)


def grouped(name: str) -> str:
    """Return a name with its numbers replaced, so that what is made in series has one name."""
    return _NUMBERS.sub("N", _ADDRESSES.sub("N", name))


def thread_groups() -> Counter[str]:
    """Count the threads by name; those that Python does not know go by the name that the system has for them."""
    groups = Counter(grouped(thread.name) for thread in threading.enumerate())
    known = {thread.native_id for thread in threading.enumerate()}
    with contextlib.suppress(OSError):
        for task in Path("/proc/self/task").iterdir():
            if int(task.name) not in known:
                with contextlib.suppress(OSError):  # it has ended
                    groups[grouped((task / "comm").read_text().strip())] += 1
    return _bounded(groups)


def descriptor_groups() -> Counter[str]:
    """Count the open file descriptors by what they lead to: a file (by its path), sockets, pipes."""
    groups: Counter[str] = Counter()
    with contextlib.suppress(OSError):
        for link in _FOLDER.iterdir():
            with contextlib.suppress(OSError):  # it was closed meanwhile
                target = str(link.readlink())
                groups[target.partition(":")[0] if ":[" in target else grouped(target)] += 1
    return _bounded(groups)


def _bounded(groups: Counter[str]) -> Counter[str]:
    return Counter(dict(groups.most_common(MOST_GROUPS)))


class CollectionCheck:
    """Sees to it that the collector has looked at what grew.

    Between two full collections the memory in unreachable cycles grows like a leak. A collection stops the process for
    its duration, about 0.1 s for a million objects: one is made only when a leak would be named otherwise, and the
    event says so. Where the collector was switched off nothing will ever look: then that growth is the leak.
    """

    def __init__(self, probes: Probes, reporter: EventSink) -> None:
        self._probes = probes
        self._reporter = reporter
        self._last = 0.0

    def check(self, live: MeasureWatch, readings: Readings, now: float) -> None:
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
