"""A huge file and a heap of small ones are taken in while neighbours, and the same person, hand in single pages.

MILLPOND_SIEGE_CHUNKS says how many chunks the huge file has (57,000: the largest that was seen, about half an hour on
two cores).
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from tests.knowledge.parsing.hostile import large_text
from tests.servers import Server, serving
from tests.siege.neighbours import at_work, client_at, page_of_text, percentile
from tests.siege.report import Report

CHUNKS = int(os.environ.get("MILLPOND_SIEGE_CHUNKS", "3000"))
HEAP = 1000
READY_SECONDS = 5.0
OWNER, NEIGHBOUR = "127.0.0.3", "127.0.0.2"


def run(report: Report) -> None:
    """Take the huge file in alone, then once more beside others; then a heap of small files beside others."""
    book = large_text(CHUNKS).encode()
    with tempfile.TemporaryDirectory() as folder:
        with serving(Path(folder) / "alone") as server:
            alone, chunks = take_in(server, book)
        with serving(Path(folder) / "shared") as server:
            with (
                at_work(server, NEIGHBOUR, file_every=3.0, search_every=1.0) as neighbour,
                at_work(server, OWNER, file_every=6.0) as owner,
            ):
                shared, _chunks = take_in(server, book)
            for who, seen in (("a neighbour's", neighbour), ("the same person's", owner)):
                _report_ready(report, f"{who} page ready while {chunks} chunks are taken in, p95", seen.ready)
            report(
                "the huge file beside them, over alone", shared / alone, 1.2, "x", f"{shared:.0f} over {alone:.0f} s"
            )
            faults = [*neighbour.faults, *owner.faults]
            report("faults meanwhile", len(faults), 0, "", "; ".join(faults[:3]))
            _heap(report, server)


def take_in(server: Server, book: bytes) -> tuple[float, int]:
    """Hand in the huge file; return after how many seconds it is ready, and how many chunks it has."""
    with client_at(server, OWNER) as client:
        began = time.monotonic()
        answer = client.post("/api/documents", files={"file": ("book.md", book)}).raise_for_status()
        number = answer.json()["documents"][0]["id"]
        found = server.wait_finished(number, seconds=7200)
        assert found["status"] == "ready", found
        return time.monotonic() - began, int(str(found["chunks"]))


def _heap(report: Report, server: Server) -> None:
    with client_at(server, OWNER) as client:
        for start in range(0, HEAP, 250):
            files = [
                ("file", (f"heap {number}.txt", page_of_text(f"heap {number}", 200)))
                for number in range(start, start + 250)
            ]
            client.post("/api/documents", files=files).raise_for_status()
        with at_work(server, NEIGHBOUR, file_every=1.0) as neighbour, at_work(server, OWNER, file_every=2.0) as owner:
            while client.get("/api/status").raise_for_status().json()["counts"]["jobs_unfinished"] > 10:
                time.sleep(0.5)
    for who, seen in (("a neighbour's", neighbour), ("the same person's", owner)):
        _report_ready(report, f"{who} page ready beside {HEAP} small files, p95", seen.ready)


def _report_ready(report: Report, what: str, seconds: list[float]) -> None:
    detail = f"{len(seconds)} files, at most {max(seconds):.1f} s" if seconds else "no file"
    report(what, round(percentile(seconds), 2), READY_SECONDS, "s", detail)
