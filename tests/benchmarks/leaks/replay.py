"""Replays a made-up history to the real detector, judged as it would have been while it came about."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from services.memory.clock import Clock
from services.memory.leaks.detector import Detector
from services.memory.leaks.probes import Probes
from services.memory.leaks.types import LeakKind, Verdict, VerdictState
from services.memory.types import Floats, Sample, Window
from tests.benchmarks.leaks.outcome import Outcome

MB = 2.0**20
HOUR = 3600.0
DAY = 86400.0
# A Tuesday in October, as good as any.
EPOCH = 1_792_454_400.0
_RANK = {VerdictState.UNKNOWN: 0, VerdictState.FLAT: 1, VerdictState.WATCH: 2, VerdictState.LEAK: 3}


@dataclass(frozen=True)
class Story:
    """A history that never happened: columns at `step` seconds; a leak that `begins` must be named `within` seconds."""

    columns: Mapping[str, Floats]
    step: float
    is_leak: bool = False
    kind: LeakKind | None = None
    begins: float = 0.0
    within: float = math.inf
    suspects: tuple[str, ...] = ()
    groups: Callable[[float], Counter[str]] | None = field(default=None)

    @property
    def length(self) -> float:
        return len(next(iter(self.columns.values()))) * self.step


class ManualClock(Clock):
    """A clock that is set by hand."""

    def __init__(self, now: float) -> None:
        super().__init__()
        self.now = now

    def time(self) -> float:
        return self.now


class Replayed:
    """The part of a history that has happened by the clock; merges as `History` does, but knows all from the start."""

    def __init__(self, story: Story, clock: Clock) -> None:
        self._clock = clock
        self._step = story.step
        self._columns = story.columns
        count = len(next(iter(story.columns.values())))
        self._times = EPOCH + np.arange(count) * story.step
        self._tiers = [
            (HOUR, _Tier(self._times, story.columns, 1)),
            (14 * DAY, _Tier(self._times, story.columns, max(1, round(60 / story.step)))),
            (400 * DAY, _Tier(self._times, story.columns, max(1, round(3600 / story.step)))),
        ]

    def run_start(self) -> float:
        return EPOCH

    def latest(self) -> Sample | None:
        index = int((self._clock.time() - EPOCH) / self._step)
        return Sample(self._times[index], {name: float(values[index]) for name, values in self._columns.items()})

    def window(self, start: float, end: float, *, columns: Collection[str], points: int) -> Window:
        now = self._clock.time()
        tier = next(tier for reach, tier in self._tiers if start >= now - reach - 1.0)
        return tier.window(start, min(end, now), columns, points)


class _Tier:
    def __init__(self, times: Floats, columns: Mapping[str, Floats], merged: int) -> None:
        count = len(times) // merged
        self.step = (times[1] - times[0]) * merged
        self.times = times[: count * merged].reshape(count, merged).mean(axis=1)
        self.minima, self.maxima = {}, {}
        for name, values in columns.items():
            blocks = values[: count * merged].reshape(count, merged)
            self.minima[name], self.maxima[name] = blocks.min(axis=1), blocks.max(axis=1)

    def window(self, start: float, end: float, columns: Collection[str], points: int) -> Window:
        first, last = np.searchsorted(self.times, (start, end - self.step / 2))
        merged = max(1, math.ceil((last - first) / points))
        last = max(first, last)
        begins = np.arange(0, last - first, merged)
        times = self.times[first:last][begins]
        unknown = np.full(len(times), np.nan)
        minima, maxima = dict.fromkeys(columns, unknown), dict.fromkeys(columns, unknown)
        for name in self.minima.keys() & set(columns):
            low, high = self.minima[name][first:last], self.maxima[name][first:last]
            if merged > 1 and len(begins):
                low, high = np.minimum.reduceat(low, begins), np.maximum.reduceat(high, begins)
            minima[name], maxima[name] = low, high
        return Window(times, self.step * merged, minima, minima, maxima, np.zeros(len(times), dtype=np.int64))


def replay(name: str, story: Story, *, pace: float | None = None) -> tuple[Outcome, list[float]]:
    """Judge all along; return the outcome and what each judgement cost in seconds of CPU."""
    clock = ManualClock(EPOCH)
    probes = Probes()
    if story.groups is not None:
        groups = story.groups
        probes = Probes(threads=lambda: groups(clock.now - EPOCH), descriptors=lambda: groups(clock.now - EPOCH))
    detector = Detector(clock, Replayed(story, clock), probes)
    every = pace or (30.0 if story.length <= 8 * HOUR else 120.0 if story.length <= 2 * DAY else 300.0)
    costs: list[float] = []
    worst: Verdict | None = None
    named: float | None = None
    moment = story.step
    while moment < story.length - story.step:
        clock.now = EPOCH + moment
        before = time.thread_time()
        verdict = detector.judge()
        costs.append(time.thread_time() - before)
        if worst is None or _RANK[verdict.state] >= _RANK[worst.state]:
            worst = verdict
        if verdict.state is VerdictState.LEAK:
            named = moment
            break
        moment += every
    assert worst is not None
    detail = ""
    if named is not None and story.is_leak:
        seconds = named - story.begins
        if not 0.0 <= seconds <= story.within:
            # Too early is as wrong as too late: it named something else.
            detail = f"named after {seconds / 60:.0f} min"
            worst = replace(worst, state=VerdictState.WATCH)
        return Outcome(name, True, worst, story.kind, story.suspects, seconds, detail), costs
    if named is not None:
        detail = f"named after {named / HOUR:.1f} h"
    return Outcome(name, story.is_leak, worst, story.kind, story.suspects, None, detail), costs
