from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from services.memory.history.history import MAX_POINTS, History
from services.memory.types import COLUMNS, Sample, Series
from tests.memory.history.histories import BEGAN, DAY, HOUR, fill, seconds, values_at


def test_the_last_hour_is_there_to_the_second() -> None:
    """Without a folder, too, the newest hour is exact: each sample with its own time and values."""
    history = History()
    fill(history, seconds(BEGAN, 2 * HOUR), traced=7.0)
    end = BEGAN + 2 * HOUR
    window = history.window(end - HOUR, end, columns=(Series.RSS, Series.USS, Series.TRACED), points=4000)
    assert window.step_seconds == 1.0
    np.testing.assert_array_equal(window.times, end - HOUR + np.arange(3600.0))
    np.testing.assert_array_equal(window.means[Series.RSS], 1e8 + window.times - BEGAN)
    np.testing.assert_array_equal(window.means[Series.RSS], window.minima[Series.RSS])
    assert np.isnan(window.means[Series.USS]).all()
    assert (window.maxima[Series.TRACED] == 7.0).all()


def test_where_the_history_begins_is_known(tmp_path: Path) -> None:
    """Charts begin there: to the second while the ring has it all, to the resolution later; None without any."""
    history = History(tmp_path)
    assert history.first_time(BEGAN - DAY, BEGAN + DAY) is None
    fill(history, seconds(BEGAN + 7.0, 600))
    assert history.first_time(BEGAN - DAY, BEGAN + DAY) == BEGAN + 7.0
    assert history.first_time(BEGAN + 100.5, BEGAN + DAY) == BEGAN + 101.0
    fill(history, seconds(BEGAN + 607.0, 5 * HOUR))
    first = history.first_time(BEGAN - DAY, BEGAN + DAY)
    assert first is not None
    assert abs(first - BEGAN) < 60
    history.close()


def test_a_day_comes_in_minutes_with_their_extremes(tmp_path: Path) -> None:
    """A minute holds the mean, least and greatest of its sixty samples, on disk and still in RAM alike."""
    history = History(tmp_path)
    fill(history, seconds(BEGAN, 5 * HOUR + 90))
    window = history.window(BEGAN, BEGAN + DAY, columns=(Series.RSS, Series.THREADS))
    assert window.step_seconds == 60.0
    assert len(window) == 302
    np.testing.assert_allclose(window.times[:-1], BEGAN + 29.5 + 60 * np.arange(301.0))
    np.testing.assert_allclose(window.means[Series.RSS], 1e8 + window.times - BEGAN, atol=8)
    np.testing.assert_allclose(window.minima[Series.RSS][:300], 1e8 + 60 * np.arange(300.0), atol=8)
    np.testing.assert_allclose(window.maxima[Series.RSS][:300], 1e8 + 59 + 60 * np.arange(300.0), atol=8)
    assert (window.minima[Series.THREADS] == 0).all()
    assert (window.maxima[Series.THREADS] == 6).all()
    history.close()


def test_a_year_comes_in_hours(tmp_path: Path) -> None:
    """Beyond two weeks the hours remain, nothing before the beginning, nothing twice."""
    history = History(tmp_path)
    fill(history, seconds(BEGAN, 20 * DAY, 300.0), flush=DAY)
    end = BEGAN + 20 * DAY
    window = history.window(end - 365 * DAY, end, columns=(Series.RSS,))
    assert window.step_seconds == 3600.0
    assert len(window) == 480
    np.testing.assert_allclose(np.diff(window.times), 3600)
    assert window.times[0] < BEGAN + HOUR
    fortnight = history.window(end - 14 * DAY, end, columns=(Series.RSS,))
    assert fortnight.step_seconds == 900.0
    assert fortnight.times[0] == pytest.approx(end - 14 * DAY, abs=900)
    assert fortnight.times[-1] == pytest.approx(end, abs=900)
    history.close()


@pytest.fixture(scope="module")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    history = History(tmp_path_factory.mktemp("history"))
    fill(history, seconds(BEGAN, 2 * DAY, 10.0), flush=HOUR)
    yield history
    history.close()


