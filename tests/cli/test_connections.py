"""Connections to a real server: capped, closed when idle, none held by saying nothing or by not reading."""

from __future__ import annotations

import re
import signal
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from websockets.protocol import State

from tests.api.tab import run_page, tab
from tests.servers import Server, eventually, serving
from tests.siege import connections

HEADER_SECONDS, STALL_SECONDS, LIMIT, DESCRIPTORS = 1.0, 4.0, 60, 512
TOKEN = "administrators-only"
SLACK = 2.5  # the server looks once a second; the rest is a busy machine


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with short times, few connections and two slots for uploads.

    In the end it is stopped while connections of all kinds are open: it ends well, within seconds, without a traceback.
    """
    limits = {
        "header_seconds": HEADER_SECONDS,
        "stall_seconds": STALL_SECONDS,
        "connections_limit": LIMIT,
        "uploads_total": 2,
        "uploads_per_user": 1,
        "admin_token": TOKEN,
    }
    with serving(tmp_path_factory.mktemp("guarded") / "data", descriptors=DESCRIPTORS, **limits) as server:
        yield server
        attackers = [
            *connections.silent(server, 10),
            *connections.half_heads(server, 10),
            *connections.stalled_uploads(server, 4),
            *connections.websockets(server, 10),
            *connections.never_reading(server, 5),
        ]
        with tab(server) as page:
            run_page(page)
            began = time.monotonic()
            assert server.stop(signal.SIGTERM) == 0
            assert time.monotonic() - began < 15.0
            eventually(lambda: page.state is State.CLOSED, what="the end of the tab")
        connections.close_all(attackers)
        assert "Traceback" not in server.log.read_text()


def received(connection: socket.socket) -> bytes:
    """Return everything until the server closes."""
    found = b""
    while data := connection.recv(1 << 16):
        found += data
    return found


def metric(client: httpx.Client, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def once_idle(server: Server) -> None:
    """Wait until the connections of the test before are gone."""
    eventually(lambda: metric(server.client, 'millpond_connections{state="idle"}') < LIMIT / 4, what="few connections")


def test_silence_and_half_heads_end(guarded: Server) -> None:
    """Who says nothing is cut off; who does not end the head of a request gets 408, also when bytes still drip in."""
    began = time.monotonic()
    quiet, half, dripping = (*connections.silent(guarded, 1), *connections.half_heads(guarded, 2))
    ended = threading.Event()

    def drip() -> None:
        while not ended.wait(0.3):
            try:
                dripping.sendall(b"x")
            except OSError:
                return

    dripper = threading.Thread(target=drip)
    dripper.start()
    try:
        assert received(quiet) == b""
        assert received(half).startswith(b"HTTP/1.1 408 ")
        eventually(lambda: connections.is_closed(dripping), seconds=HEADER_SECONDS + SLACK, what="the end of a drip")
    finally:
        ended.set()
        dripper.join()
        connections.close_all([quiet, half, dripping])
    assert time.monotonic() - began < HEADER_SECONDS + 2 * SLACK


def test_a_next_head_has_its_time_too(guarded: Server) -> None:
    """On a connection that was used before, half a head is cut off as on a new one."""
    (connection,) = connections.kept_alive(guarded, 1)
    connection.sendall(connections.head(guarded, "GET", "/healthz")[:-2])
    assert b"HTTP/1.1 408 " in received(connection)
    connection.close()


def test_idle_ones_make_room(guarded: Server) -> None:
    """Three times the limit of idle connections shut nobody out: the longest idle are closed for those that ask."""
    idle = [*connections.kept_alive(guarded, LIMIT), *connections.silent(guarded, 2 * LIMIT)]
    try:
        for _time in range(5):
            began = time.monotonic()
            assert httpx.get(f"{guarded.url}/healthz", timeout=5.0).status_code == 200
            assert httpx.post(f"{guarded.url}/api/search", json={"query": "heron"}, timeout=20.0).status_code == 200
            assert time.monotonic() - began < 10.0
        assert metric(guarded.client, 'millpond_connections_closed_total{reason="evicted"}') >= LIMIT / 2
    finally:
        connections.close_all(idle)


def test_beyond_the_limit_operators_are_served(guarded: Server) -> None:
    """Where every connection has a request in progress, health, metrics and administrators are answered, others get 503
    with the time to come back; nothing is left of it afterwards."""
    once_idle(guarded)
    busy = [
        each
        for number in range(LIMIT)
        for each in connections.stalled_uploads(guarded, 1, first_address=10 + number % 20)
    ]
    closing = {"Connection": "close"}
    with httpx.Client(base_url=guarded.url, headers=closing, trust_env=False, timeout=10.0) as client:

        def all_busy() -> bool:
            """A connection that was idle before keeps its place for half a second, and is then closed for an upload."""
            if metric(client, 'millpond_connections{state="busy"}') > LIMIT:  # this request is one more
                return True
            busy.extend(connections.stalled_uploads(guarded, 1, first_address=30))
            return False

        try:
            eventually(all_busy, what="uploads over all connections")
            refused = client.get("/api/caches")
            operator = [client.get(path).status_code for path in ("/healthz", "/readyz", "/metrics")]
            admin = client.get("/api/caches", headers={"Authorization": f"Bearer {TOKEN}"})
            wrong = client.get("/api/caches", headers={"Authorization": "Bearer something"})
        finally:
            connections.close_all(busy)
    assert operator == [200, 200, 200]
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["connection"] == "close"
    assert refused.json()["hint"]
    assert (admin.status_code, wrong.status_code) == (200, 503)
    eventually(lambda: httpx.get(f"{guarded.url}/api/caches").status_code == 200, what="room again")


def test_stalled_uploads_lose_their_slots(guarded: Server) -> None:
    """Two uploads that say nothing more hold both slots; they end with 408, and a neighbour's goes through."""
    once_idle(guarded)
    stalled = connections.stalled_uploads(guarded, 2)
    eventually(
        lambda: [each["kind"] for each in guarded.client.get("/api/requests").json()["running"]].count("upload") == 2,
        what="both slots taken",
    )
    began = time.monotonic()
    answer = httpx.post(
        f"{guarded.url}/api/documents", files={"file": ("n.txt", b"The neighbour's text.")}, timeout=30.0
    )
    assert answer.status_code == 202
    assert time.monotonic() - began < STALL_SECONDS + 2 * SLACK
    replies = [received(each) for each in stalled]
    connections.close_all(stalled)
    assert all(reply.startswith(b"HTTP/1.1 408 ") for reply in replies)
    assert all(b"nothing was kept" in reply and b"application/problem+json" in reply for reply in replies)
    names = [each["name"] for each in guarded.client.get("/api/documents").json()["documents"]]
    assert "n.txt" in names
    assert not any(name.startswith("stalled") for name in names)


