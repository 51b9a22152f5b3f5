"""Judges one series in one window: does it grow, and is that growth a leak's or something harmless's?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.memory.leaks.shape import SEGMENTS, onset, pace_kept, spread_of, without_steps
from services.memory.leaks.statistics import drift_score, largest_fall, median, trend
from services.memory.types import Floats

FEWEST_BLOCKS = 16
CHANCE = 0.01
# A random walk drifts this many standard deviations less than once in 30,000 windows.
DRIFT = 4.0
# Stairs that hardly ever go down are no random walk either, however uneven they are.
FALL_SHARE = 0.1
RISES = SEGMENTS - 3
SPREAD_SHARE = 0.42
KEPT = 0.75
KEPT_LATE = 0.62
# Flattening counts once it is this much beyond its own error.
SLOWED = 0.9
# Growth of this share of what a leak must have reached is worth watching.
WATCHED_SHARE = 0.25


class Doubt(StrEnum):
    """Why growth is not called a leak."""

    SMALL = "small"  # not enough of it yet
    STEPS = "steps"  # in a few steps, not all along
    WANDERING = "wandering"  # no more than a random walk does
    SLOWING = "slowing"  # slows down, as what fills does
    RETURNING = "returning"  # the level has been there before and came back
    LOAD = "load"  # goes with the load
    EXPLAINED = "explained"  # is what the index, models or bounded caches were given to hold
    RETAINED = "retained"  # RSS alone: kept by the allocator
    CYCLES = "cycles"  # no full collection has looked yet
    UNCONFIRMED = "unconfirmed"  # seen once


@dataclass(frozen=True, slots=True)
class Growth:
    """Growth of one series in one window: slopes per hour (or request), `grown` over the whole window.

    `significant` says that it is not chance, `doubts` why it may still be no leak.
    """

    slope: float
    low: float
    high: float
    grown: float
    significant: bool
    doubts: frozenset[Doubt] = frozenset()
    pace: float = 1.0  # of the second half over the first


NO_GROWTH = Growth(0.0, 0.0, 0.0, 0.0, significant=False)


def assess(x: Floats, y: Floats, *, least: float) -> Growth:
    """Judge block minima `y` (n,) at `x` (n,); `least` is the growth that a leak must have reached."""
    if median(y[-4:]) - median(y[:4]) < WATCHED_SHARE * least:
        return NO_GROWTH
    cleaned = without_steps(y)
    ends = median(cleaned[-4:]) - median(cleaned[:4])
    if ends < WATCHED_SHARE * least:
        return NO_GROWTH
    found = trend(x, cleaned)
    grown = min(found.slope * float(x[-1] - x[0]), ends * len(y) / (len(y) - 4))
    if found.low <= 0.0 or found.p >= CHANCE or grown < WATCHED_SHARE * least:
        return NO_GROWTH
    begin = onset(cleaned)
    pace = pace_kept(x[begin:], cleaned[begin:])
    doubts = set()
    if grown < least:
        doubts.add(Doubt.SMALL)
    rises, share = spread_of(cleaned)
    if rises < RISES or share < SPREAD_SHARE:
        doubts.add(Doubt.STEPS)
    if drift_score(cleaned) < DRIFT and largest_fall(cleaned) > FALL_SHARE * grown:
        doubts.add(Doubt.WANDERING)
    if pace.halves < KEPT or pace.halves + pace.error < SLOWED or pace.late < KEPT_LATE:
        doubts.add(Doubt.SLOWING)
    return Growth(
        found.slope, found.low, found.high, grown, significant=True, doubts=frozenset(doubts), pace=pace.halves
    )
