"""Deleted means gone: unique words in every place that a text can go to, none in any file 10 s after the delete.

While uploads go on, while another program holds a long transaction (what stays then is said), after diagnostics were
taken. What is left in the memory of the process is told, not judged.
"""

from __future__ import annotations

import itertools
import math
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.servers import Server, eventually, serving
from tests.siege import deletions
from tests.siege.report import Report

HELD_SECONDS = 15.0  # longer than deleted text may stay when nobody reads
MANY = 1000
DELETION_MS = 50.0  # 25 before anything was erased, both on two busy cores


def run(report: Report) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tmp").mkdir()
        os.environ["TMPDIR"] = os.environ["SQLITE_TMPDIR"] = str(folder / "tmp")
        with serving(folder / "data", ingest_queue=2 * MANY) as server:
            quiet(server, folder, report)
            with uploading(server):
                beside(server, folder, report, "while uploads go on")
            diagnosed(server, folder, report)
            held(server, folder, report)
            many(server, report)


def quiet(server: Server, folder: Path, report: Report) -> None:
    planted = deletions.plant(server)
    deletions.delete_everything(server, planted)
    _report(server, planted, folder, report, "on an idle server")
    in_memory = deletions.words_in_memory(server.process.pid, planted.words)
    report("places left in memory", len(in_memory), math.inf, f"of {len(planted.words)}", ", ".join(in_memory))


def beside(server: Server, folder: Path, report: Report, when: str) -> None:
    planted = deletions.plant(server)
    deletions.delete_everything(server, planted)
    _report(server, planted, folder, report, when)


def diagnosed(server: Server, folder: Path, report: Report) -> None:
    planted = deletions.plant(server)
    server.client.post("/api/tracing/start", json={"frames": 5, "minutes": 5}).raise_for_status()
    server.client.post("/api/tracing/snapshots").raise_for_status()
    server.client.post("/api/tracing/stop").raise_for_status()
    server.client.post("/api/objects/census", json={"label": "kept"}).raise_for_status()
    taken = server.client.post("/api/objects/census", json={"label": planted.word("label of a census")})
    deletions.delete_everything(server, planted)
    server.client.delete(f"/api/objects/census/{taken.json()['snapshot']['name']}").raise_for_status()
    server.client.post("/api/objects/census").raise_for_status()
    _report(server, planted, folder, report, "with diagnostics taken before and after")


def held(server: Server, folder: Path, report: Report) -> None:
    planted = deletions.plant(server)
    with deletions.reader(server.data_dir):
        deletions.delete_everything(server, planted)
        began = time.monotonic()
        eventually(lambda: _reason(server), seconds=HELD_SECONDS + 10, what="a word about what is left")
        report("what stays while another program reads is said after", time.monotonic() - began, HELD_SECONDS, "s")
    _report(server, planted, folder, report, "after another program's transaction")


def many(server: Server, report: Report) -> None:
    """How long deleting takes, document by document, and what that leaves searches."""
    for start in range(0, MANY, 100):
        files = [("file", (f"many {start + n}.txt", f"Page {start + n} of the log".encode())) for n in range(100)]
        server.client.post("/api/documents", files=files).raise_for_status()
    jobs = "/api/jobs?unfinished=true"
    eventually(lambda: not server.client.get(jobs).json()["jobs"], seconds=300, what="the end of ingestion")
    listed = server.client.get("/api/documents", params={"limit": 1000}).json()["documents"]
    began = time.monotonic()
    for document in listed:
        server.client.delete(f"/api/documents/{document['id']}").raise_for_status()
    each = (time.monotonic() - began) / len(listed) * 1000
    report(f"deleting one of {len(listed)} documents", each, DELETION_MS, "ms")


@contextmanager
def uploading(server: Server) -> Iterator[None]:
    """Hand in small files all the time."""
    ended = threading.Event()

    def upload() -> None:
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
            for number in itertools.count():
                if ended.wait(0.1):
                    return
                client.post(
                    "/api/documents", files={"file": (f"{deletions.BYSTANDER}{number}.txt", f"Page {number}".encode())}
                )

    thread = threading.Thread(target=upload)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _report(server: Server, planted: deletions.Planted, folder: Path, report: Report, when: str) -> None:
    left, took = deletions.left_after(server, planted, [folder / "data", folder / "tmp"])
    detail = "; ".join(f"{place}: {', '.join(files)}" for place, files in left.items()) or f"gone after {took:.1f} s"
    report(f"deleted text in files 10 s later, {when}", len(left), 0, f"of {len(planted.words)} places", detail)


def _reason(server: Server) -> str:
    return str(server.client.get("/api/deletions").raise_for_status().json()["erasure"]["waiting_for"])
