"""The memory page in twenty tabs: its cost on the server, and that sampling is not affected.

The tabs are connections that ask for what a browser asks for, at the pace that the page tells it: twenty browsers that
draw would leave the server no processor to be measured on.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Delta_pb2 import Delta
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from tests.benchmarks.server import Server, serve
from tests.benchmarks.table import Row

MB = 1_000_000
TABS = 20
SECONDS = 60.0
SETTLE_SECONDS = 10.0
HEARTBEAT, CHART = "millpond_heartbeat", "millpond_chart"


class Tab:
    """A tab on the memory page: every heartbeat that the page contains makes its fragment run again."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._beats: dict[str, tuple[float, float]] = {}  # fragment: seconds, when it is due
        self.ready = threading.Event()
        self.charts = 0
        self.bytes = 0
        self._send()
        threading.Thread(target=self._listen, daemon=True).start()

    def _send(self, fragment: str = "") -> None:
        message = BackMsg()
        message.rerun_script.query_string = "range=1h"
        message.rerun_script.page_name = "memory"
        message.rerun_script.fragment_id = fragment
        self._connection.send(message.SerializeToString())

    def _listen(self) -> None:
        try:
            while True:
                try:
                    data = self._connection.recv(timeout=0.1)
                except TimeoutError:
                    data = None
                if isinstance(data, bytes):
                    self._take(data)
                now = time.monotonic()
                for fragment, (seconds, due) in self._beats.items():
                    if due <= now:
                        self._beats[fragment] = (seconds, now + seconds)
                        self._send(fragment)
        except ConnectionClosed:
            return

    def _take(self, data: bytes) -> None:
        self.bytes += len(data)
        message = ForwardMsg.FromString(data)
        if message.WhichOneof("type") == "script_finished":
            self.ready.set()
        element = message.delta.new_element
        if message.WhichOneof("type") != "delta" or element.WhichOneof("type") != "bidi_component":
            return
        if element.bidi_component.component_name == CHART:
            self.charts += 1
        if element.bidi_component.component_name == HEARTBEAT:
            self._plan(message.delta)

    def _plan(self, delta: Delta) -> None:
        seconds = float(json.loads(delta.new_element.bidi_component.json)["seconds"])
        if delta.fragment_id not in self._beats and seconds > 0:
            self._beats[delta.fragment_id] = (seconds, time.monotonic() + seconds)


@dataclass
class Measurement:
    """The server over a stretch of time: CPU (1.0 = one core), samples taken per second, RSS at the end."""

    cpu: float
    samples: float
    rss: int
    charts: float
    sent: float


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as server, ExitStack() as open_tabs:
        with tab(server):
            pass  # what is loaded once is there now
        idle = measure(server, [])
        tabs = [open_tabs.enter_context(tab(server))]
        one = measure(server, tabs)
        tabs += [open_tabs.enter_context(tab(server)) for _ in range(TABS - 1)]
        many = measure(server, tabs)
    return [
        Row(
            "samples a second with 20 memory pages open over with none",
            many.samples / idle.samples,
            1.02,
            at_least=False,
            detail=f"{many.samples:.3f} over {idle.samples:.3f}; with one {one.samples:.3f}",
        ),
        Row(
            "server CPU with 20 memory pages open over with 1",
            many.cpu / one.cpu,
            float(TABS),
            at_least=False,
            detail=f"{100 * many.cpu:.1f} % of a core with 20, {100 * one.cpu:.1f} % with 1, {100 * idle.cpu:.1f} % "
            f"with none; {many.charts:.0f} charts and {many.sent / MB:.2f} MB sent a second with 20",
        ),
        Row(
            "RSS with 20 memory pages open over with 1",
            many.rss / one.rss,
            1.1,
            at_least=False,
            detail=f"{one.rss / MB:.0f} → {many.rss / MB:.0f} MB, {(many.rss - one.rss) / MB / (TABS - 1):.1f} MB each",
        ),
    ]


@contextmanager
def tab(server: Server) -> Iterator[Tab]:
    """Open the page in a session of its own."""
    origin = str(server.client.base_url).rstrip("/")
    url = origin.replace("http://", "ws://") + "/_stcore/stream"
    with connect(url, subprotocols=[Subprotocol("streamlit")], origin=Origin(origin), max_size=None) as connection:
        opened = Tab(connection)
        if not opened.ready.wait(120):
            raise TimeoutError("the memory page did not come")
        yield opened


def measure(server: Server, tabs: list[Tab]) -> Measurement:
    """Watch the server for a while."""
    time.sleep(SETTLE_SECONDS)
    charts, sent = sum(one.charts for one in tabs), sum(one.bytes for one in tabs)
    start, before, began = time.time(), server.process.cpu_times(), time.monotonic()
    time.sleep(SECONDS)
    after, end, passed = server.process.cpu_times(), time.time(), time.monotonic() - began
    query: dict[str, float | str] = {"start": start, "end": end, "columns": "rss"}
    samples = server.client.get("/api/memory/history", params=query).raise_for_status().json()["times"]
    cpu = (after.user + after.system - before.user - before.system) / passed
    charts, sent = sum(one.charts for one in tabs) - charts, sum(one.bytes for one in tabs) - sent
    return Measurement(cpu, len(samples) / passed, server.rss(), charts / passed, sent / passed)
