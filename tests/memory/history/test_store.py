from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import structlog

from services.memory.history import HistoryStore
from services.memory.history.downsample import HOURS, MINUTES, Points, Tier
from services.memory.history.history import History
from services.memory.history.ring import Rows
from services.memory.types import COLUMNS, Sample, Series
from tests.memory.history.histories import BEGAN, DAY, HOUR, fill, seconds
from tests.servers import ROOT


def size_on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_a_restart_keeps_what_was_and_is_marked(tmp_path: Path) -> None:
    """After a restart the curves go on: same values before, nothing in the gap, another run after."""
    first = History(tmp_path)
    assert first.last_seen() is None
    fill(first, seconds(BEGAN, 2 * HOUR))
    before = first.window(BEGAN, BEGAN + DAY, columns=(Series.RSS,))
    first.close()
    second = History(tmp_path)
    assert second.latest() is None
    assert second.last_seen() == BEGAN + 2 * HOUR - 1
    assert second.window(BEGAN, BEGAN + DAY, columns=(Series.RSS,)).means[Series.RSS] == pytest.approx(
        before.means[Series.RSS], abs=8
    )
    fill(second, seconds(BEGAN + 2.5 * HOUR, 600))
    assert second.run_start() == BEGAN + 2.5 * HOUR
    for start in (BEGAN + 1.9 * HOUR, BEGAN):
        window = second.window(start, BEGAN + 3 * HOUR, columns=(Series.RSS,), points=4000)
        assert set(window.runs.tolist()) == {1, 2}
        restart = int(np.flatnonzero(np.diff(window.runs))[0])
        assert window.times[restart] <= BEGAN + 2 * HOUR <= BEGAN + 2.5 * HOUR <= window.times[restart + 1]
        np.testing.assert_allclose(window.means[Series.RSS], 1e8 + window.times - BEGAN, atol=8)
    second.close()


