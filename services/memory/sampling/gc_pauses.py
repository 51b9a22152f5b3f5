"""The pauses of the garbage collector: recorded from `gc.callbacks`, and summarized."""

from __future__ import annotations

import gc
import math
import threading
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

_GENERATIONS = 3
RECORDED_PAUSES = 1000
# By generation the pauses in each bucket of the histogram, and their sum in seconds.
PauseTotals = Mapping[int, tuple[Sequence[int], float]]


@dataclass(frozen=True, slots=True)
class Pause:
    """One collection: its time (seconds since the epoch), generation, the seconds that all threads stopped, and the
    number of objects it freed and could not free. `asked` is whether our code requested it, rather than Python."""

    time: float
    generation: int
    seconds: float
    collected: int
    uncollectable: int
    asked: bool = False


class PauseRecorder:
    """Times each collection. As a member of `gc.callbacks` it may run at any line of any thread, so it writes into
    preallocated arrays and acquires no lock.

    `bounds` are the upper bounds of the histogram's buckets in seconds.
    """

    bounds: Sequence[float] = (
        0.0001,
        0.00025,
        0.0005,
        0.001,
        0.0025,
        0.005,
        0.01,
        0.025,
        0.05,
        0.1,
        0.25,
        0.5,
        1.0,
        2.5,
    )

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._began = 0.0
        self._seconds = array("d", [0.0] * _GENERATIONS)
        self._buckets = [array("q", [0] * (len(self.bounds) + 1)) for _ in range(_GENERATIONS)]
        self._runs = 0
        self._times, self._took = (array("d", [0.0] * RECORDED_PAUSES) for _ in range(2))
        self._kinds, self._collected, self._uncollectable = (array("q", [0] * RECORDED_PAUSES) for _ in range(3))
        self._asked = bytearray(RECORDED_PAUSES)
        self._asking = 0  # id of the thread that requests a collection

    def start(self) -> None:
        """Start recording."""
        if self._record not in gc.callbacks:
            gc.callbacks.append(self._record)

    def close(self) -> None:
        """Stop recording; safe to call twice."""
        if self._record in gc.callbacks:
            gc.callbacks.remove(self._record)

    def pauses(self) -> PauseTotals:
        """Return by generation the counts of pauses per bucket (the last one: above all bounds) and the sum of all
        pauses in seconds, both since the start."""
        while True:
            runs = self._runs
            found = {number: (list(self._buckets[number]), self._seconds[number]) for number in range(_GENERATIONS)}
            if runs == self._runs:  # no collection in between: counts and sums belong together
                return found

    def recent(self, limit: int = RECORDED_PAUSES) -> list[Pause]:
        """Return the newest pauses, oldest first."""
        last = self._runs
        places = (number % RECORDED_PAUSES for number in range(max(0, last - min(limit, RECORDED_PAUSES)), last))
        return [
            Pause(
                self._times[place],
                self._kinds[place],
                self._took[place],
                self._collected[place],
                self._uncollectable[place],
                bool(self._asked[place]),
            )
            for place in places
        ]

    @contextmanager
    def requested(self) -> Iterator[None]:
        """Record the collections of this thread inside the block as requested; one thread at a time."""
        self._asking = threading.get_ident()
        try:
            yield
        finally:
            self._asking = 0

    def _record(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
            return
        if not self._began:
            return  # started during a collection
        took = time.perf_counter() - self._began
        self._began = 0.0
        generation = info["generation"]
        self._seconds[generation] += took
        self._buckets[generation][bisect_left(self.bounds, took)] += 1
        place = self._runs % RECORDED_PAUSES
        self._times[place] = self._now()
        self._kinds[place] = generation
        self._took[place] = took
        self._collected[place] = info["collected"]
        self._uncollectable[place] = info["uncollectable"]
        self._asked[place] = self._asking == threading.get_ident()
        self._runs += 1


@dataclass(frozen=True, slots=True)
class PauseFigures:
    """A summary of the pauses from `begin` (seconds since the epoch) on; durations in seconds, None without a pause.

    `begin` is later than requested where older pauses are no longer recorded.
    """

    begin: float
    count: int
    total: float
    p95: float | None
    longest: float | None


def summarize_recent(recent: Sequence[Pause], begin: float, recorded: int = RECORDED_PAUSES) -> PauseFigures:
    """Summarize the pauses in `recent` (oldest first) from `begin` on; at most `recorded` are ever kept."""
    if len(recent) >= recorded:
        begin = max(begin, recent[0].time)
    lengths = sorted(pause.seconds for pause in recent if pause.time >= begin)
    if not lengths:
        return PauseFigures(begin, 0, 0.0, None, None)
    return PauseFigures(begin, len(lengths), sum(lengths), percentile_95(lengths), lengths[-1])


def percentile_95(values: Sequence[float]) -> float:
    """Return the 95th percentile by nearest rank."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def longest_pauses(recent: Sequence[Pause], limit: int) -> list[Pause]:
    """Return the `limit` longest pauses, longest first."""
    return sorted(recent, key=lambda pause: (-pause.seconds, pause.time))[:limit]