@pytest.mark.parametrize("length", [300.0, HOUR, DAY, 14 * DAY, 365 * DAY])
@pytest.mark.parametrize("points", [1, 100, MAX_POINTS])
def test_no_range_has_too_many_points(two_days: History, length: float, points: int) -> None:
    """However long the range, no more points are sent than asked for, all inside of it, the newest among them."""
    end = BEGAN + 2 * DAY
    window = two_days.window(end - length, end, points=points)
    assert 0 < len(window) <= points
    assert (window.times >= end - length).all()
    assert window.times[-1] >= end - max(2 * window.step_seconds, 10.0)
    assert set(window.means) == set(COLUMNS)
    assert all(len(values) == len(window) for values in window.maxima.values())


def test_a_young_history_is_fine_at_every_range(tmp_path: Path) -> None:
    """Ten minutes after the first start a range of a year still shows each second, and not a single point."""
    history = History(tmp_path)
    fill(history, seconds(BEGAN + HOUR - 300, 600))
    window = history.window(BEGAN - 365 * DAY, BEGAN + 2 * HOUR, columns=(Series.RSS,))
    assert len(window) == 600
    history.close()


def test_an_empty_history_has_empty_windows(tmp_path: Path) -> None:
    """A page that opens before the first sample gets nothing, not an error."""
    for history in (History(), History(tmp_path)):
        window = history.window(BEGAN, BEGAN + DAY)
        assert len(window) == 0
        assert history.latest() is None
        assert len(window.means[Series.RSS]) == 0
        history.close()


def test_what_is_in_ram_is_bounded() -> None:
    """Days of samples without a disk take no more RAM than an hour of them and two days of minutes."""
    history = History()
    fill(history, seconds(BEGAN, 4 * DAY, 20.0))
    assert len(history._ring.rows()) == history._ring.capacity
    assert len(history._closed) == 48
    waiting = sum(
        array.nbytes
        for hour in history._closed
        for points in (hour.minutes, hour.hour)
        for array in (points.times, points.means, points.minima, points.maxima)
    )
    assert history._ring._values.nbytes < 3e6
    assert waiting < 5e6


def test_unknown_columns_and_samples_out_of_order_do_no_harm() -> None:
    """A source may say what nobody asked for; a sample that comes late is left out."""
    history = History()
    fill(history, seconds(BEGAN, 10))
    history.add(Sample(BEGAN + 3, {Series.RSS: 0.0}))
    history.add(Sample(BEGAN + 10, {Series.RSS: 5.0, "no such column": 1.0}))
    window = history.window(BEGAN, BEGAN + 20, columns=(Series.RSS, "no such column"))
    assert window.means[Series.RSS].tolist() == [*(1e8 + i for i in range(10)), 5.0]
    assert np.isnan(window.means["no such column"]).all()
    newest = history.latest()
    assert newest is not None
    assert newest.time == BEGAN + 10


def test_twenty_readers_while_one_writes(tmp_path: Path) -> None:
    """Readers see whole samples in order, each once, while hours are closed and written around them."""
    history = History(tmp_path)
    fill(history, seconds(BEGAN, 3 * HOUR, 5.0))
    ended = threading.Event()
    wrong: list[str] = []
    looked = [0] * 20

    def read(number: int) -> None:
        reach = (300.0, HOUR, DAY, 20 * DAY)[number % 4]
        while not ended.is_set() or not looked[number]:
            newest = history.latest()
            assert newest is not None
            window = history.window(newest.time - reach, newest.time, columns=(Series.RSS,), points=5000)
            expected = 1e8 + window.times - BEGAN
            if (np.diff(window.times) <= 0).any():
                wrong.append(f"{reach}: not in order")
            if not np.allclose(window.means[Series.RSS], expected, atol=8):
                wrong.append(f"{reach}: values of other moments")
            if reach <= HOUR and window.times[-1] < newest.time:
                wrong.append(f"{reach}: the newest is missing")
            looked[number] += 1

    def flush() -> None:
        while not ended.is_set():
            history.flush()

    threads = [threading.Thread(target=read, args=(number,)) for number in range(20)]
    threads.append(threading.Thread(target=flush))
    for thread in threads:
        thread.start()
    for time in seconds(BEGAN + 3 * HOUR, 5 * HOUR, 5.0):
        history.add(Sample(time, values_at(time)))
    ended.set()
    for thread in threads:
        thread.join()
    history.close()
    assert not wrong, wrong[:5]
    assert all(looked)
