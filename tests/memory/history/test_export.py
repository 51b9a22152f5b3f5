from __future__ import annotations

import csv
import io

import numpy as np

from services.memory.history.history import History, csv_lines
from services.memory.types import Series
from tests.memory.history.histories import BEGAN, HOUR, fill, seconds


def test_csv_says_what_the_window_says() -> None:
    """Every point is a line, in order, with an empty field for what is not known."""
    history = History()
    fill(history, seconds(BEGAN, 1000))
    window = history.window(BEGAN, BEGAN + HOUR, columns=(Series.RSS, Series.USS))
    pieces = list(csv_lines(window))
    assert len(pieces) > 3
    rows = list(csv.DictReader(io.StringIO("".join(pieces))))
    assert [float(row["rss"]) for row in rows] == window.means[Series.RSS].tolist()
    assert {row["uss"] for row in rows} == {""}
    assert rows[1]["moment"] == "2027-01-16T00:00:01.000+00:00"
    assert rows[1]["time"] == f"{BEGAN + 1:.3f}"
    assert rows[1]["run"] == "1"


def test_csv_with_extremes() -> None:
    """Minima and maxima come in columns of their own."""
    history = History()
    fill(history, seconds(BEGAN, 3000))
    window = history.window(BEGAN, BEGAN + HOUR, columns=(Series.THREADS,), points=10)
    rows = list(csv.DictReader(io.StringIO("".join(csv_lines(window, extremes=True)))))
    assert len(rows) <= 10
    assert {(row["threads.min"], row["threads.max"]) for row in rows} == {("0.0", "6.0")}
    np.testing.assert_allclose([float(row["threads"]) for row in rows], window.means[Series.THREADS])


def test_an_empty_window_is_a_header_and_nothing() -> None:
    """An export of a range in which nothing was measured is a valid file."""
    window = History().window(BEGAN, BEGAN + HOUR, columns=(Series.RSS,))
    assert list(csv_lines(window)) == ["moment,time,run,rss\r\n"]
