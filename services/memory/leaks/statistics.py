"""Slopes, trends and drifts of short series: numpy in, numbers out. Every function takes tens to hundreds of points.

Sources: Sen 1968 (slope and its interval), Mann 1945 and Kendall 1975 (trend, with ties), Hamed and Rao 1998 (its
variance under autocorrelation), Newey and West 1987 (long-run variance of a drift).

The shape of growth: blocks of a series, single steps in it, how it spreads over its window, whether it flattens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from services.memory.types import Floats

_NORMAL = NormalDist()
# Kendall's score is decided by rank alone; fewer points than these cannot be significant at all.
FEWEST_POINTS = 8
# Of an autocorrelation, in its standard deviations: one in ten by chance, either side.
SIGNIFICANT = _NORMAL.inv_cdf(0.95)
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


@dataclass(frozen=True, slots=True)
class Trend:
    """A slope in units of y per unit of x, its interval, and the one-sided probability of such a rise by chance."""

    slope: float
    low: float
    high: float
    p: float


def median(values: Floats) -> float:
    """Return the median of a few values; much faster than numpy's, which is made for many."""
    ordered = np.sort(values)
    half = len(ordered) // 2
    return float(ordered[half]) if len(ordered) % 2 else float(ordered[half - 1] + ordered[half]) / 2


def slope(x: Floats, y: Floats) -> float:
    """Return the Theil-Sen slope alone."""
    first, second = _pairs(len(x))
    return median((y[second] - y[first]) / (x[second] - x[first]))


def trend(x: Floats, y: Floats, confidence: float = 0.95) -> Trend:
    """Return the Theil-Sen slope with Sen's interval and Mann-Kendall's p, both corrected for ties and autocorrelation.

    `x` (n,) strictly rising, `y` (n,), n >= 2.
    """
    n = len(x)
    first, second = _pairs(n)
    slopes = np.sort((y[second] - y[first]) / (x[second] - x[first]))
    middle = median(slopes)
    score = float(len(slopes) - np.searchsorted(slopes, 0.0, "right") - np.searchsorted(slopes, 0.0))
    variance = _score_variance(y) * _autocorrelation_factor(y - middle * x)
    if variance <= 0.0:
        return Trend(middle, middle, middle, 1.0)
    deviation = math.sqrt(variance)
    half = _NORMAL.inv_cdf(0.5 + confidence / 2) * deviation
    outside = max(0, int((len(slopes) - half) / 2))
    low, high = slopes[outside], slopes[len(slopes) - 1 - outside]
    z = (score - math.copysign(1.0, score)) / deviation if score else 0.0
    return Trend(middle, float(low), float(high), 1.0 - _NORMAL.cdf(z))


@lru_cache(maxsize=32)
def _pairs(n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.triu_indices(n, 1)


def _score_variance(y: Floats) -> float:
    """Variance of Kendall's score when there is no trend; ties make it smaller."""
    n = len(y)
    full = n * (n - 1) * (2 * n + 5)
    ordered = np.sort(y)
    borders = np.flatnonzero(ordered[1:] != ordered[:-1])
    if len(borders) == n - 1:
        return full / 18.0
    ties = np.diff(borders, prepend=-1, append=n - 1)
    return float(full - (ties * (ties - 1) * (2 * ties + 5)).sum()) / 18.0


def _autocorrelation_factor(residuals: Floats) -> float:
    """How much larger the variance of the score is because neighbours resemble each other; at least 1."""
    n = len(residuals)
    if n < FEWEST_POINTS or residuals.max() == residuals.min():
        return 1.0
    ordered = np.sort(residuals)
    # Equal values share the middle of their ranks.
    ranks = (np.searchsorted(ordered, residuals) + np.searchsorted(ordered, residuals, "right") - n) / 2
    # Beyond a quarter of the series an autocorrelation rests on too few pairs.
    lags = np.arange(1, max(2, n // 4))
    correlations = np.correlate(ranks, ranks, "full")[n : n + len(lags)] / float(ranks @ ranks)
    # Only up to where they fade: the negative ones that every detrended series has further on would hide them.
    faded = correlations < SIGNIFICANT / math.sqrt(n)
    correlations[np.maximum.accumulate(faded)] = 0.0
    weights = (n - lags) * (n - lags - 1) * (n - lags - 2)
    return max(1.0, 1.0 + 2.0 * float(weights @ correlations) / (n * (n - 1) * (n - 2)))


def drift_score(y: Floats) -> float:
    """Return how many standard deviations the net growth of `y` (n,) is above what a random walk would do.

    The deviation is the long-run one of the steps: for a line with noise the steps cancel each other and it is small,
    for a random walk they add up.
    """
    steps = np.diff(y)
    n = len(steps)
    if n < FEWEST_POINTS:
        return 0.0
    centred = steps - steps.mean()
    plain = float(centred @ centred) / n
    if plain == 0.0:
        return math.copysign(math.inf, steps[0]) if steps[0] else 0.0
    width = math.ceil(math.sqrt(n))
    variance = plain
    for lag in range(1, width):
        variance += 2.0 * (1.0 - lag / width) * float(centred[lag:] @ centred[:-lag]) / n
    return float(steps.sum()) / math.sqrt(n * max(variance, plain / n))


def largest_fall(y: Floats) -> float:
    """Return how far `y` ever fell below an earlier value."""
    return float((np.maximum.accumulate(y) - y).max())


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
class GrowthPace:
    """What is left of the pace: second half over first, its standard error, last 40 % over the whole."""

    halves: float
    error: float
    late: float


def onset(y: Floats) -> int:
    """Return where the rise of `y` begins, at the latest after 40 %: what was before would hide that it slows down."""
    total = median(y[-3:]) - median(y[:3])
    low = np.flatnonzero(y[: int(len(y) * LATEST_ONSET)] <= median(y[:3]) + ONSET_SHARE * total)
    return int(low[-1]) if len(low) else 0


def pace_kept(x: Floats, y: Floats) -> GrowthPace:
    """Compare the slopes of parts of a rising series."""
    n = len(x)
    half, late = n // 2, n - max(8, int(n * 0.4))
    first, second = trend(x[: half + 1], y[: half + 1]), trend(x[half:], y[half:])
    whole = slope(x, y)
    kept = slope(x[late:], y[late:]) / whole if whole > 0.0 else 0.0
    if first.slope <= 0.0 or whole <= 0.0:
        return GrowthPace(np.inf, 0.0, kept)
    ratio = second.slope / first.slope
    errors = [(one.high - one.low) / WIDTH for one in (first, second)]
    return GrowthPace(ratio, float(np.hypot(errors[1], ratio * errors[0])) / first.slope, kept)
