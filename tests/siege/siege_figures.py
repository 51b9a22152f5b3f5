"""A real server from its first moment on, under uploads, questions and collections: everything that tells figures of
memory is asked again and again.

What was read at one moment is the same everywhere, owners and RSS fit at all times, and nothing shown is old.
"""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from pathlib import Path

from tests.figures.moments import Moments, poll
from tests.servers import Server, spawn
from tests.servers import run as run_command
from tests.siege.report import Report

WATCHED_SECONDS = 150.0
TEXT = "The heron stands at the mill pond, and the trout know it. "


def run(report: Report) -> None:
    """Poll while the server starts, works and rests."""
    with tempfile.TemporaryDirectory() as folder:
        server = spawn(Path(folder) / "data")
        try:
            moments = Moments()
            _work(server, moments)
            _commands(server, moments)
        finally:
            server.stop()
        moments.add_log(server.log.read_text())
    report("figures under one name that differ at one moment", len(moments.differing()), 0, "", moments.summary())
    report("RSS that no owner has, at most, after the start", 100 * moments.misfit(), 5, "%")
    report("age of what is shown, at most", moments.oldest(), 5, "s")
    for problem in moments.differing()[:20]:
        print("   ", problem)


def _work(server: Server, moments: Moments) -> None:
    began = time.monotonic()
    for number in itertools.count():
        if time.monotonic() - began > WATCHED_SECONDS:
            return
        poll(server, moments)
        if not moments.ready:
            continue
        if number % 25 == 0:
            server.add(f"heron-{number}.txt", (TEXT * 2000 + str(number)).encode())
        if number % 5 == 0:
            server.client.post("/api/search", json={"query": f"Where does the heron stand? {number}"})
        if number % 60 == 0:
            server.client.post("/api/collector/collect", json={"generation": 2})
        if number % 100 == 0:
            server.client.post("/api/reclaim/heap")


def _commands(server: Server, moments: Moments) -> None:
    for _ in range(5):
        poll(server, moments)
        found = run_command("status", "--json", "--data-dir", str(server.data_dir))
        told = json.loads(found.stdout)
        moments.add("millpond status", told["measured_at"], {"rss": told["rss_bytes"]})
        poll(server, moments)
