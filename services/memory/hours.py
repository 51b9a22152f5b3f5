"""Hours that are over: their samples merged into minutes, and into the hour itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.memory.points import Points, merge, samples
from services.memory.ring import Rows
from services.memory.tiers import HOURS, MINUTES, Tier

HOUR = HOURS.step


@dataclass(frozen=True, slots=True, eq=False)
class ClosedHour:
    """An hour that is over: its minutes and itself, all columns."""

    minutes: Points
    hour: Points

    @property
    def begin(self) -> float:
        """When the hour began, in seconds since the epoch."""
        return float(self.hour.times[0]) // HOUR * HOUR

    def points(self, tier: Tier) -> Points:
        """Return it at the pace of a tier."""
        return self.minutes if tier is MINUTES else self.hour


def close_hour(rows: Rows) -> ClosedHour:
    """Merge the rows of one hour."""
    minutes = at_pace(rows, MINUTES)
    return ClosedHour(minutes, merge(minutes, np.floor(minutes.times / HOURS.step).astype(np.int64)))


def at_pace(rows: Rows, tier: Tier) -> Points:
    """Return rows merged to the pace of a tier."""
    points = samples(rows.times, rows.runs, rows.values)
    return merge(points, np.floor(points.times / tier.step).astype(np.int64))


def split_hours(rows: Rows) -> list[Rows]:
    """Return the rows of each hour, in order; none when there are no rows."""
    hours = np.floor(rows.times / HOUR).astype(np.int64)
    return [rows.where(hours == hour) for hour in np.unique(hours).tolist()]
