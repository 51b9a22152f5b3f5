"""What the detector asks the process for beside the history of samples: censuses, threads, descriptors, collections."""

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

import structlog

from services.core.errors import CancelledError
from services.core.events import EventKind, EventSink
from services.core.i18n import _
from services.memory.leaks.growth import Doubt
from services.memory.leaks.readings import HOUR, MINUTE, Readings
from services.memory.leaks.windows import MeasureWatch, window_blocks
from services.memory.objects.types import Census
from services.memory.process import rss_bytes, trim_heap
from services.memory.types import Series

log = structlog.get_logger(__name__)

_DESCRIPTORS = Path("/proc/self/fd")
_NUMBERS = re.compile(r"\d+")
_ADDRESSES = re.compile(r"0x[0-9a-fA-F]+")
MOST_GROUPS = 200
# Seconds between two full collections that are made to see what is in use.
COLLECTION_PACE = 45.0
MOST_KEPT = 6
# Seconds between two censuses.
CALM_PACE = HOUR / 2
SUSPICION_PACE = MINUTE
# A census costs a child process: the share of real time that censuses may take at most.
CALM_SHARE = 0.003
SUSPICION_SHARE = 0.1
# Real seconds until the next attempt after a census that failed; doubled each time.
RETRY = 30.0
MOST_RETRIES = 7


@dataclass(frozen=True, slots=True)
class Probes:
    """Callables that inspect this process; None where a probe is not available.

    `lines` returns the traced lines that grow and their bytes per hour, the fastest first; empty while tracing is off.
    """

    census: Callable[[], Census] | None = None
    lines: Callable[[], Sequence[tuple[str, float]]] | None = None
    threads: Callable[[], Counter[str]] | None = None
    descriptors: Callable[[], Counter[str]] | None = None
    collect: Callable[[], object] | None = None
    collects: Callable[[], bool] = gc.isenabled  # whether automatic collection is on
    trim: Callable[[], None] = trim_heap
    rss: Callable[[], int] = rss_bytes


def process_probes(
    census: Callable[[], Census] | None = None, lines: Callable[[], Sequence[tuple[str, float]]] | None = None
) -> Probes:
    """Return the probes of this process."""
    return Probes(census, lines, thread_groups, descriptor_groups, gc.collect)


def without_numbers(name: str) -> str:
    """Return a name with its numbers replaced by N, so that numbered instances share one name."""
    return _NUMBERS.sub("N", _ADDRESSES.sub("N", name))


def thread_groups() -> Counter[str]:
    """Count threads by name without numbers; threads that Python does not know go by the system's name for them."""
    groups = Counter(without_numbers(thread.name) for thread in threading.enumerate())
    known = {thread.native_id for thread in threading.enumerate()}
    with contextlib.suppress(OSError):
        for task in Path("/proc/self/task").iterdir():
            if int(task.name) not in known:
                with contextlib.suppress(OSError):  # it has ended
                    groups[without_numbers((task / "comm").read_text().strip())] += 1
    return _bounded(groups)


def descriptor_groups() -> Counter[str]:
    """Count open file descriptors by target: path without numbers, or kind (socket, pipe)."""
    groups: Counter[str] = Counter()
    with contextlib.suppress(OSError):
        for link in _DESCRIPTORS.iterdir():
            with contextlib.suppress(OSError):  # it was closed meanwhile
                target = str(link.readlink())
                groups[target.partition(":")[0] if ":[" in target else without_numbers(target)] += 1
    return _bounded(groups)


def _bounded(groups: Counter[str]) -> Counter[str]:
    return Counter(dict(groups.most_common(MOST_GROUPS)))


class CensusHistory:
    """Takes censuses when they are due and keeps a few of different ages, the newest last."""

    def __init__(self, take_census: Callable[[], Census] | None) -> None:
        self._take_census = take_census
        self._kept: list[Census] = []
        self._last_real = -float("inf")
        self._failures = 0

    @property
    def kept(self) -> tuple[Census, ...]:
        """The censuses, oldest first."""
        return tuple(self._kept)

    def update(self, now: float, *, suspicious: bool, urgent: bool = False) -> None:
        """Take a census if one is due; `urgent`: a leak is about to be reported."""
        if self._take_census is None:
            return
        if self._failures and time.perf_counter() - self._last_real < RETRY * 2**self._failures:
            return
        last = self._kept[-1] if self._kept else None
        if last is not None:
            waited = time.perf_counter() - self._last_real
            pace, share = (SUSPICION_PACE, SUSPICION_SHARE) if suspicious else (CALM_PACE, CALM_SHARE)
            if urgent:
                pace, share = SUSPICION_PACE / 2, 0.5
            if now - last.time < pace or waited < last.took / share:
                return
        try:
            census = self._take_census()
        except CancelledError:  # it made way; later again
            self._last_real = time.perf_counter()
            self._failures = 1
            return
        except Exception:
            # A verdict without suspects is better than none.
            log.exception("the census failed")
            self._failures = min(self._failures + 1, MOST_RETRIES)
            self._last_real = time.perf_counter()
            return
        self._failures = 0
        self._last_real = time.perf_counter()
        self._kept.append(census)
        if len(self._kept) > MOST_KEPT:
            self._thin()

    def since(self, moment: float) -> tuple[Census, ...]:
        """Return the censuses since `moment`, with the last one before it as the baseline."""
        before = [census for census in self._kept if census.time <= moment]
        return (*before[-1:], *(census for census in self._kept if census.time > moment))

    def _thin(self) -> None:
        """Drop the census whose neighbours are closest relative to their age, so that old ones end up far apart."""
        now = self._kept[-1].time
        gaps = [
            (self._kept[place + 1].time - self._kept[place - 1].time) / (now - self._kept[place - 1].time)
            for place in range(1, len(self._kept) - 1)
        ]
        del self._kept[gaps.index(min(gaps)) + 1]


class CollectionCheck:
    """Makes a full collection before growth of live bytes is called a leak.

    Between two full collections the memory in unreachable cycles grows like a leak. A collection stops the process,
    about 0.1 s for a million objects, so one is made only when a leak would be reported otherwise, and an event records
    it. Where automatic collection is off nothing will free the cycles: then that growth is the leak.
    """

    def __init__(self, probes: Probes, reporter: EventSink) -> None:
        self._probes = probes
        self._reporter = reporter
        self._last = 0.0

    def check(self, live: MeasureWatch, readings: Readings, now: float) -> None:
        """Doubt suspicious windows whose last quarter saw no full collection, and make one."""
        collect = self._probes.collect
        if collect is None or not self._probes.collects():
            return
        for trend in [trend for trend in live.trends.values() if trend.suspicious]:
            blocks = window_blocks(readings, trend.window, trend.time)
            runs = None if blocks is None else blocks.get(Series.GC_RUNS_2)
            if runs is None or runs[-1] > runs[-max(2, len(runs) // 4)]:
                continue
            live.doubt(trend, Doubt.CYCLES)
            if now - self._last < COLLECTION_PACE:
                continue
            self._last = now
            began, before = time.perf_counter(), self._probes.rss()
            collect()
            pause, after = time.perf_counter() - began, self._probes.rss()
            message = _("Collected, to check whether the growth is in use")
            self._reporter.event(EventKind.COLLECTION, message, pause_seconds=pause, rss_before=before, rss_after=after)
