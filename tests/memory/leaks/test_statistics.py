from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.memory.leaks.statistics import (
    _autocorrelation_factor,
    drift_score,
    largest_fall,
    mann_kendall_trend,
    median,
)

HOURS = np.arange(24, dtype=np.float64)
# Sixty-fourths, so that no rounding makes or breaks a tie.
sixty_fourths = st.integers(-(2**26), 2**26).map(lambda number: number / 64)
series = st.lists(sixty_fourths, min_size=8, max_size=40).map(np.array)


def test_slope_is_the_median_of_all_pairs() -> None:
    """Fails if an outlier moves the slope, as it would with least squares."""
    x = np.arange(10.0)
    y = 3.0 * x
    y[4] = 1000.0
    assert mann_kendall_trend(x, y).slope == pytest.approx(3.0)


def test_slope_and_interval_are_those_of_scipy() -> None:
    """Fails if pairs are left out or the interval is taken at the wrong places."""
    from scipy.stats import theilslopes

    y = 0.5 * HOURS + np.random.default_rng(3).normal(0, 2, len(HOURS))
    found, expected = mann_kendall_trend(HOURS, y), theilslopes(y, HOURS, alpha=0.95)
    assert found.slope == pytest.approx(expected.slope)
    # Without autocorrelation the intervals are the same up to the rounding of a rank.
    assert found.low == pytest.approx(expected.low_slope, abs=0.06)
    assert found.high == pytest.approx(expected.high_slope, abs=0.06)


def test_p_is_that_of_kendall() -> None:
    """Fails if Kendall's score or its variance is wrong."""
    from scipy.stats import norm

    y = np.array([1.0, 3.0, 2.0, 5.0, 4.0, 6.0, 8.0, 7.0, 10.0, 9.0])
    # 45 pairs, 4 of them falling: the score is 37; its variance 10 * 9 * 25 / 18 = 125.
    assert mann_kendall_trend(np.arange(10.0), y).p == pytest.approx(norm.sf(36 / math.sqrt(125)), rel=0.01)


def test_ties_make_the_score_less_variable() -> None:
    """Fails if equal values are counted as if they were different: counts of threads are full of them."""
    from scipy.stats import norm

    y = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 4.0])
    # 45 pairs, 9 tied: the score is 36; the variance (2250 - 3 * 3 * 2 * 11) / 18 = 114.
    assert mann_kendall_trend(np.arange(10.0), y).p == pytest.approx(norm.sf(35 / math.sqrt(114)), rel=0.01)


def test_neighbours_that_resemble_each_other_prove_less() -> None:
    """Fails without the correction for autocorrelation: a slow wave would be a sure trend."""
    noise = np.random.default_rng(0).normal(0, 1, 400)
    wave = np.convolve(noise, np.ones(12) / 12, mode="valid")[:48]
    jumbled = np.random.default_rng(1).permutation(wave)
    assert _autocorrelation_factor(wave) > 2.0
    assert _autocorrelation_factor(jumbled) < 1.3


def test_flat_series_has_no_trend() -> None:
    """Fails if a series of equal values divides by zero or is significant."""
    found = mann_kendall_trend(HOURS, np.full(24, 7.0))
    assert (found.slope, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


@settings(deadline=None)
@given(series, sixty_fourths, st.integers(-8, 8))
def test_shift_and_scale_change_nothing(y: np.ndarray, shift: float, power: int) -> None:
    """Fails if a judgement depends on the level or the unit."""
    x = np.arange(float(len(y)))
    scale = 2.0**power
    plain, scaled = mann_kendall_trend(x, y), mann_kendall_trend(x, y * scale)
    assert scaled.slope == plain.slope * scale
    assert scaled.p == plain.p
    assert mann_kendall_trend(x, y + shift).slope == pytest.approx(plain.slope, abs=1e-6)


@settings(deadline=None)
@given(series)
def test_reversal_turns_the_trend_round(y: np.ndarray) -> None:
    """Fails if rising and falling are not treated alike."""
    x = np.arange(float(len(y)))
    plain, mirrored = mann_kendall_trend(x, y), mann_kendall_trend(x, y[::-1])
    assert mirrored.slope == pytest.approx(-plain.slope)
    assert mirrored.low == pytest.approx(-plain.high)


@settings(deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=50))
def test_median_is_numpys(values: list[float]) -> None:
    """Fails if the fast median differs from the known one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert median(np.array(values)) == pytest.approx(float(np.median(values)), abs=1e-6)


def test_random_walks_rarely_drift_far() -> None:
    """Fails if the long-run variance is too small, so that a random walk counts as growth."""
    chance = np.random.default_rng(5)
    walks = chance.normal(0, 1, (2000, 32)).cumsum(axis=1)
    scores = np.array([drift_score(walk) for walk in walks])
    assert (scores > 4.0).mean() < 0.03


def test_line_with_noise_drifts_surely() -> None:
    """Fails if noise that cancels itself out is counted like a random walk's steps."""
    chance = np.random.default_rng(6)
    lines = np.arange(32) + chance.normal(0, 1.5, (500, 32))
    scores = np.array([drift_score(line) for line in lines])
    assert (scores > 4.0).mean() > 0.97


def test_drift_of_degenerate_series() -> None:
    """Fails if a constant or an exact line divides by zero."""
    assert drift_score(np.full(20, 3.0)) == 0.0
    assert drift_score(np.arange(20.0)) == math.inf
    assert drift_score(np.arange(4.0)) == 0.0


def test_largest_fall() -> None:
    """Fails if the fall is measured from the start instead of the highest value before."""
    assert largest_fall(np.array([1.0, 5.0, 3.0, 6.0, 2.0, 9.0])) == 4.0
