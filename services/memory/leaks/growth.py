"""Judges one series in one window: does it grow, and is that growth a leak's or something harmless's?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from services.memory.leaks.shape import SEGMENTS, pace_kept, spread_of, without_steps
from services.memory.leaks.statistics import drift_score, largest_fall, trend
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

    TINY = "tiny"  # not worth a word
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
    """One series in one window. `x` in hours (or requests); slopes are per unit of x, `grown` over the whole window."""

    slope: float
    low: float
    high: float
    grown: float
    significant: bool
    doubts: frozenset[Doubt] = frozenset()


def assess(x: Floats, y: Floats, *, least: float) -> Growth:
    """Judge block minima `y` (n,) at `x` (n,); `least` is the growth that a leak must have reached."""
    cleaned = without_steps(y)
    found = trend(x, cleaned)
    ends = float(np.median(cleaned[-4:]) - np.median(cleaned[:4]))
    grown = min(found.slope * float(x[-1] - x[0]), ends * len(y) / (len(y) - 4))
    significant = found.low > 0.0 and found.p < CHANCE and grown > 0.0
    if not significant:
        whole = trend(x, y)
        return Growth(whole.slope, whole.low, whole.high, max(grown, 0.0), significant=False)
    return Growth(found.slope, found.low, found.high, grown, significant=True, doubts=_doubts(x, cleaned, grown, least))


def _doubts(x: Floats, cleaned: Floats, grown: float, least: float) -> frozenset[Doubt]:
    doubts = set()
    if grown < least:
        doubts.add(Doubt.SMALL)
    if grown < WATCHED_SHARE * least:
        doubts.add(Doubt.TINY)
    rises, share = spread_of(cleaned)
    if rises < RISES or share < SPREAD_SHARE:
        doubts.add(Doubt.STEPS)
    if drift_score(cleaned) < DRIFT and largest_fall(cleaned) > FALL_SHARE * grown:
        doubts.add(Doubt.WANDERING)
    if slows(x, cleaned):
        doubts.add(Doubt.SLOWING)
    return frozenset(doubts)


def slows(x: Floats, y: Floats) -> bool:
    """Whether growth slows down: the second half is clearly slower than the first, or the last 40 % than the whole."""
    ratio, error, late = pace_kept(x, y)
    return ratio < KEPT or ratio + error < SLOWED or late < KEPT_LATE
