"""The input of the detector: measures, window lengths, and the history in blocks, read no more often than it changes.

Fast growth must be reported at once, slow growth may be watched for longer. A cache that fills or a daily cycle looks
like a leak for as long as it rises: the growth required of a leak increases with the window, so that caches of a usual
size are full, and the day is over, before anything is reported. After most of a day little is enough.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from services.core.machine import MEGABYTE
from services.core.memory_report import Owner
from services.memory.leaks.growth import block_loads, cumulative_requests
from services.memory.leaks.statistics import block_starts
from services.memory.leaks.types import LeakKind
from services.memory.types import Floats, Sample, Series, Window, owner_column

MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0
# Window lengths in seconds. From two days on they are whole days.
SCALES: tuple[float, ...] = (
    *(220.0, 330.0, 500.0, 750.0, 1200.0, 1800.0, 2700.0),
    *(70 * MINUTE, 105 * MINUTE, 160 * MINUTE, 4 * HOUR, 6 * HOUR, 9 * HOUR, 13 * HOUR, 18 * HOUR, 27 * HOUR),
    *(2 * DAY, 3 * DAY, 5 * DAY, 7 * DAY, 14 * DAY),
)
SHORTEST = SCALES[0]
LONG = 18 * HOUR
# The part of a process's life that is never assessed: imports, models, first requests.
WARM_UP = 60.0
# A window begins no earlier than this share of its length after the start.
WARM_UP_SHARE = 0.05
BLOCKS = 32
# Seconds back, seconds between two readings, points: an hour at 1 s, 28 hours at 1 min, 14 days at 1 h.
REACHES: tuple[tuple[float, float, int], ...] = (
    (HOUR - MINUTE, 0.0, 1800),
    (28 * HOUR, 2 * MINUTE, 1700),
    (14 * DAY + HOUR, 20 * MINUTE, 1350),
)
# Blocks that the past of a window is cut into at most.
MOST_PAST = 400
# Owners that hold what was requested of them, or are bounded: their growth is no leak.
EXPLAINED: tuple[Owner, ...] = (
    Owner.LIBRARIES,
    Owner.RELOCATIONS,
    Owner.KERNELS,
    Owner.MODELS,
    Owner.INDEX,
    Owner.DATABASE,
    Owner.OWN_CACHES,
    Owner.WATCHING,
    Owner.FILES,
)
MINIMA: tuple[str, ...] = (
    Series.RSS,
    Series.LIVE,
    Series.HEAP_USED,
    Series.PYTHON_BLOCKS,
    Series.PYTHON_USED,
    Series.THREADS,
    Series.DESCRIPTORS,
    Series.GPU_ALLOCATED,
    *(owner_column(owner) for owner in Owner),
)
MAXIMA: tuple[str, ...] = (Series.REQUESTS, Series.SESSIONS, Series.GC_RUNS_2)
COLUMNS: tuple[str, ...] = (*MINIMA, *MAXIMA)


@dataclass(frozen=True, slots=True)
class Measure:
    """A series that is checked for leaks.

    `least_fast` and `least_slow` are the growth in its unit (bytes, or a count) that a leak must have reached in the
    shortest window and in windows of 18 hours or more; the first increases with the window to the power of `power`.
    """

    series: Series
    kind: LeakKind | None
    least_fast: float
    least_slow: float
    power: float = 0.17

    def least(self, window: float, headroom: float | None = None) -> float:
        """Return the growth that a leak must have reached in `window` seconds.

        `headroom` is what is left up to the limit: where that is little, less is required.
        """
        if window >= LONG:
            return self.least_slow
        least = self.least_fast * math.pow(window / SHORTEST, self.power)
        return least if headroom is None else min(least, max(headroom / 4, self.least_fast / 3))


LIVE = Measure(Series.LIVE, None, 96 * MEGABYTE, 12 * MEGABYTE)
RSS = Measure(Series.RSS, None, 96 * MEGABYTE, 16 * MEGABYTE)
GPU = Measure(Series.GPU_ALLOCATED, LeakKind.GPU, 96 * MEGABYTE, 16 * MEGABYTE)
THREADS = Measure(Series.THREADS, LeakKind.THREADS, 40, 12, power=0.0)
DESCRIPTORS = Measure(Series.DESCRIPTORS, LeakKind.DESCRIPTORS, 80, 24, power=0.0)


def review_interval(window: float) -> float:
    """Return after how many seconds a window of this length is assessed again."""
    return max(10.0, window / 40)


class Blocks:
    """A window in blocks of `length` seconds: `times` (n,) are their middles, columns their minima, counters maxima.

    Blocks without any sample are left out. It refers to the window: keep it no longer than one judgement.
    """

    def __init__(self, window: Window, start: float, end: float, count: int) -> None:
        self._window = window
        self._first, self._last = np.searchsorted(window.times, (start, end)).tolist()
        times = window.times[self._first : self._last]
        self.length = (end - start) / count
        self._begins = block_starts(times, start, self.length)
        self.times: Floats = start + (np.floor((times[self._begins] - start) / self.length) + 0.5) * self.length
        self._known: dict[str, Floats | None] = {}

    def __len__(self) -> int:
        return len(self.times)

    def get(self, column: str) -> Floats | None:
        """Return a column's values, None where most of them are not known; gaps are filled from the left."""
        if column not in self._known:
            self._known[column] = _fill_gaps(self.raw(column))
        return self._known[column]

    @cached_property
    def served(self) -> Floats | None:
        """Requests up to each block, None where there are too few."""
        return cumulative_requests(self.get(Series.REQUESTS))

    @cached_property
    def loads(self) -> list[Floats]:
        """The loads in each block that are known and not constant."""
        return block_loads(self.served, self.get(Series.SESSIONS))

    def raw(self, column: str) -> Floats:
        """Return a column's values with gaps as NaN."""
        if not len(self):
            return np.array([])
        if column in MAXIMA:
            return np.fmax.reduceat(self._window.maxima[column][self._first : self._last], self._begins)
        return np.fmin.reduceat(self._window.minima[column][self._first : self._last], self._begins)


