"""Growth of one series in one window: its slope, whether it is significant, and what speaks against a leak.

Growth that follows the load (requests, sessions) is distinguished from growth with time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from services.memory.leaks.statistics import (
    SEGMENTS,
    Trend,
    block_starts,
    drift_score,
    growth_pace,
    growth_spread,
    largest_fall,
    mann_kendall_trend,
    median,
    remove_steps,
    rise_onset,
)
from services.memory.types import Floats

FEWEST_BLOCKS = 16
LARGEST_P = 0.01
# In standard deviations; a random walk reaches it less than once in 30,000 windows.
LEAST_DRIFT = 4.0
# A series that hardly ever falls is no random walk either, however uneven it is.
FALL_SHARE = 0.1
FEWEST_RISES = SEGMENTS - 3
SPREAD_SHARE = 0.42
PACE_KEPT = 0.75
LATE_PACE_KEPT = 0.62
# Flattening counts once it is this much beyond its own error.
SLOWED_RATIO = 0.9
# Growth is watched from this share of what a leak must have reached.
WATCHED_SHARE = 0.25
# Load whose coefficient of variation is below this explains nothing.
LEAST_VARIATION = 0.2
# Above this correlation with time the effects of load and time cannot be separated: counts of requests are noisy.
CORRELATION_LIMIT = 0.6
RISE_SHARE = 0.2
FEWEST_REQUESTS = 30


class Doubt(StrEnum):
    """Why growth is not called a leak."""

    SMALL = "small"  # less than a leak must have reached
    STEPS = "steps"  # in a few steps, not continuous
    WANDERING = "wandering"  # no more than a random walk does
    SLOWING = "slowing"  # slows down, as caches do that fill up
    RETURNING = "returning"  # the level was seen before
    LOAD = "load"  # follows the load
    EXPLAINED = "explained"  # comes from owners of bounded or requested memory: index, models, caches
    RETAINED = "retained"  # RSS alone: kept by the allocator
    CYCLES = "cycles"  # no full collection was made since
    UNCONFIRMED = "unconfirmed"  # seen in one window so far


@dataclass(frozen=True, slots=True)
class Growth:
    """Growth of one series in one window: slope and interval per hour (or request), `grown` over the whole window.

    `significant`: not by chance; `doubts`: why it may still be no leak.
    """

    slope: float
    low: float
    high: float
    grown: float
    significant: bool
    doubts: frozenset[Doubt] = frozenset()
    pace: float = 1.0  # slope of the second half over that of the first


NO_GROWTH = Growth(0.0, 0.0, 0.0, 0.0, significant=False)


def assess_growth(x: Floats, y: Floats, *, least: float) -> Growth:
    """Return the growth of block minima `y` (n,) at `x` (n,); `least` is what a leak must have reached."""
    if median(y[-4:]) - median(y[:4]) < WATCHED_SHARE * least:
        return NO_GROWTH
    cleaned = remove_steps(y)
    ends = median(cleaned[-4:]) - median(cleaned[:4])
    if ends < WATCHED_SHARE * least:
        return NO_GROWTH
    found = mann_kendall_trend(x, cleaned)
    grown = min(found.slope * float(x[-1] - x[0]), ends * len(y) / (len(y) - 4))
    if found.low <= 0.0 or found.p >= LARGEST_P or grown < WATCHED_SHARE * least:
        return NO_GROWTH
    begin = rise_onset(cleaned)
    pace = growth_pace(x[begin:], cleaned[begin:])
    doubts = set()
    if grown < least:
        doubts.add(Doubt.SMALL)
    rises, share = growth_spread(cleaned)
    if rises < FEWEST_RISES or share < SPREAD_SHARE:
        doubts.add(Doubt.STEPS)
    if drift_score(cleaned) < LEAST_DRIFT and largest_fall(cleaned) > FALL_SHARE * grown:
        doubts.add(Doubt.WANDERING)
    if pace.halves < PACE_KEPT or pace.halves + pace.error < SLOWED_RATIO or pace.late < LATE_PACE_KEPT:
        doubts.add(Doubt.SLOWING)
    return Growth(
        found.slope, found.low, found.high, grown, significant=True, doubts=frozenset(doubts), pace=pace.halves
    )


def cumulative_requests(served: Floats | None) -> Floats | None:
    """Return the requests served up to each block, None where they are not known or fewer than 30."""
    if served is None or served[-1] - served[0] < FEWEST_REQUESTS:
        return None
    requests: Floats = np.maximum.accumulate(served)
    return requests


def block_loads(requests: Floats | None, sessions: Floats | None) -> list[Floats]:
    """Return the smoothed loads in each block (requests, sessions) that are known and not constant."""
    loads = []
    if requests is not None:
        loads.append(np.diff(requests, prepend=2 * requests[0] - requests[1]))
    if sessions is not None:
        loads.append(sessions)
    return [_smooth(load) for load in loads if load.max() > load.min()]


def rises_with_time(x: Floats, load: Floats) -> bool:
    """Whether a load rises so evenly that its effect cannot be separated from that of time."""
    time, centred = x - x.sum() / len(x), load - load.sum() / len(load)
    alike = float(time @ centred) / float(np.sqrt((time @ time) * (centred @ centred)))
    quarter = len(load) // 4
    rise = float(load[-quarter:].sum() - load[:quarter].sum()) / quarter
    return alike > CORRELATION_LIMIT and rise > RISE_SHARE * float(load.sum()) / len(load)


def remove_load(x: Floats, y: Floats, loads: Sequence[Floats]) -> Floats:
    """Return `y` without the effect of the first load that varies; unchanged where that load correlates with time."""
    load = next((load for load in loads if _varies(load)), None)
    if load is None:
        return y
    time, centred = x - x.sum() / len(x), load - load.sum() / len(load)
    if abs(float(time @ centred)) > CORRELATION_LIMIT * float(np.sqrt((time @ time) * (centred @ centred))):
        return y
    weights, *_ = np.linalg.lstsq(np.column_stack([np.ones_like(x), time, centred]), y, rcond=None)
    without: Floats = y - max(0.0, float(weights[2])) * centred
    return without


def _varies(load: Floats) -> bool:
    mean = float(load.sum()) / len(load)
    return float((load - mean) @ (load - mean)) > (LEAST_VARIATION * mean) ** 2 * len(load)


def growth_per_request(y: Floats, served: Floats) -> Trend | None:
    """Return the growth of `y` per request with its interval; None with too few distinct counts."""
    distinct = np.flatnonzero(np.diff(served, prepend=-1.0) > 0)
    return mann_kendall_trend(served[distinct], y[distinct]) if len(distinct) >= 8 else None


def blocks_by_requests(y: Floats, served: Floats) -> tuple[Floats, Floats]:
    """Return requests and minima of `y` in blocks of equally many requests."""
    step = float(served[-1] - served[0]) / len(served)
    begins = block_starts(served, float(served[0]), step)
    return served[begins], np.minimum.reduceat(y, begins)


def _smooth(values: Floats) -> Floats:
    padded = np.concatenate([values[:1], values, values[-1:]])
    return np.convolve(padded, np.ones(3) / 3, mode="valid")
