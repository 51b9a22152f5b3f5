"""Points of the history and their merging into coarser tiers: pure, vectorized functions over arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.memory.types import Floats

Ints = NDArray[np.int64]
# float32 if read from disk, else float64.
Values = NDArray[np.floating[Any]]
# Widths of a point in seconds, fixed so that the points of a chart stay in place from one update to the next.
_WIDTHS = (1, 2, 3, 5, 10, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """`n` points in time order. `times` and `counts` (samples in a point) are (n,), `runs` (n,), the others (n, k)."""

    times: Floats
    counts: Floats
    runs: Ints
    means: Values
    minima: Values
    maxima: Values

    def __len__(self) -> int:
        return len(self.times)

    def where(self, mask: NDArray[np.bool_]) -> Points:
        """Return the points for which `mask` (n,) is true."""
        if mask.all():
            return self
        return Points(*(getattr(self, name)[mask] for name in self.__slots__))


def samples(times: Floats, runs: Ints, values: Values) -> Points:
    """Return single samples as points; `values` is (n, k)."""
    return Points(times, np.ones(len(times)), runs, values, values, values)


def join(parts: list[Points]) -> Points:
    """Return the concatenation of `parts`, which follow each other in time."""
    filled = [part for part in parts if len(part)] or parts[:1]
    if len(filled) == 1:
        return filled[0]
    return Points(*(np.concatenate([getattr(part, name) for part in filled]) for name in Points.__slots__))


def merge(points: Points, keys: Ints) -> Points:
    """Merge neighbours with the same key (n,): means weighted by their counts, lowest minima, highest maxima.

    Unknown values (NaN) are ignored; where all are unknown the result is NaN. A merged point has the run of its last
    part.
    """
    if not len(points):
        return points
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    if len(starts) == len(points):
        return points
    ends = np.append(starts[1:], len(points)) - 1
    counts = np.add.reduceat(points.counts, starts)
    origin = points.times[0]
    times = origin + np.add.reduceat((points.times - origin) * points.counts, starts) / counts
    unknown = np.isnan(points.means)
    weighted = points.means * points.counts[:, None]
    total = counts[:, None]
    if unknown.any():
        weighted[unknown] = 0.0
        total = np.add.reduceat(np.where(unknown, 0.0, points.counts[:, None]), starts, axis=0)
    sums = np.add.reduceat(weighted, starts, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        minima = np.fmin.reduceat(points.minima, starts, axis=0)
        maxima = np.fmax.reduceat(points.maxima, starts, axis=0)
        # Rounding must not carry a mean beyond its minimum and maximum.
        means = np.clip(np.where(total > 0, sums / total, np.nan), minima, maxima)
    return Points(times, counts, points.runs[ends], means, minima, maxima)


def width_for(seconds: float, step: float, points: int) -> float:
    """Return the smallest standard width of a point, at least `step`, at which `seconds` take at most `points`."""
    least = max(step, seconds / max(1, points - 1))
    return float(next((width for width in _WIDTHS if width >= least), np.ceil(least / 86400) * 86400))


def limit_points(points: Points, step: float, limit: int) -> tuple[Points, float]:
    """Return at most `limit` points, merged as needed, and the time between them in seconds.

    Points of different runs are kept apart where that fits.
    """
    if len(points) <= limit:
        return points, step
    width = width_for(float(points.times[-1] - points.times[0]), step, limit)
    keys = np.floor(points.times / width).astype(np.int64)
    if limit < 2:
        keys[:] = 0  # a single point may lie across two cells of the grid
    apart = np.cumsum((np.diff(keys, prepend=keys[:1]) != 0) | (np.diff(points.runs, prepend=points.runs[:1]) != 0))
    return merge(points, apart if apart[-1] < limit else keys), width


@dataclass(frozen=True, slots=True)
class Tier:
    """A tier of the downsampled history: `step` seconds between points, `length` points in a block, `kept` blocks."""

    id: int
    step: float
    length: int
    kept: int

    @property
    def reach(self) -> float:
        """How far back it reaches at least, in seconds: the newest block is incomplete."""
        return self.step * self.length * (self.kept - 1)

    def block(self, time: float) -> int:
        """Return the number of the block that contains `time`."""
        return int(time // (self.step * self.length))


MINUTES = Tier(1, 60.0, 1440, 15)  # blocks of a day, 14 days
HOURS = Tier(2, 3600.0, 720, 14)  # blocks of 30 days, 390 days
