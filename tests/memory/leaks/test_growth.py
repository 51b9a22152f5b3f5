"""Each rule of the judgement with the shape that needs it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.memory.leaks.growth import Doubt, assess_growth
from services.memory.leaks.statistics import block_starts, growth_spread, remove_steps

X = np.arange(32, dtype=np.float64)
CHANCE = np.random.default_rng(2)
NOISE = CHANCE.normal(0, 0.4, 32)


def doubts(y: np.ndarray, least: float = 10.0) -> frozenset[Doubt]:
    growth = assess_growth(X, y, least=least)
    assert growth.significant
    return growth.doubts


def test_steady_growth_leaves_no_doubt() -> None:
    """Fails if a plain leak is doubted."""
    growth = assess_growth(X, 2.0 * X + NOISE, least=10.0)
    assert growth.significant
    assert not growth.doubts
    assert growth.slope == pytest.approx(2.0, abs=0.1)
    assert growth.low < 2.0 < growth.high
    assert growth.grown == pytest.approx(62.0, rel=0.05)


def test_flat_is_no_growth() -> None:
    """Fails if noise counts as growth."""
    assert not assess_growth(X, 600 + NOISE, least=0.5).significant


def test_little_growth_is_small() -> None:
    """Fails if a leak may be named before it amounts to something."""
    assert Doubt.SMALL in doubts(0.2 * X + 0.1 * NOISE, least=10.0)


@pytest.mark.parametrize("stairs", [1, 2])
def test_single_steps_are_no_growth(stairs: int) -> None:
    """Fails if one or two big loads count as growth."""
    y = NOISE + 100.0 * np.searchsorted(np.array([8, 21])[:stairs], X)
    assert not assess_growth(X, y, least=10.0).significant


def test_ramp_of_three_blocks_is_a_step() -> None:
    """Fails if a load that takes a while is not taken for a step."""
    assert not assess_growth(X, NOISE + np.interp(X, [10, 13], [0, 300]), least=10.0).significant


def test_three_steps_are_doubted() -> None:
    """Fails if three loads in a window are a leak."""
    y = NOISE + 100.0 * np.searchsorted([6, 15, 24], X)
    growth = assess_growth(X, y, least=10.0)
    assert not growth.significant or growth.doubts


def test_staircase_stays() -> None:
    """Fails if the stairs of a leak that comes in pieces are removed as single steps."""
    y = NOISE + 20.0 * (X // 4)
    assert np.array_equal(remove_steps(y), y)
    assert not doubts(y)


def test_leak_beside_a_step_is_seen() -> None:
    """Fails if a big load hides a leak, or inflates its slope."""
    growth = assess_growth(X, 2.0 * X + NOISE + np.where(X > 12, 500.0, 0.0), least=10.0)
    assert not growth.doubts
    assert growth.slope == pytest.approx(2.0, abs=0.3)


def test_what_fills_up_slows_down() -> None:
    """Fails if a cache that fills is a leak."""
    assert Doubt.SLOWING in doubts(100 * (1 - np.exp(-X / 16)) + NOISE)


def test_what_speeds_up_does_not_slow_down() -> None:
    """Fails if growth must be a straight line."""
    assert not doubts(0.1 * X**2 + NOISE)


def test_growth_at_the_start_alone_is_doubted() -> None:
    """Fails if growth that has ended is a leak."""
    growth = assess_growth(X, np.minimum(X, 12) * 5 + NOISE, least=10.0)
    assert not growth.significant or Doubt.SLOWING in growth.doubts


def test_random_walks_are_rarely_leaks() -> None:
    """Fails without the test against a random walk: three in a hundred of them rise steadily enough by chance."""
    chance = np.random.default_rng(8)
    walks = chance.normal(0, 1, (1000, 32)).cumsum(axis=1)
    found = [assess_growth(X, walk, least=1.0) for walk in walks]
    assert sum(growth.significant and not growth.doubts for growth in found) <= 8


def test_noise_is_rarely_significant() -> None:
    """Fails if significance is not what it says."""
    chance = np.random.default_rng(9)
    found = [assess_growth(X, y, least=0.01) for y in chance.normal(0, 1, (1000, 32))]
    assert sum(growth.significant for growth in found) <= 20
    assert sum(growth.significant and not growth.doubts for growth in found) <= 2


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.5, 2.0]), st.integers(-20, 20), st.integers(0, 12))
def test_level_and_unit_change_nothing(seed: int, slope: float, power: int, level: int) -> None:
    """Fails if the judgement depends on the level or the unit of a series."""
    # Sixty-fourths, so that no rounding makes or breaks a tie.
    y = np.round((slope * X + np.random.default_rng(seed).normal(0, 1, 32)) * 64) / 64
    scale = 2.0**power
    plain, changed = assess_growth(X, y, least=4.0), assess_growth(X, (y + 2.0**level) * scale, least=4.0 * scale)
    assert changed.significant == plain.significant
    assert changed.doubts == plain.doubts


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.floats(0.5, 5.0))
def test_more_growth_is_never_less_significant(seed: int, more: float) -> None:
    """Fails if adding a rise makes growth vanish."""
    y = np.random.default_rng(seed).normal(0, 1, 32) + X
    assert assess_growth(X, y, least=1.0).significant <= assess_growth(X, y + more * X, least=1.0).significant


def test_spread_of_line_and_step() -> None:
    """Fails if growth all along cannot be told from growth at once."""
    assert growth_spread(X) == (7, pytest.approx(5 / 7))
    rises, share = growth_spread(np.where(X > 15, 10.0, 0.0))
    assert (rises, share) == (1, 0.0)


def test_blocks_begin_where_samples_are() -> None:
    """Fails if a block without samples is not left out."""
    times = np.array([0.0, 1.0, 2.5, 9.0, 10.0])
    assert block_starts(times, 0.0, 2.0).tolist() == [0, 2, 3, 4]
