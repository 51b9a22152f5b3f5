from __future__ import annotations

import numpy as np
import pytest

from services.memory.history.downsample import Points, join, limit_points, merge, samples, width_for


def random_points(seed: int, count: int = 5000, columns: int = 4) -> Points:
    """Single samples about a second apart, with gaps in time and values that are not known."""
    random = np.random.default_rng(seed)
    times = 1.8e9 + np.cumsum(random.choice([1.0, 1.01, 0.99, 400.0], count, p=[0.5, 0.25, 0.24, 0.01]))
    values = random.normal(1e9, 1e8, (count, columns))
    values[random.random((count, columns)) < 0.05] = np.nan
    values[:, -1] = np.nan
    return samples(times, np.repeat(np.arange(5, dtype=np.int64), count // 5), values)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("width", [7.0, 60.0, 3600.0])
def test_merging_keeps_means_minima_and_maxima(seed: int, width: float) -> None:
    """A mean that forgets how many samples a point stands for, or a minimum that NaN swallows, falsifies a curve."""
    points = random_points(seed)
    minutes = merge(points, np.floor(points.times / 60).astype(np.int64))
    keys = np.floor(points.times / width).astype(np.int64)
    merged = merge(points, keys)
    assert merged.counts.sum() == len(points)
    for place, key in enumerate(np.unique(keys)):
        own = points.means[keys == key]
        for column in range(own.shape[1]):
            known = own[~np.isnan(own[:, column]), column]
            got = (merged.means[place, column], merged.minima[place, column], merged.maxima[place, column])
            if len(known):
                assert got == pytest.approx((known.mean(), known.min(), known.max()), rel=1e-12)
                assert got[1] <= got[0] <= got[2]
            else:
                assert np.isnan(got).all()
    again = merge(minutes, np.floor(minutes.times / 3600).astype(np.int64))
    at_once = merge(points, np.floor(points.times / 3600).astype(np.int64))
    np.testing.assert_array_equal(again.minima, at_once.minima)
    np.testing.assert_array_equal(again.maxima, at_once.maxima)
    np.testing.assert_allclose(again.times, at_once.times)
    whole = ~np.isnan(points.means).any(axis=1)
    known = points.where(whole)
    twice = merge(known, np.floor(known.times / 60).astype(np.int64))
    twice = merge(twice, np.floor(twice.times / 3600).astype(np.int64))
    once = merge(known, np.floor(known.times / 3600).astype(np.int64))
    np.testing.assert_allclose(twice.means, once.means, rtol=1e-12)


def test_merging_nothing_and_joining_nothing() -> None:
    """An empty history is no reason to fail."""
    empty = samples(np.empty(0), np.empty(0, dtype=np.int64), np.empty((0, 3)))
    assert len(merge(empty, np.empty(0, dtype=np.int64))) == 0
    assert len(join([empty, empty])) == 0
    assert len(limit_points(empty, 1.0, 10)[0]) == 0
    some = random_points(1, 100)
    assert len(join([empty, some, empty])) == 100


@pytest.mark.parametrize("most", [1, 2, 10, 499, 2000])
def test_no_more_points_than_asked_for(most: int) -> None:
    """A chart that gets more points than it can draw makes the browser crawl."""
    points, width = limit_points(random_points(3), 1.0, most)
    assert 1 <= len(points) <= most
    assert width > 1.0
    assert points.counts.sum() == 5000
    assert (np.diff(points.times) > 0).all()


def test_points_stay_where_they_are() -> None:
    """Points whose edges move with each update make a chart shimmer."""
    points = samples(1.8e9 + np.arange(4000.0), np.ones(4000, dtype=np.int64), np.arange(4000.0)[:, None])
    one, width = limit_points(points.where(points.times < 1.8e9 + 3500), 1.0, 1000)
    other, same = limit_points(points.where((points.times >= 1.8e9 + 7) & (points.times < 1.8e9 + 3507)), 1.0, 1000)
    assert width == same
    assert len(np.intersect1d(one.times, other.times)) >= len(one) - 5


def test_restarts_are_not_merged_away() -> None:
    """A point made of two runs hides the restart between them."""
    runs = np.repeat(np.array([1, 2], dtype=np.int64), 1000)
    points = samples(1.8e9 + np.arange(2000.0) + 5, runs, np.repeat([[1.0], [9.0]], 1000, axis=0))
    thinned, _ = limit_points(points, 1.0, 50)
    assert set(np.unique(thinned.means)) == {1.0, 9.0}
    assert (thinned.means[:, 0] == np.where(thinned.runs == 1, 1.0, 9.0)).all()
    crashing = samples(points.times, np.arange(2000, dtype=np.int64), points.means)
    assert len(limit_points(crashing, 1.0, 50)[0]) <= 50


def test_widths_are_round() -> None:
    """Odd widths make labels that nobody can read."""
    assert width_for(3600, 1, 2000) == 2
    assert width_for(86400, 60, 2000) == 60
    assert width_for(14 * 86400, 60, 2000) == 900
    assert width_for(365 * 86400, 3600, 2000) == 21600
    assert width_for(1e9, 3600, 10) % 86400 == 0
