"""Idle connections beyond the descriptors, half heads, stalled uploads, 1,000 WebSockets, clients that never read.

With 1,024 descriptors and no way to more: liveness answers within 2 s, searches take at most twice as long as before,
the log stays small, and all that was opened is closed 60 s later.
"""

from __future__ import annotations

import resource
import signal
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.api.tab import run_page, tab
from tests.servers import Server, serving
from tests.siege import connections
from tests.siege.report import Report

DESCRIPTORS = 1024
GONE_SECONDS = 60.0
HEAD_SECONDS = 10.0
HOLD_SECONDS = 12.0  # an attack goes on for this long while liveness and searches are measured
LOG_BYTES = 1_000_000

Attack = Callable[[Server], list[socket.socket]]
ATTACKS: dict[str, Attack] = {
    "1,150 idle connections": lambda server: connections.silent(server, 1150),
    "200 half-sent heads": lambda server: connections.half_heads(server, 200),
    "1,150 connections kept alive": lambda server: connections.kept_alive(server, 1150),
    "16 stalled uploads": lambda server: connections.stalled_uploads(server, 16),
    "1,000 silent WebSockets": lambda server: connections.websockets(server, 1000),
    "1,000 WebSockets with text": lambda server: connections.websockets(server, 1000, connections.frame(1, b"hello")),
    "1,000 WebSockets with garbage": lambda server: connections.websockets(
        server, 1000, connections.frame(2, b"\xff\xfe garbage")
    ),
    "1,000 WebSockets that begin a page": lambda server: connections.websockets(
        server, 1000, connections.frame(2, connections.rerun())
    ),
    "100 clients that never read": lambda server: connections.never_reading(server, 100),
}


def run(report: Report) -> None:
    """Run every attack against one server, each measured against the time before all of them."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder) / "data", descriptors=DESCRIPTORS) as server,
    ):
        number = server.add("heron.txt", b"The heron's nest is made of willow twigs.")
        server.wait_finished(number)
        with tab(server) as page:
            run_page(page)
            with connections.measuring(server) as idle:
                time.sleep(HOLD_SECONDS)
            print(f"idle: search p95 {idle.p95() * 1000:.0f} ms, liveness at most {max(idle.liveness) * 1000:.0f} ms")
            for name, attack in ATTACKS.items():
                _attack(report, server, name, attack, idle.p95())
            run_page(page)  # raises when the tab was closed meanwhile
            report("a tab that was open and idle the whole time", 0, 0, "lost")
        attackers = [each for attack in ATTACKS.values() for each in attack(server)[:100]]
        began = time.monotonic()
        code = server.stop(signal.SIGTERM)
        report("SIGTERM with connections of all kinds open", time.monotonic() - began, 15, "s", f"exit code {code}")
        connections.close_all(attackers)
        text = server.log.read_text(errors="replace")
        report("log", len(text) / 1e6, LOG_BYTES / 1e6, "MB")
        defects = [line for line in text.splitlines() if "Traceback (most recent call last)" in line]
        report("tracebacks in the log", len(defects), 0, "")
        print("".join(f"{defect[:200]} ... {defect[-2000:]}\n" for defect in defects[:3]), end="")


def _attack(report: Report, server: Server, name: str, attack: Attack, idle: float) -> None:
    before = server.log.stat().st_size
    with connections.measuring(server) as found:
        began = time.monotonic()
        opened = attack(server)
        took = time.monotonic() - began
        if "stalled uploads" in name:
            _neighbour(report, server)
        time.sleep(max(0.0, HOLD_SECONDS - (time.monotonic() - began)))
    faults = f"{len(opened)} opened in {took:.1f} s; faults: {dict(Counter(found.faults)) or 'none'}"
    report(f"{name}: liveness", max(found.liveness), 2.0, "s", faults)
    report(f"{name}: search p95", found.p95() / idle, 2.0, "x of idle", f"{found.p95() * 1000:.0f} ms")
    seconds = HEAD_SECONDS if "heads" in name else GONE_SECONDS
    gone = connections.unread_after if "never read" in name else connections.open_after
    left = gone(opened, max(0.1, began + took + seconds - time.monotonic()))
    report(f"{name}: open {seconds:g} s later", left, 0, "")
    report(f"{name}: log", (server.log.stat().st_size - before) / 1e6, LOG_BYTES / 1e6, "MB")


def _neighbour(report: Report, server: Server) -> None:
    """Hand in a file while all slots are held by stalled uploads."""
    began = time.monotonic()
    answer = httpx.post(
        f"{server.url}/api/documents", files={"file": (f"{began}.txt", f"neighbour {began}".encode())}, timeout=120.0
    )
    report("a neighbour's upload beside them", time.monotonic() - began, 30.0, "s", f"status {answer.status_code}")
