"""RSS of this run in blocks for its course: the last hour finely, a day by minutes, a fortnight by half hours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.memory.leaks.course import Course, trace_course
from services.memory.leaks.plateaus import Curve
from services.memory.leaks.readings import DAY, HOUR, WARM_UP, ReadingSource
from services.memory.leaks.statistics import block_starts, median
from services.memory.types import Floats, Series, Window

# The level is the median of so many seconds: a chart of an hour draws no finer.
LEVEL_SECONDS = 10.0
# Nothing was measured where two samples are further apart: seconds, and steps of the history.
GAP_SECONDS = 60.0
GAP_STEPS = 3.5


@dataclass(frozen=True, slots=True)
class Reach:
    """A part of the history: seconds back, seconds of a block, seconds between two readings, points read at most."""

    seconds: float
    block: float
    pace: float
    points: int


REACHES = (
    Reach(HOUR, 10.0, 0.0, 1900),
    Reach(28 * HOUR, 120.0, 120.0, 1700),
    Reach(14 * DAY, 1800.0, 1200.0, 1350),
)


class CourseReadings:
    """Reads RSS of this run, the older parts no more often than they change."""

    def __init__(self, history: ReadingSource) -> None:
        self._history = history
        self._windows: list[tuple[float, Window] | None] = [None] * len(REACHES)

    def course(self, now: float) -> Course | None:
        """Return the course up to `now` since the end of the warm-up, without causes; None before that."""
        begin = self._history.run_start() + WARM_UP
        parts: list[Curve] = []
        gaps: list[tuple[float, float]] = []
        until = now
        level: float | None = None
        for number, reach in enumerate(REACHES):
            if number and begin >= until:
                break
            window = self._window(number, reach, max(begin, now - reach.seconds), now)
            known = _known(window, begin, until)
            times, values = window.times[known], window.means[Series.RSS][known]
            if not len(times):
                continue
            if level is None:
                level = _level(times, values)
            step = max(window.step_seconds, median(np.diff(times)) if len(times) > 1 else 0.0)
            parts.append(_blocks(window, known, max(reach.block, step), step))
            gaps += _gaps(times, step, until)
            until = float(times[0]) - step / 2
        if level is None:
            return None
        parts.reverse()
        curve = Curve(*(np.concatenate([getattr(part, name) for part in parts]) for name in Curve.__slots__))
        return trace_course(curve, level, now, sorted(gaps))

    def _window(self, number: int, reach: Reach, start: float, now: float) -> Window:
        known = self._windows[number]
        if known is not None and now - known[0] < reach.pace:
            return known[1]
        window = self._history.window(start, now, columns=(Series.RSS,), points=reach.points)
        self._windows[number] = (now, window)
        return window


def _known(window: Window, begin: float, until: float) -> NDArray[np.bool_]:
    """Return which points are of this run, before `until`, and have RSS."""
    if not len(window):
        return np.zeros(0, dtype=np.bool_)
    known: NDArray[np.bool_] = (
        (window.runs == window.runs[-1])
        & (window.times >= begin + (window.step_seconds / 2 if window.step_seconds > WARM_UP / 2 else 0.0))
        & (window.times <= until)
        & ~np.isnan(window.means[Series.RSS])
    )
    return known


def _level(times: Floats, values: Floats) -> float:
    return median(values[times > times[-1] - LEVEL_SECONDS])


def _blocks(window: Window, known: NDArray[np.bool_], length: float, step: float) -> Curve:
    """Return the medians of blocks of `length` seconds on a fixed grid: they stay the same as time goes on."""
    times, values = window.times[known], window.means[Series.RSS][known]
    begins = block_starts(times, 0.0, length)
    if len(begins) > 2 and 2 * begins[1] <= begins[2] - begins[1]:
        begins = np.delete(begins, 1)  # of a sample or two by themselves, one outlier would be a level
    ends = np.append(begins[1:], len(times))
    lasts = times[ends - 1] + step
    return Curve(
        times[begins],
        np.minimum(lasts, np.append(times[begins[1:]], lasts[-1])),
        np.array([median(values[one:other]) for one, other in zip(begins, ends, strict=True)]),
        np.minimum.reduceat(window.minima[Series.RSS][known], begins),
        np.maximum.reduceat(window.maxima[Series.RSS][known], begins),
    )


def _gaps(times: Floats, step: float, end: float) -> list[tuple[float, float]]:
    """Return the times without samples, that up to `end` included."""
    moments = np.append(times, max(end, times[-1]))
    between = np.diff(moments)
    where = np.flatnonzero(between > max(GAP_SECONDS, GAP_STEPS * step))
    return [(float(moments[at]), float(moments[at + 1])) for at in where]
