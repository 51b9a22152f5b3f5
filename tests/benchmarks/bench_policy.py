"""Our policy of collecting against Streamlit's default, which collects after every run of a page.

The same sessions run the same pages as fast as they can against a real server with documents in it; the two sides take
turns, each time in a fresh process. With the default, our policy is switched off by the setting that a person has.
"""

from __future__ import annotations

import itertools
import os
import re
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from tests.benchmarks.server import Server, percentile, serve, text_files
from tests.benchmarks.table import Row

MB = 1_000_000
ROUNDS = int(os.environ.get("POLICY_ROUNDS", "3"))
SECONDS = float(os.environ.get("POLICY_SECONDS", "30"))
WARM_SECONDS = 10.0
SESSIONS = 6
DOCUMENTS = 100
PAGES = ("", "documents", "retrieval", "memory", "objects")
_SMALL = 256
OURS, DEFAULT = "console", "tests.benchmarks.after_every_run"


@dataclass(frozen=True)
class Turn:
    """One side in one round: pages a second, p95 of a page in seconds, seconds of pause a minute, RSS at the end."""

    pages: float
    p95: float
    pause: float
    longest: float
    full: int
    rss: int


class Session(threading.Thread):
    """A tab that requests one page after another, each as soon as the last has arrived."""

    def __init__(self, connection: ClientConnection, first: int) -> None:
        super().__init__(daemon=True)
        self._connection = connection
        self._pages = itertools.islice(itertools.cycle(PAGES), first, None)
        self.stopping = False
        self.runs: list[tuple[float, float]] = []  # when it ended, how long it took
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            while not self.stopping:
                self._page(next(self._pages))
        except Exception as error:  # noqa: BLE001 - told by the thread that waits for this one
            self.failure = error

    def _page(self, name: str) -> None:
        message = BackMsg()
        message.rerun_script.page_name = name
        began = time.monotonic()
        self._connection.send(message.SerializeToString())
        while True:
            data = self._connection.recv(timeout=120)
            # Only small messages are looked into: the sessions must not take the server's processor.
            if (
                isinstance(data, bytes)
                and len(data) < _SMALL
                and ForwardMsg.FromString(data).WhichOneof("type") == "script_finished"
            ):
                ended = time.monotonic()
                self.runs.append((ended, ended - began))
                return


def run() -> list[Row]:
    """Let the two sides take turns and compare the medians of their rounds."""
    turns: dict[str, list[Turn]] = {OURS: [], DEFAULT: []}
    for number in range(ROUNDS):
        for module in (OURS, DEFAULT) if number % 2 == 0 else (DEFAULT, OURS):
            turns[module].append(_turn(module))
            print(f"round {number + 1}, {module}: {turns[module][-1]}", flush=True)
    ours, default = turns[OURS], turns[DEFAULT]
    return [
        _row("pages a second with our policy over Streamlit's collection after every run", ours, default, "pages", 1.0),
        _row("p95 of a page with our policy over Streamlit's default", ours, default, "p95", 1.0),
        _row("collector's pause a minute with our policy over Streamlit's default", ours, default, "pause", 0.5),
        _row("RSS after the run with our policy over Streamlit's default", ours, default, "rss", 1.05),
    ]


def _row(what: str, ours: list[Turn], default: list[Turn], figure: str, target: float) -> Row:
    scale = {"pages": 1.0, "p95": 1000.0, "pause": 1.0, "rss": 1 / MB}[figure]
    unit = {"pages": "pages a second", "p95": "ms", "pause": "s", "rss": "MB"}[figure]
    own = [scale * getattr(turn, figure) for turn in ours]
    others = [scale * getattr(turn, figure) for turn in default]
    detail = (
        f"{_spread(own)} over {_spread(others)} {unit}, {SESSIONS} sessions, {ROUNDS} rounds in turn of {SECONDS:.0f} s"
    )
    if figure == "pause":
        detail += (
            f"; longest {1000 * max(turn.longest for turn in ours):.0f} over "
            f"{1000 * max(turn.longest for turn in default):.0f} ms; full collections "
            f"{median(turn.full for turn in ours):.0f} over {median(turn.full for turn in default):.0f}"
        )
    return Row(what, median(own) / median(others), target, at_least=figure == "pages", detail=detail)


def _spread(values: list[float]) -> str:
    return f"{median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def _turn(module: str) -> Turn:
    with (
        tempfile.TemporaryDirectory() as name,
        serve(Path(name), module=module) as server,
        ExitStack() as open_tabs,
    ):
        server.upload(text_files(DOCUMENTS, 40, 3))
        server.wait_idle()
        if module == DEFAULT:
            server.client.put("/api/collector", json={"policy": False}).raise_for_status()
        sessions = [Session(open_tabs.enter_context(_connection(server)), first) for first in range(SESSIONS)]
        for session in sessions:
            session.start()
        time.sleep(WARM_SECONDS)
        clock, began, before = time.time(), time.monotonic(), _collections(server)
        time.sleep(SECONDS)
        ended, after, rss = time.monotonic(), _collections(server), server.rss()
        for session in sessions:
            session.stopping = True
        for session in sessions:
            session.join(120)
            if session.failure is not None:
                raise session.failure
        recent = server.client.get("/api/collector/pauses").raise_for_status().json()["recent"]
    longest = max((pause["seconds"] for pause in recent if pause["time"] >= clock), default=0.0)
    took = [seconds for session in sessions for moment, seconds in session.runs if began <= moment < ended]
    length = ended - began
    pause, full = after[0] - before[0], after[1] - before[1]
    return Turn(len(took) / length, percentile(took, 0.95), 60 * pause / length, longest, int(full), rss)


def _connection(server: Server) -> ClientConnection:
    origin = str(server.client.base_url).rstrip("/")
    url = origin.replace("http://", "ws://") + "/_stcore/stream"
    return connect(url, subprotocols=[Subprotocol("streamlit")], origin=Origin(origin), max_size=None)


def _collections(server: Server) -> tuple[float, float]:
    """Return the sum of all pauses in seconds and the number of full collections so far."""
    text = server.client.get("/metrics").raise_for_status().text
    sums = re.findall(r"^millpond_gc_pause_seconds_sum\{[^}]*\} (\S+)$", text, re.MULTILINE)
    full = re.findall(r'^millpond_gc_pause_seconds_count\{[^}]*generation="2"[^}]*\} (\S+)$', text, re.MULTILINE)
    return sum(float(value) for value in sums), sum(float(value) for value in full)
