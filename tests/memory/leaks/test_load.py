from __future__ import annotations

import numpy as np
import pytest

from services.memory.leaks.growth import (
    block_loads,
    blocks_by_requests,
    cumulative_requests,
    growth_per_request,
    remove_load,
    rises_with_time,
)
from services.memory.leaks.readings import Blocks
from services.memory.leaks.windows import remove_daily_cycle
from services.memory.types import Window

X = np.arange(32, dtype=np.float64)
SWING = 50 + 40 * np.sin(X / 32 * 4 * np.pi)


def test_swing_with_the_load_is_taken_out_and_growth_stays() -> None:
    """Fails if a daily swing hides growth, or growth is taken for load."""
    y = 3.0 * X + 2.0 * SWING
    assert remove_load(X, y, [SWING]) == pytest.approx(3.0 * X + 2.0 * SWING.mean())


def test_memory_that_falls_with_load_is_left_alone() -> None:
    """Fails if a chance correlation the wrong way round is believed."""
    y = 3.0 * X - 2.0 * SWING
    assert remove_load(X, y, [SWING]) == pytest.approx(y)


def test_load_that_rises_evenly_cannot_be_told_from_time() -> None:
    """Fails if growth while more and more people come is called a leak."""
    assert rises_with_time(X, 10 + X)
    assert not rises_with_time(X, np.full(32, 10.0) + 0.01 * X)
    assert not rises_with_time(X, SWING)
    assert remove_load(X, 5 * X, [10 + X]) == pytest.approx(5 * X)


def test_few_requests_are_no_load() -> None:
    """Fails if a handful of requests decides anything."""
    assert cumulative_requests(None) is None
    assert cumulative_requests(np.linspace(100, 120, 32)) is None
    assert block_loads(None, np.full(32, 3.0)) == []


def test_growth_per_request() -> None:
    """Fails if growth per request depends on when they came."""
    served = np.cumsum(np.where(X < 16, 1.0, 9.0))
    found = growth_per_request(700 + 5.0 * served, served)
    assert found is not None
    assert found.slope == pytest.approx(5.0)


def test_blocks_of_equally_many_requests() -> None:
    """Fails if a quiet night looks like growth that has ended."""
    served = np.cumsum(np.where(X < 16, 10.0, 0.1))
    again, minima = blocks_by_requests(2.0 * served, served)
    assert minima == pytest.approx(2.0 * again)
    assert len(again) < 20


def test_time_of_day_is_taken_out() -> None:
    """Fails if a swing that nobody counts hides what grows from day to day."""
    hours = np.arange(0, 24 * 5, 2.0) + 1.0
    y = 0.5 * hours + 100 * np.sin(hours / 24 * 2 * np.pi)
    assert np.diff(remove_daily_cycle(hours, y)) == pytest.approx(1.0)


def test_blocks_are_minima_and_gaps_are_left_out() -> None:
    """Fails if the top of a sawtooth counts, or a gap in the history is made up."""
    times = np.array([0.5, 1.5, 2.5, 3.5, 6.5, 7.5])
    values = {"live": np.array([5.0, 3.0, 9.0, 7.0, 4.0, 8.0]), "requests": np.arange(6.0)}
    window = Window(times, 1.0, values, values, values, np.zeros(6, dtype=np.int64))
    blocks = Blocks(window, 0.0, 8.0, 4)
    assert blocks.times.tolist() == [1.0, 3.0, 7.0]
    assert blocks.raw("live").tolist() == [3.0, 7.0, 4.0]
    assert blocks.raw("requests").tolist() == [1.0, 3.0, 5.0]


def test_columns_that_are_mostly_unknown_are_not_known() -> None:
    """Fails if a few values stand for a whole window, or a short gap makes a column useless."""
    times = np.arange(8.0)
    some = np.array([np.nan, 2.0, 3.0, np.nan, 5.0, 6.0, 7.0, 8.0])
    few = np.array([1.0, *[np.nan] * 7])
    columns = {"live": some, "heap_used": few}
    window = Window(times, 1.0, columns, columns, columns, np.zeros(8, dtype=np.int64))
    blocks = Blocks(window, 0.0, 8.0, 8)
    filled = blocks.get("live")
    assert filled is not None
    assert filled.tolist() == [2.0, 2.0, 3.0, 3.0, 5.0, 6.0, 7.0, 8.0]
    assert blocks.get("heap_used") is None
