"""The ledger: unnamed memory on a real server, errors for allocations of a known owner, and its cost."""

from __future__ import annotations

import gc
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Self

from tests.benchmarks.server import ROOT, Server, questions, serve, text_files
from tests.benchmarks.table import Row

MB = 1_000_000
DOCUMENTS = 1000
SOAK_ROUNDS = 5
REPEATS = 20
PACE_SECONDS = 30.0
MOST_UNNAMED = 0.05
CORE_SHARE = 0.002
PAUSE_SECONDS = 0.05


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as server:
        rows = [unnamed(server, "fresh")]
        ingest(server)
        rows.append(unnamed(server, f"after {DOCUMENTS:,} documents"))
        soak(server)
        rows.append(unnamed(server, "after a soak"))
    return [*rows, planted(), *cost()]


def unnamed(server: Server, when: str) -> Row:
    """The unnamed share of RSS in a ledger built from now on."""
    now, taken = time.time(), 0.0
    ledger: dict[str, Any] = {}
    while taken <= now:
        time.sleep(1)
        ledger = server.client.get("/api/memory").raise_for_status().json()
        taken = ledger["ledger_time"] or 0.0
    rss = ledger["ledger_rss_bytes"]
    assert sum(owner["bytes"] for owner in ledger["owners"]) == rss
    named = ", ".join(f"{owner['name']} {owner['bytes'] / MB:.0f}" for owner in ledger["owners"][:8])
    print(f"{when}: RSS {rss / MB:.0f} MB: {named}", flush=True)
    return Row(
        f"unnamed share of RSS {when}",
        ledger["unattributed_bytes"] / rss,
        MOST_UNNAMED,
        at_least=False,
        detail=f"of {rss / MB:.0f} MB; {named} MB",
    )


def ingest(server: Server) -> None:
    files = text_files(DOCUMENTS, sentences=10, seed=3)
    for start in range(0, DOCUMENTS, 50):
        server.upload(files[start : start + 50])
    server.wait_idle()


def soak(server: Server) -> None:
    """Questions, uploads and deletions, some minutes long."""
    asked = itertools.cycle(questions("en"))
    for number in range(SOAK_ROUNDS):
        documents = server.upload(text_files(40, sentences=40, seed=100 + number))
        for _ in range(100):
            server.search_ms(next(asked))
        server.wait_idle()
        for document in documents:
            server.client.delete(f"/api/documents/{document}").raise_for_status()


def planted() -> Row:
    """The largest error over all kinds of owners, each in a fresh process that allocates 100 MB."""
    from tests.memory.ledger.ledger_cases.registry import GROUPS, SIZE

    errors: dict[str, float] = {}
    for group in GROUPS:
        output = subprocess.run(
            [sys.executable, "-m", "tests.memory.ledger.ledger_cases", group],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        ).stdout
        for line in output.splitlines():
            if line.startswith("{"):
                case = json.loads(line)
                errors[case["case"]] = abs(case["found"] - case["bytes"]) / SIZE
    worst = max(errors, key=errors.__getitem__)
    return Row(
        "largest error of a planted 100 MB",
        errors[worst],
        MOST_UNNAMED,
        at_least=False,
        detail=f"{worst}; {len(errors)} plants, median {statistics.median(errors.values()):.4f}",
    )


def cost() -> list[Row]:
    """Processor time of a ledger at its pace, and how long other threads wait for one; with the model loaded."""
    from services.app.startup import Application
    from services.core.settings import Settings

    with (
        tempfile.TemporaryDirectory() as folder,
        Application(Settings(data_dir=Path(folder), embedding_cache_mb=0, answer_cache_mb=0)) as services,
    ):
        gc.collect()
        took, pauses = [], []
        for _ in range(REPEATS):
            with _Ticker() as ticker:
                took.append(services.memory.ledger.build().took)
            pauses.append(ticker.longest)
    seconds, pause = statistics.median(took), statistics.median(pauses)
    return [
        Row(
            "a ledger's share of one core at its pace",
            seconds / PACE_SECONDS,
            CORE_SHARE,
            at_least=False,
            detail=f"{seconds * 1000:.0f} ms every {PACE_SECONDS:.0f} s (median of {REPEATS})",
        ),
        Row(
            "longest wait of another thread during a ledger, s",
            pause,
            PAUSE_SECONDS,
            at_least=False,
            detail=f"median of {REPEATS}: {pause * 1000:.1f} ms, shortest {min(pauses) * 1000:.1f} ms",
        ),
    ]


class _Ticker:
    """A thread that records the longest time it did not run."""

    def __enter__(self) -> Self:
        self.longest = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tick)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _tick(self) -> None:
        before = time.perf_counter()
        while not self._stop.is_set():
            now = time.perf_counter()
            self.longest = max(self.longest, now - before)
            before = now
