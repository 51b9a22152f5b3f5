"""The cost of monitoring: both threads in a real server, and a query of a fortnight of history."""

from __future__ import annotations

import itertools
import tempfile
import time
from pathlib import Path

import numpy as np

from services.memory.history.history import History
from services.memory.types import COLUMNS, OWNERS, Sample, Series, owner_column
from tests.benchmarks.server import percentile, questions, serve, text_files
from tests.benchmarks.table import Row

DOCUMENTS = 200
WATCHED_SECONDS = 90.0
QUESTIONS_A_SECOND = 2.0
DAY = 86400.0


def run() -> list[Row]:
    return [_threads(), *_fortnight()]


def _threads() -> Row:
    """Serve some documents and a question now and then, and read the cost that the samples record afterwards."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serve(folder) as server:
            server.upload(text_files(DOCUMENTS, 40, 7))
            server.wait_idle()
            began = time.time()
            for question in itertools.cycle(questions("en")):
                if time.time() - began >= WATCHED_SECONDS:
                    break
                server.search_ms(question)
                time.sleep(1 / QUESTIONS_A_SECOND)
            rss = server.rss()
        history = History(folder / "memory")
        window = history.window(began, began + WATCHED_SECONDS, columns=(Series.SAMPLER_CPU,))
        history.close()
    shares = window.means[Series.SAMPLER_CPU]
    return Row(
        "watching, share of one core",
        float(shares[-1]),
        0.005,
        at_least=False,
        detail=(
            f"mean since the start, after {WATCHED_SECONDS:g} s with {DOCUMENTS} documents, {rss / 1e6:.0f} MB RSS, "
            f"two questions a second; from {np.nanmin(shares):.4f} to {np.nanmax(shares):.4f} in that time"
        ),
    )


def _fortnight() -> list[Row]:
    """Fill a fortnight of history, then query it as the ledger's chart does."""
    columns = (Series.RSS, Series.LIVE, *(owner_column(owner) for owner in OWNERS))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        history = History(folder)
        end = _fill(history, 15 * DAY)
        times = {}
        for what, length in (("5 min", 300.0), ("1 h", 3600.0), ("24 h", DAY), ("14 d", 14 * DAY), ("1 y", 365 * DAY)):
            times[what] = percentile([_ask(history, end - length, end, columns) for _ in range(20)], 0.5)
        everything = percentile([_ask(history, end - 14 * DAY, end, COLUMNS) for _ in range(10)], 0.5)
        history.close()
        megabytes = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    others = ", ".join(f"{what} {milliseconds:.1f}" for what, milliseconds in times.items() if what != "14 d")
    return [
        Row(
            "history of 14 days for the ledger's chart, ms of processor time",
            times["14 d"],
            30.0,
            at_least=False,
            detail=f"{len(columns)} columns with minima and maxima, median of 20; {others}; "
            f"14 d of all {len(COLUMNS)} columns {everything:.1f}",
        ),
        Row(
            "history on disk after 15 days, MB",
            megabytes,
            40.0,
            at_least=False,
            detail=f"{len(COLUMNS)} columns, of which all are known; a year adds no more than 9 MB",
        ),
    ]


def _fill(history: History, length: float, step: float = 10.0) -> float:
    random = np.random.default_rng(1)
    begin, flushed = 1.8e9, 0.0
    level = 6e8
    for time_ in np.arange(begin, begin + length, step).tolist():
        level += random.normal(0, 1e5)
        history.add(Sample(time_, dict.fromkeys(COLUMNS, level)))
        if time_ - flushed > DAY / 4:
            history.flush()
            flushed = time_
    history.flush()
    return begin + length


def _ask(history: History, start: float, end: float, columns: tuple[str, ...]) -> float:
    """Return the processor time in milliseconds: it does not depend on what else the machine does."""
    began = time.thread_time()
    history.window(start, end, columns=columns)
    return 1000 * (time.thread_time() - began)
