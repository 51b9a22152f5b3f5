"""A storm of hostile files from three people while others search and hand in good files."""

from __future__ import annotations

import itertools
import tempfile
import threading
import time
from contextlib import ExitStack
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
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "data", answer_cache_mb=0) as server:
        for number in range(LIBRARY):
            server.add(f"{number}.txt", page_of_text(str(number)))
        _wait_idle(server)
        with at_work(server, NEIGHBOUR, search_every=0.2) as idle:
            time.sleep(IDLE_SECONDS)
        with (
            storm(server) as handed_in,
            at_work(server, NEIGHBOUR, search_every=0.2) as neighbour,
            at_work(server, GOOD, file_every=3.0) as good,
        ):
            time.sleep(seconds)
        before, during = percentile(idle.searches), percentile(neighbour.searches)
        detail = f"{during * 1000:.0f} over {before * 1000:.0f} ms, {len(neighbour.searches)} searches"
        report("a neighbour's search p95 during the storm", round(during / before, 2), 2.0, "x of idle", detail)
        files = f"{len(good.ready)} files beside {len(handed_in)} hostile ones, at most {max(good.ready):.1f} s"
        report("good files ready, p95", round(percentile(good.ready), 2), READY_SECONDS, "s", files)
        faults = [*idle.faults, *neighbour.faults, *good.faults]
        report("faults meanwhile", len(faults), 0, "", "; ".join(faults[:3]))
        report("the process has ended", int(server.process.poll() is not None), 0, "")
        report("tracebacks in the log", server.log.read_text().count("Traceback"), 0, "")


class storm:  # noqa: N801 - used as a function is
    """Have attackers hand in hostile files, one after the other, until the block ends; yields their ids."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._attack, args=(address, number)) for number, address in enumerate(ATTACKERS)
        ]
        self._handed_in: list[int] = []

    def __enter__(self) -> list[int]:
        for thread in self._threads:
            thread.start()
        return self._handed_in

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _attack(self, address: str, first: int) -> None:
        with ExitStack() as stack:
            client = stack.enter_context(client_at(self._server, address))
            for seed in itertools.count(first, len(ATTACKERS)):
                for name, data in hostile_files(seed).items():
                    if self._stop.is_set():
                        return
                    try:
                        answer = client.post("/api/documents", files={"file": (f"{seed} {name}", data)})
                    except httpx.TransportError:
                        continue
                    if answer.status_code == 202:
                        self._handed_in += [document["id"] for document in answer.json()["documents"]]
                    self._stop.wait(0.5)


def _wait_idle(server: Server) -> None:
    while server.client.get("/api/status").raise_for_status().json()["counts"]["jobs_unfinished"]:
        time.sleep(0.2)