def _fill_gaps(values: Floats) -> Floats | None:
    known = ~np.isnan(values)
    if not len(values) or known.sum() < 0.75 * len(values):
        return None
    if known.all():
        return values
    first = int(np.argmax(known))
    where = np.maximum.accumulate(np.where(known, np.arange(len(values)), first))
    filled: Floats = values[where]
    return filled


class ReadingSource(Protocol):
    """Where samples are read; `History` is one."""

    def window(self, start: float, end: float, *, columns: Collection[str], points: int) -> Window:
        """Return the history from `start` to `end`."""

    def run_start(self) -> float:
        """Return when this process began to be sampled."""

    def latest(self) -> Sample | None:
        """Return the newest sample."""


class Readings:
    """The history of this process without its warm-up, as blocks of any length."""

    def __init__(self, history: ReadingSource) -> None:
        self._history = history
        self._windows: list[Window | None] = [None] * len(REACHES)
        self._read = [-np.inf] * len(REACHES)
        self._cut: dict[tuple[float, float, int], Blocks] = {}
        self.begin = 0.0

    def refresh(self, now: float) -> None:
        """Read the parts of the history that are due."""
        self.begin = self._history.run_start() + WARM_UP
        self._cut.clear()
        for number, (reach, pace, points) in enumerate(REACHES):
            # A longer reach adds nothing while the process is younger than the next shorter one.
            if number and now - self.begin < REACHES[number - 1][0] * 0.9:
                continue
            if now - self._read[number] >= pace:
                start = max(self.begin, now - reach)
                self._windows[number] = self._history.window(start, now, columns=COLUMNS, points=points)
                self._read[number] = now

    def blocks(self, start: float, end: float, count: int = BLOCKS) -> Blocks | None:
        """Return `count` blocks from `start` to `end`; None when the history does not reach back so far."""
        known = self._cut.get((start, end, count))
        if known is not None:
            return known
        for window in self._windows:
            if window is not None and len(window) > 1 and window.times[0] - start <= max(2 * window.step_seconds, 5.0):
                # All measures use the same blocks.
                self._cut[start, end, count] = found = Blocks(window, start, end, count)
                return found
        return None

    def past(self, start: float, end: float, length: float) -> Iterator[Blocks]:
        """Yield the history from `start` to `end` in blocks of at least `length` seconds, the newest part first."""
        until = end
        for window in self._windows:
            if window is None or not len(window):
                continue
            since = max(start, float(window.times[0]))
            if since >= until:
                continue
            count = int((until - since) // max(length, window.step_seconds, (until - since) / MOST_PAST))
            if count >= 1:
                yield Blocks(window, since, until, count)
            until = since
