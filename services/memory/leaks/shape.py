"""The shape of growth: blocks of a series, single steps in it, how it spreads over its window, whether it flattens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.memory.leaks.statistics import median, slope, trend
from services.memory.types import Floats

# A step is done within so many neighbouring blocks.
STEP_BLOCKS = 3
# What makes up less than this share of all growth is a stair of a staircase, not a step of its own.
STEP_SHARE = 0.24
STEPS_REMOVED = 2
SEGMENTS = 8
# A rise has begun once it is this share of the whole.
ONSET_SHARE = 0.05
LATEST_ONSET = 0.4
# Of an interval of 95 %, in standard errors.
WIDTH = 3.92


def block_of(times: Floats, start: float, length: float) -> NDArray[np.intp]:
    """Return where in sorted `times` each block of `length` from `start` begins; empty blocks are left out."""
    numbers = np.floor((times - start) / length)
    return np.flatnonzero(np.diff(numbers, prepend=-np.inf))


def without_steps(y: Floats) -> Floats:
    """Return `y` without up to two single up-steps; a staircase of five or more stairs stays as it is."""
    y = y.copy()
    for _ in range(STEPS_REMOVED):
        steps = np.diff(y)
        usual = median(steps)
        spread = median(np.abs(steps - usual)) * 1.4826
        total = median(y[-3:]) - median(y[:3])
        best, at, size = 0.0, 0, 0
        for length in range(1, STEP_BLOCKS + 1):
            rises = y[length:] - y[:-length] - usual * length
            where = int(np.argmax(rises))
            # A longer one must be clearly higher, else noise would make every step as long as it may be.
            if rises[where] > best * 1.1:
                best, at, size = float(rises[where]), where, length
        if size == 0 or best <= max(STEP_SHARE * total, 6.0 * spread):
            break
        y[at + 1 : at + size] = y[at] + usual * np.arange(1, size)
        y[at + size :] -= best
    return y


def spread_of(y: Floats) -> tuple[int, float]:
    """Cut `y` into eight: return how many of the seven rises between are above zero, and the share of the five least.

    The share is of the net growth: 5/7 for a line, 0 for one or two steps.
    """
    lows = np.array([median(part) for part in np.array_split(y, SEGMENTS)])
    rises = np.diff(lows)
    total = float(rises.sum())
    if total <= 0.0:
        return int((rises > 0).sum()), 0.0
    return int((rises > 0.02 * total).sum()), float(np.sort(rises)[:-2].sum()) / total


@dataclass(frozen=True, slots=True)
class Pace:
    """What is left of the pace: second half over first, its standard error, last 40 % over the whole."""

    halves: float
    error: float
    late: float


def onset(y: Floats) -> int:
    """Return where the rise of `y` begins, at the latest after 40 %: what was before would hide that it slows down."""
    total = median(y[-3:]) - median(y[:3])
    low = np.flatnonzero(y[: int(len(y) * LATEST_ONSET)] <= median(y[:3]) + ONSET_SHARE * total)
    return int(low[-1]) if len(low) else 0


def pace_kept(x: Floats, y: Floats) -> Pace:
    """Compare the slopes of parts of a rising series."""
    n = len(x)
    half, late = n // 2, n - max(8, int(n * 0.4))
    first, second = trend(x[: half + 1], y[: half + 1]), trend(x[half:], y[half:])
    whole = slope(x, y)
    kept = slope(x[late:], y[late:]) / whole if whole > 0.0 else 0.0
    if first.slope <= 0.0 or whole <= 0.0:
        return Pace(np.inf, 0.0, kept)
    ratio = second.slope / first.slope
    errors = [(one.high - one.low) / WIDTH for one in (first, second)]
    return Pace(ratio, float(np.hypot(errors[1], ratio * errors[0])) / first.slope, kept)
