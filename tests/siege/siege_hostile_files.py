"""A storm of hostile files from three people while others search and hand in good files."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.knowledge.parsing.hostile import hostile_files
from tests.servers import Server, serving
from tests.siege.neighbours import at_work, client_at, page_of_text, percentile
from tests.siege.report import Report

SECONDS = 150.0
IDLE_SECONDS = 20.0
ATTACKERS = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
NEIGHBOUR, GOOD = "127.0.0.2", "127.0.0.5"
LIBRARY = 150
READY_SECONDS = 5.0


def run(report: Report, seconds: float = SECONDS) -> None:
    """Measure searches before and during the storm, and when good files are ready."""
    files = [hostile_files(number) for number in range(len(ATTACKERS))]
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "data", answer_cache_mb=0) as server:
        for number in range(LIBRARY):
            server.add(f"{number}.txt", page_of_text(str(number)))
        _wait_idle(server)
        with at_work(server, NEIGHBOUR, search_every=0.2) as idle:
            time.sleep(IDLE_SECONDS)
        with (
            storm(server, files) as handed_in,
            at_work(server, NEIGHBOUR, search_every=0.2) as neighbour,
            at_work(server, GOOD, file_every=3.0) as good,
        ):
            time.sleep(seconds)
        before, during = percentile(idle.searches), percentile(neighbour.searches)
        detail = f"{during * 1000:.0f} over {before * 1000:.0f} ms, {len(neighbour.searches)} searches"
        report("a neighbour's search p95 during the storm", round(during / before, 2), 2.0, "x of idle", detail)
        told = f"{len(good.ready)} files beside {len(handed_in)} hostile ones, at most {max(good.ready):.1f} s"
        report("good files ready, p95", round(percentile(good.ready), 2), READY_SECONDS, "s", told)
        faults = [*idle.faults, *neighbour.faults, *good.faults]
        report("faults meanwhile", len(faults), 0, "", "; ".join(faults[:3]))
        report("the process has ended", int(server.process.poll() is not None), 0, "")
        report("errors in the log", server.log.read_text().count('"level": "error"'), 0, "")


@contextmanager
def storm(server: Server, files: Sequence[dict[str, bytes]]) -> Iterator[list[int]]:
    """Have attackers hand in hostile files, each its own, again and again until the block ends; yield their ids."""
    stop = threading.Event()
    handed_in: list[int] = []

    def attack(address: str, own: dict[str, bytes]) -> None:
        with client_at(server, address) as client:
            while True:
                for name, data in own.items():
                    if stop.wait(0.5):
                        return
                    try:
                        answer = client.post("/api/documents", files={"file": (f"{address} {name}", data)})
                    except httpx.TransportError:
                        continue
                    if answer.status_code == 202:
                        handed_in.extend(document["id"] for document in answer.json()["documents"])

    threads = [threading.Thread(target=attack, args=one) for one in zip(ATTACKERS, files, strict=True)]
    for thread in threads:
        thread.start()
    try:
        yield handed_in
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _wait_idle(server: Server) -> None:
    while server.client.get("/api/status").raise_for_status().json()["counts"]["jobs_unfinished"]:
        time.sleep(0.2)