def test_a_killed_process_loses_ten_seconds_at_most(tmp_path: Path) -> None:
    """kill -9 takes no more of the history than what was not flushed yet, and what is there can be read."""
    command = [sys.executable, "-m", "tests.memory.history.recording", str(tmp_path), "5"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        began = newest = float(process.stdout.readline())
        while newest < began + 35:
            newest = float(process.stdout.readline())
        process.kill()
        newest = max([newest, *map(float, process.stdout.read().split())])
    history = History(tmp_path)
    seen = history.last_seen()
    assert seen is not None
    # The pace, and three real seconds for a machine that has other things to do.
    assert newest - seen <= 10 + 3 * 5
    window = history.window(began - 60, newest, columns=(Series.RSS, Series.THREADS))
    assert len(window) >= 10
    assert (window.means[Series.RSS] > 1e6).all()
    history.close()


def test_an_hour_that_was_over_when_the_process_died_is_merged_later(tmp_path: Path) -> None:
    """The journal holds the open hour: a kill just before it is closed must not cost its minutes."""
    first = History(tmp_path)
    fill(first, seconds(BEGAN, 1.9 * HOUR), flush=60)
    first.flush()
    del first  # as a kill does: nothing is closed
    second = History(tmp_path)
    fill(second, seconds(BEGAN + 5 * DAY, 2 * HOUR))
    window = second.window(BEGAN, BEGAN + 6 * DAY, columns=(Series.RSS,))
    assert window.step_seconds == 60.0
    assert np.count_nonzero(window.runs == 1) == 114
    assert np.count_nonzero(window.runs == 2) == 120
    np.testing.assert_allclose(window.means[Series.RSS], 1e8 + window.times - BEGAN, atol=32)
    second.close()


def blocks(tier: Tier, number: int) -> Points:
    """Return a whole block of a tier, all columns known."""
    times = (number * tier.length + np.arange(tier.length) + 0.5) * tier.step
    values = np.repeat(times[:, None], len(COLUMNS), axis=1)
    return Points(times, np.full(tier.length, 60.0), np.ones(tier.length, dtype=np.int64), values, values, values)


def test_the_file_does_not_grow_past_its_size(tmp_path: Path) -> None:
    """Three years of everything that can be known take no more disk than the first one, and under 40 MB."""
    store = HistoryStore(tmp_path / "history.db", 500)
    sizes = []
    for lap in range(3):
        numbers = np.arange(500, dtype=np.int64) + 500 * lap
        store.write(Rows(numbers, BEGAN + numbers, np.ones_like(numbers), np.ones((500, len(COLUMNS)))), [], 0)
        for tier in (MINUTES, HOURS):
            for number in range(20_000 + lap * tier.kept, 20_000 + (lap + 1) * tier.kept):
                store.write(Rows(*(np.empty((0, len(COLUMNS))) for _ in range(4))), [(tier, blocks(tier, number))], 0)
        with closing(sqlite3.connect(tmp_path / "history.db")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sizes.append(size_on_disk(tmp_path))
    store.close()
    assert sizes[2] == pytest.approx(sizes[0], rel=0.02)
    assert sizes[2] == pytest.approx(sizes[1], rel=0.001)
    assert sizes[2] < 40e6


def test_a_former_lap_is_not_shown(tmp_path: Path) -> None:
    """A process that was down for a fortnight must not show the days before it in their places."""
    first = History(tmp_path)
    fill(first, seconds(BEGAN, 3 * HOUR, 10.0))
    first.close()
    second = History(tmp_path)
    away = MINUTES.length * MINUTES.kept * MINUTES.step  # comes out at the very same places
    fill(second, seconds(BEGAN + away + HOUR, 1.5 * HOUR, 1.0))
    end = BEGAN + away + 2.5 * HOUR
    window = second.window(end - DAY, end, columns=(Series.RSS,))
    assert (window.times >= BEGAN + away + HOUR).all()
    assert set(window.runs.tolist()) == {2}
    year = second.window(end - 300 * DAY, end, columns=(Series.RSS,))
    assert set(year.runs.tolist()) == {1, 2}
    assert np.count_nonzero(year.runs == 1) == 3
    second.close()


def test_a_clock_that_was_ahead_leaves_no_future(tmp_path: Path) -> None:
    """What was recorded under a clock that ran ahead must not lie on the curves once the clock is right again."""
    ahead = History(tmp_path)
    fill(ahead, seconds(BEGAN, 3 * HOUR, 2.0), tracing=1.0)
    ahead.close()
    right = History(tmp_path)
    fill(right, seconds(BEGAN + 1000, 1.4 * HOUR))
    for start in (BEGAN, BEGAN + 1.3 * HOUR):
        window = right.window(start, BEGAN + DAY, columns=(Series.RSS,))
        assert (window.times <= BEGAN + 1000 + 1.4 * HOUR).all()
        assert (np.diff(window.times) > 0).all()
        assert set(window.runs[window.times > BEGAN + 1100].tolist()) == {2}
    right.close()


def test_columns_can_be_added(tmp_path: Path) -> None:
    """A file of an older version, which knows fewer columns in another order, is read and gets the new ones."""
    first = History(tmp_path)
    fill(first, seconds(BEGAN, 2 * HOUR), traced=7.0)
    first.close()
    (tmp_path / "history.db-sums").unlink()  # older versions had none
    with closing(sqlite3.connect(tmp_path / "history.db")) as connection, connection:
        last = COLUMNS[-1]
        (number,) = connection.execute("SELECT id FROM names WHERE name = ?", [last]).fetchone()
        connection.execute("DELETE FROM names WHERE name = ?", [last])
        connection.execute("UPDATE seconds SET data = substr(data, 1, ?)", [8 * number])
    second = History(tmp_path)
    fill(second, seconds(BEGAN + 2 * HOUR, 60), **{last: 3.0})
    for start in (BEGAN, BEGAN + 1.9 * HOUR):
        window = second.window(start, BEGAN + DAY, columns=(Series.TRACED, last))
        old = window.times < BEGAN + 2 * HOUR
        assert (window.means[Series.TRACED][old] == 7.0).all()
        assert np.isnan(window.means[last][old]).all()
        assert (window.means[last][~old] == 3.0).all()
    second.close()


def test_a_locked_file_costs_nothing_but_a_line_in_the_log(tmp_path: Path) -> None:
    """While the disk cannot be written all goes on in RAM; it is said once, and made up for later."""
    history = History(tmp_path)
    fill(history, seconds(BEGAN, 0.9 * HOUR))
    with closing(sqlite3.connect(tmp_path / "history.db")) as other, structlog.testing.capture_logs() as lines:
        other.execute("BEGIN IMMEDIATE")
        fill(history, seconds(BEGAN + 0.9 * HOUR, 0.3 * HOUR), flush=900.0)
        assert [line["event"] for line in lines if line["log_level"] == "warning"] == [
            "memory history kept in RAM only"
        ]
        window = history.window(BEGAN, BEGAN + DAY, columns=(Series.RSS,))
        np.testing.assert_allclose(window.times, BEGAN + 29.5 + 60 * np.arange(72.0))
        other.rollback()
    history.close()
    again = History(tmp_path)
    assert again.last_seen() == BEGAN + 1.2 * HOUR - 1
    assert len(again.window(BEGAN, BEGAN + DAY, columns=(Series.RSS,))) >= 72
    again.close()


def test_a_full_disk_costs_nothing_but_a_line_in_the_log(tmp_path: Path) -> None:
    """A disk without room must not end the watching; once there is room again nothing of the last hour is missing."""
    history = History(tmp_path)
    fill(history, seconds(BEGAN, 600))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with structlog.testing.capture_logs() as lines:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            fill(history, seconds(BEGAN + 600, 600), flush=100.0)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [line["event"] for line in lines] == ["memory history kept in RAM only"]
    history.close()
    again = History(tmp_path)
    assert len(again.window(BEGAN, BEGAN + HOUR, columns=(Series.RSS,))) == 1200
    again.close()


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    """A broken history must not keep the console from starting; it is kept for whoever wants to look."""
    (tmp_path / "history.db").write_bytes(b"not what it should be" * 1000)
    history = History(tmp_path)
    fill(history, seconds(BEGAN, 10))
    history.close()
    [kept] = tmp_path.glob("history.db.damaged-*")
    assert kept.read_bytes().startswith(b"not what it")
    assert kept.name in history.damage
    assert History(tmp_path).last_seen() == BEGAN + 9


def test_a_folder_that_cannot_be_made_leaves_the_ram(tmp_path: Path) -> None:
    """Without any disk the newest two days are still there."""
    (tmp_path / "file").write_text("in the way")
    history = History(tmp_path / "file")
    fill(history, seconds(BEGAN, 3 * DAY, 30.0))
    window = history.window(BEGAN, BEGAN + 3 * DAY, columns=(Series.RSS,))
    assert window.times[-1] - window.times[0] == pytest.approx(2 * DAY, abs=HOUR)
    history.add(Sample(BEGAN + 4 * DAY, {}))
    history.close()
