"""Statistics of short series (tens to hundreds of points): slopes, trends, drifts, steps, and how growth is spread.

Sources: Sen 1968 (slope and its interval), Mann 1945 and Kendall 1975 (trend, with ties), Hamed and Rao 1998 (its
variance under autocorrelation), Newey and West 1987 (long-run variance of a drift).
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
# Kendall's score depends on ranks alone; with fewer points it cannot be significant.
FEWEST_POINTS = 8
# Significance of an autocorrelation, in standard deviations: one in ten by chance, two-sided.
SIGNIFICANT = _NORMAL.inv_cdf(0.95)
# A step takes so many neighbouring blocks at most.
STEP_BLOCKS = 3
# A rise of less than this share of all growth is part of a staircase, not a single step.
STEP_SHARE = 0.24
STEPS_REMOVED = 2
SEGMENTS = 8
# The onset of a rise: once it is this share of the whole, at the latest after that share of the window.
ONSET_SHARE = 0.05
LATEST_ONSET = 0.4
# Width of a 95 % interval, in standard errors.
WIDTH = 3.92


@dataclass(frozen=True, slots=True)
class Trend:
    """A slope in units of y per unit of x, its interval, and the one-sided probability of such a rise by chance."""

    slope: float
    low: float
    high: float
    p: float


def median(values: Floats) -> float:
    """Return the median of a few values, much faster than `np.median`."""
    ordered = np.sort(values)
    half = len(ordered) // 2
    return float(ordered[half]) if len(ordered) % 2 else float(ordered[half - 1] + ordered[half]) / 2


def theil_sen_slope(x: Floats, y: Floats) -> float:
    """Return the Theil-Sen slope of `y` over `x`."""
    first, second = _pairs(len(x))
    return median((y[second] - y[first]) / (x[second] - x[first]))


def mann_kendall_trend(x: Floats, y: Floats, confidence: float = 0.95) -> Trend:
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
    # Only up to where they fade: the negative ones at larger lags of every detrended series would cancel them.
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
    """Return the largest fall of `y` below an earlier value."""
    return float((np.maximum.accumulate(y) - y).max())


def block_starts(times: Floats, start: float, length: float) -> NDArray[np.intp]:
    """Return the indices in sorted `times` at which blocks of `length` from `start` begin, without empty blocks."""
    numbers = np.floor((times - start) / length)
    return np.flatnonzero(np.diff(numbers, prepend=-np.inf))


def remove_steps(y: Floats) -> Floats:
    """Return `y` without up to two single steps upwards; a staircase of five or more stays as it is."""
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
            # A longer step must be clearly higher, else noise would make every step as long as possible.
            if rises[where] > best * 1.1:
                best, at, size = float(rises[where]), where, length
        if size == 0 or best <= max(STEP_SHARE * total, 6.0 * spread):
            break
        y[at + 1 : at + size] = y[at] + usual * np.arange(1, size)
        y[at + size :] -= best
    return y


def removed_steps(y: Floats) -> list[tuple[int, int, float]]:
    """Return the steps that `remove_steps` removes: last index before, first after, height."""
    moved = y - remove_steps(y)
    places = np.flatnonzero(np.diff(moved))
    found: list[tuple[int, int, float]] = []
    for place in places.tolist():
        height = float(moved[place + 1] - moved[place])
        if found and found[-1][1] >= place:
            found[-1] = (found[-1][0], place + 1, found[-1][2] + height)
        else:
            found.append((place, place + 1, height))
    return found


def growth_spread(y: Floats) -> tuple[int, float]:
    """Return how evenly growth is spread over eight segments: how many of the seven rises between them are positive,
    and the share of the net growth in the five smallest (5/7 for a line, 0 for one or two steps).
    """
    lows = np.array([median(part) for part in np.array_split(y, SEGMENTS)])
    rises = np.diff(lows)
    total = float(rises.sum())
    if total <= 0.0:
        return int((rises > 0).sum()), 0.0
    return int((rises > 0.02 * total).sum()), float(np.sort(rises)[:-2].sum()) / total


@dataclass(frozen=True, slots=True)
class GrowthPace:
    """How the slope changes: second half over first, the standard error of that ratio, last 40 % over the whole."""

    halves: float
    error: float
    late: float


def rise_onset(y: Floats) -> int:
    """Return the index where the rise of `y` begins, at the latest after 40 %: a flat start would hide a slowdown."""
    total = median(y[-3:]) - median(y[:3])
    low = np.flatnonzero(y[: int(len(y) * LATEST_ONSET)] <= median(y[:3]) + ONSET_SHARE * total)
    return int(low[-1]) if len(low) else 0


def growth_pace(x: Floats, y: Floats) -> GrowthPace:
    """Return how the slope of a rising series changes over its length."""
    n = len(x)
    half, late = n // 2, n - max(8, int(n * 0.4))
    first, second = mann_kendall_trend(x[: half + 1], y[: half + 1]), mann_kendall_trend(x[half:], y[half:])
    whole = theil_sen_slope(x, y)
    kept = theil_sen_slope(x[late:], y[late:]) / whole if whole > 0.0 else 0.0
    if first.slope <= 0.0 or whole <= 0.0:
        return GrowthPace(np.inf, 0.0, kept)
    ratio = second.slope / first.slope
    errors = [(one.high - one.low) / WIDTH for one in (first, second)]
    return GrowthPace(ratio, float(np.hypot(errors[1], ratio * errors[0])) / first.slope, kept)
