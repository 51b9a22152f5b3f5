"""Judges one series in one window: does it grow, and is that growth a leak's or something harmless's?

What the load explains: growth that goes with requests or sessions, and growth per request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from services.memory.leaks.statistics import (
    SEGMENTS,
    Trend,
    block_of,
    drift_score,
    largest_fall,
    median,
    onset,
    pace_kept,
    spread_of,
    trend,
    without_steps,
)
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
# Load that varies less than this (standard deviation over mean) explains nothing.
VARIES = 0.2
# Above this correlation with time nobody can tell the load's part from time's: counts of requests are noisy.
ALIKE = 0.6
ROSE = 0.2
FEWEST_REQUESTS = 30


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


def requests_of(served: Floats | None) -> Floats | None:
    """Return the requests served up to each block, None where they are not known or too few to say anything."""
    if served is None or served[-1] - served[0] < FEWEST_REQUESTS:
        return None
    requests: Floats = np.maximum.accumulate(served)
    return requests


def loads_of(requests: Floats | None, sessions: Floats | None) -> list[Floats]:
    """Return the loads in each block that are known and not constant: requests, sessions."""
    loads = []
    if requests is not None:
        loads.append(np.diff(requests, prepend=2 * requests[0] - requests[1]))
    if sessions is not None:
        loads.append(sessions)
    return [_smooth(load) for load in loads if load.max() > load.min()]


def rises_with_time(x: Floats, load: Floats) -> bool:
    """Whether a load rises so evenly that nobody can tell its part in the growth from time's."""
    time, centred = x - x.sum() / len(x), load - load.sum() / len(load)
    alike = float(time @ centred) / float(np.sqrt((time @ time) * (centred @ centred)))
    quarter = len(load) // 4
    rise = float(load[-quarter:].sum() - load[:quarter].sum()) / quarter
    return alike > ALIKE and rise > ROSE * float(load.sum()) / len(load)


def without_load(x: Floats, y: Floats, loads: Sequence[Floats]) -> Floats:
    """Return `y` without what rises and falls with the first load that varies; as it is where time goes with it."""
    load = next((load for load in loads if _varies(load)), None)
    if load is None:
        return y
    time, centred = x - x.sum() / len(x), load - load.sum() / len(load)
    if abs(float(time @ centred)) > ALIKE * float(np.sqrt((time @ time) * (centred @ centred))):
        return y
    weights, *_ = np.linalg.lstsq(np.column_stack([np.ones_like(x), time, centred]), y, rcond=None)
    without: Floats = y - max(0.0, float(weights[2])) * centred
    return without


def _varies(load: Floats) -> bool:
    mean = float(load.sum()) / len(load)
    return float((load - mean) @ (load - mean)) > (VARIES * mean) ** 2 * len(load)


def per_request(y: Floats, served: Floats) -> Trend | None:
    """Return the growth of `y` per request with its interval; None with too few distinct counts."""
    distinct = np.flatnonzero(np.diff(served, prepend=-1.0) > 0)
    return trend(served[distinct], y[distinct]) if len(distinct) >= 8 else None


def by_requests(y: Floats, served: Floats) -> tuple[Floats, Floats]:
    """Return requests and minima of `y` in blocks of equally many requests."""
    step = float(served[-1] - served[0]) / len(served)
    begins = block_of(served, float(served[0]), step)
    return served[begins], np.minimum.reduceat(y, begins)


def _smooth(values: Floats) -> Floats:
    padded = np.concatenate([values[:1], values, values[-1:]])
    return np.convolve(padded, np.ones(3) / 3, mode="valid")