def test_slow_but_honest_uploads_survive(guarded: Server) -> None:
    """A line of 1,000 bytes a second hands its file in, though that takes longer than a stalled one may."""
    body = connections.FORM % (b"slow.txt", b"slow but honest " * 320)
    lines = ("Content-Type: multipart/form-data; boundary=edge", f"Content-Length: {len(body)}")
    with connections.connect(guarded) as slow:
        slow.settimeout(20.0)
        slow.sendall(connections.head(guarded, "POST", "/api/documents", *lines))
        pause = threading.Event()
        for begin in range(0, len(body), 1000):
            slow.sendall(body[begin : begin + 1000])
            pause.wait(1.0)
        assert slow.recv(1 << 16).startswith(b"HTTP/1.1 202 ")


def close_code(data: bytes) -> int:
    """Return the code of the close frame at the end of what a WebSocket sent; 0 without one."""
    found = re.search(rb"\x88[\x02-\x7d]\x03([\xe8-\xf7])[^\x88]*\Z", data, re.DOTALL)
    return 0x300 + found[1][0] if found is not None else 0


# What is sent first over a WebSocket, and the code with which it is closed.
NO_PAGES: dict[str, tuple[int, tuple[bytes, ...]]] = {
    "silent": (1008, ()),
    "text": (1003, (connections.frame(1, b"hello"),)),
    "not UTF-8": (1007, (connections.frame(1, b"\xff\xfe\xfd"),)),
    "garbage": (1007, (connections.frame(2, b"\xff\xfe garbage"),)),
    "empty": (1007, (connections.frame(2, b""),)),
    "text after a page": (1003, (connections.frame(2, connections.rerun()), connections.frame(1, b"text"))),
    "oversized": (1009, (b"\x82\xff" + (1 << 40).to_bytes(8) + b"mask",)),
    "reserved bits": (1002, (b"\xf2\x81mask.",)),
}


def test_websockets_of_no_page_are_closed(guarded: Server) -> None:
    """What no page would send closes the WebSocket with the code that says so, and writes a line, no traceback."""
    once_idle(guarded)
    before = guarded.log.stat().st_size
    opened = {name: connections.websockets(guarded, 1, *first)[0] for name, (_code, first) in NO_PAGES.items()}
    said = {name: received(each) for name, each in opened.items()}
    connections.close_all(list(opened.values()))
    assert {name: close_code(data) for name, data in said.items()} == {
        name: code for name, (code, _first) in NO_PAGES.items()
    }
    assert guarded.log.stat().st_size - before < 12_000
    assert "Traceback" not in guarded.log.read_text()


def test_a_page_lives_and_silent_ones_do_not(guarded: Server) -> None:
    """Among 100 silent WebSockets a page that is open and idle stays connected and works afterwards."""
    with tab(guarded) as page:
        run_page(page)
        silent = connections.websockets(guarded, 100)
        assert connections.open_after(silent, HEADER_SECONDS + 10.0 + SLACK) == 0
        assert page.state is State.OPEN
        run_page(page)
        assert metric(guarded.client, "millpond_sessions") >= 1


def test_who_never_reads_is_cut_off(guarded: Server) -> None:
    """A client that asks for megabytes and reads none of them does not hold its connection."""
    once_idle(guarded)
    before = metric(guarded.client, 'millpond_connections_closed_total{reason="output"}')
    opened = connections.never_reading(guarded, 3)
    eventually(
        lambda: metric(guarded.client, 'millpond_connections_closed_total{reason="output"}') >= before + 3,
        seconds=30.0,
        what="the end of those that do not read",
    )
    connections.close_all(opened)


def test_limits_are_shown(guarded: Server) -> None:
    """The limits in force are in the metrics and the status, and the log says which number of descriptors was found."""
    assert metric(guarded.client, "millpond_connections_limit") == LIMIT
    assert metric(guarded.client, "millpond_descriptors_limit") == DESCRIPTORS
    shown = guarded.client.get("/api/status").json()["connections"]
    assert (shown["limit"], shown["descriptors"], shown["descriptors_found"]) == (LIMIT, DESCRIPTORS, DESCRIPTORS)
    assert f'"found": {DESCRIPTORS}' in guarded.log.read_text()
