"""The newest samples in RAM, one row each, and the downsampling of completed hours into minutes and the hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.memory.history.downsample import HOURS, MINUTES, Ints, Points, Tier, merge, samples
from services.memory.types import COLUMNS, Floats, Sample

_INDEX = {column: index for index, column in enumerate(COLUMNS)}
HOUR = HOURS.step


@dataclass(frozen=True, slots=True)
class Rows:
    """Samples in order: `numbers` (n,) are consecutive over all runs, `values` is (n, columns)."""

    numbers: Ints
    times: Floats
    runs: Ints
    values: Floats

    def __len__(self) -> int:
        return len(self.times)

    def where(self, mask: NDArray[np.bool_]) -> Rows:
        """Return the rows for which `mask` (n,) is true."""
        return Rows(self.numbers[mask], self.times[mask], self.runs[mask], self.values[mask])


class Ring:
    """A bounded number of samples as float64, one column for each of COLUMNS. Not thread-safe: `History` locks."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.next = 0  # number of the next row
        self._first = 0
        self._times = np.full(capacity, np.nan)
        self._runs = np.zeros(capacity, dtype=np.int64)
        self._values = np.full((capacity, len(COLUMNS)), np.nan)

    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Return the address ranges of the arrays: (address, length in bytes)."""
        return tuple((array.ctypes.data, array.nbytes) for array in (self._times, self._runs, self._values))

    @property
    def first(self) -> int:
        """The number of the oldest row."""
        return max(self._first, self.next - self.capacity)

    def append(self, sample: Sample, run: int) -> None:
        """Append a sample, replacing the oldest one when full."""
        place = self.next % self.capacity
        row = self._values[place]
        row[:] = np.nan
        _fill(row, sample.values)
        self._times[place] = sample.time
        self._runs[place] = run
        self.next += 1

    def load(self, rows: Rows) -> None:
        """Load the rows of earlier runs. Rows later in time than their successors are left out: the clock was wrong."""
        if not len(rows):
            return
        places = rows.numbers % self.capacity
        self._first, self.next = int(rows.numbers[0]), int(rows.numbers[-1]) + 1
        later = np.minimum.accumulate(rows.times[::-1])[::-1]
        self._times[places] = np.where(rows.times <= later, rows.times, np.nan)
        self._runs[places] = rows.runs
        self._values[places] = rows.values

    def drop_after(self, time: float) -> None:
        """Leave out rows after `time`: the clock was ahead when they were taken."""
        with np.errstate(invalid="ignore"):
            self._times[self._times > time] = np.nan

    def rows(self, since: int = 0, columns: Sequence[int] | None = None) -> Rows:
        """Return copies of the rows from number `since` on, of the given columns or all, without rows left out."""
        numbers = np.arange(max(since, self.first), self.next, dtype=np.int64)
        places = numbers % self.capacity
        known = ~np.isnan(self._times[places])
        numbers, places = numbers[known], places[known]
        if columns is None:
            values = self._values[places]
        else:
            values = self._values[np.ix_(places, np.asarray(columns, dtype=np.intp))]
        return Rows(numbers, self._times[places], self._runs[places], values)

    def oldest(self) -> float:
        """Return the time of the oldest row, NaN when there is none."""
        times = self.rows(columns=()).times
        return float(times[0]) if len(times) else np.nan


def _fill(row: Floats, values: Mapping[str, float]) -> None:
    for column, value in values.items():
        index = _INDEX.get(column)
        if index is not None:
            row[index] = value


@dataclass(frozen=True, slots=True, eq=False)
class ClosedHour:
    """A completed hour, as minutes and as one hour, all columns."""

    minutes: Points
    hour: Points

    @property
    def begin(self) -> float:
        """The start of the hour in seconds since the epoch."""
        return float(self.hour.times[0]) // HOUR * HOUR

    def points(self, tier: Tier) -> Points:
        """Return its points in a tier."""
        return self.minutes if tier is MINUTES else self.hour


def close_hour(rows: Rows) -> ClosedHour:
    """Downsample the rows of one hour."""
    minutes = downsample(rows, MINUTES)
    return ClosedHour(minutes, merge(minutes, np.floor(minutes.times / HOURS.step).astype(np.int64)))


def downsample(rows: Rows, tier: Tier) -> Points:
    """Return rows merged into the points of a tier."""
    points = samples(rows.times, rows.runs, rows.values)
    return merge(points, np.floor(points.times / tier.step).astype(np.int64))


def split_hours(rows: Rows) -> list[Rows]:
    """Return the rows of each hour, in order."""
    hours = np.floor(rows.times / HOUR).astype(np.int64)
    return [rows.where(hours == hour) for hour in np.unique(hours).tolist()]
