"""Connections that hold a server up: silent ones, half heads, stalled uploads, WebSockets, and such as never read."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import select
import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import streamlit
from streamlit.proto.BackMsg_pb2 import BackMsg

from tests.servers import Server

FORM = (
    b'--edge\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n'
    b"Content-Type: text/plain\r\n\r\n%s\r\n--edge--\r\n"
)


def endpoint(server: Server) -> tuple[str, int]:
    """Return host and port."""
    parts = urlsplit(server.url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def connect(server: Server, *, source: str = "", receive_bytes: int = 0) -> socket.socket:
    """Return a new connection, from another address of loopback with `source`; `receive_bytes`: a small buffer."""
    found = socket.socket()
    found.settimeout(10.0)
    if receive_bytes:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    if source:
        found.bind((source, 0))
    found.connect(endpoint(server))
    return found


def head(server: Server, method: str, path: str, *lines: str) -> bytes:
    """Return the head of a request, complete."""
    host, port = endpoint(server)
    return "\r\n".join((f"{method} {path} HTTP/1.1", f"Host: {host}:{port}", *lines, "", "")).encode()


def silent(server: Server, count: int) -> list[socket.socket]:
    """Open connections that say nothing; those that are refused are left out."""
    opened = []
    for _number in range(count):
        with contextlib.suppress(OSError):
            opened.append(connect(server))
    return opened


def half_heads(server: Server, count: int) -> list[socket.socket]:
    """Open connections with a head that does not end."""
    opened = silent(server, count)
    for each in opened:
        with contextlib.suppress(OSError):
            each.sendall(head(server, "GET", "/api/documents")[:-2] + b"X-Never-Ends: ")
    return opened


def kept_alive(server: Server, count: int) -> list[socket.socket]:
    """Open connections that have had an answer and say nothing more."""
    opened = silent(server, count)
    for each in opened:
        with contextlib.suppress(OSError):
            each.sendall(head(server, "GET", "/healthz"))
            each.recv(4096)
    return opened


def stalled_uploads(server: Server, count: int, addresses: int = 4, first_address: int = 2) -> list[socket.socket]:
    """Begin uploads from so many addresses of loopback, and say nothing after the first bytes of the file."""
    opened = []
    for number in range(count):
        each = connect(server, source=f"127.0.0.{first_address + number % addresses}")
        body = FORM % (b"stalled-%d.txt" % number, b"x" * 1000)
        lines = ("Content-Type: multipart/form-data; boundary=edge", "Content-Length: 1000000")
        each.sendall(head(server, "POST", "/api/documents", *lines) + body[:500])
        opened.append(each)
    return opened


def never_reading(server: Server, count: int, requests: int = 20) -> list[socket.socket]:
    """Ask for megabytes over each connection, the largest script of the pages, and read none of them."""
    folder = Path(streamlit.__file__).parent / "static"
    largest = max(folder.rglob("*.js"), key=lambda path: path.stat().st_size).relative_to(folder)
    opened = []
    for _number in range(count):
        each = connect(server, receive_bytes=4096)
        with contextlib.suppress(OSError):
            each.sendall(head(server, "GET", f"/{largest}") * requests)
        opened.append(each)
    return opened


def frame(opcode: int, data: bytes) -> bytes:
    """Return a frame of a client, masked as it must be."""
    mask = os.urandom(4)
    size = len(data)
    if size < 126:
        begin = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 1 << 16:
        begin = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        begin = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return begin + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))


def rerun() -> bytes:
    """Return the first message of a page."""
    message = BackMsg()
    message.rerun_script.query_string = ""
    return bytes(message.SerializeToString())


def websockets(server: Server, count: int, *first: bytes) -> list[socket.socket]:
    """Open WebSockets of pages that answer no ping, and send the frames `first` over each."""
    opened = []
    for _number in range(count):
        try:
            each = connect(server)
            key = base64.b64encode(os.urandom(16)).decode()
            lines = (
                "Connection: Upgrade",
                "Upgrade: websocket",
                "Sec-WebSocket-Version: 13",
                f"Sec-WebSocket-Key: {key}",
                "Sec-WebSocket-Protocol: streamlit",
                f"Origin: {server.url}",
            )
            each.sendall(head(server, "GET", "/_stcore/stream", *lines))
            answer = each.recv(4096)
            if b" 101 " in answer:
                for one in first:
                    each.sendall(one)
        except OSError:
            continue
        opened.append(each)
    return opened


def open_after(connections: list[socket.socket], seconds: float) -> int:
    """Return how many connections the server has not closed after at most `seconds`; all are closed then."""
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for each in connections:
            each.setblocking(False)
            selector.register(each, selectors.EVENT_READ)
        left = set(connections)
        while left and (rest := deadline - time.monotonic()) > 0:
            for key, _events in selector.select(rest):
                each = key.fileobj
                assert isinstance(each, socket.socket)
                try:
                    ended = each.recv(1 << 16) == b""
                except BlockingIOError:
                    continue
                except OSError:
                    ended = True
                if ended:
                    selector.unregister(each)
                    left.discard(each)
    close_all(connections)
    return len(left)


def unread_after(connections: list[socket.socket], seconds: float) -> int:
    """Return how many connections the server has not reset after at most `seconds`, without reading anything."""
    deadline = time.monotonic() + seconds
    poller = select.poll()
    left = {each.fileno() for each in connections}
    for descriptor in left:
        poller.register(descriptor, 0)  # ends and errors are reported always
    while left and (rest := deadline - time.monotonic()) > 0:
        for descriptor, _events in poller.poll(rest * 1000):
            poller.unregister(descriptor)
            left.discard(descriptor)
    close_all(connections)
    return len(left)


def is_closed(connection: socket.socket) -> bool:
    """Return whether the server has closed a connection; what it sent before is dropped."""
    connection.settimeout(0.05)
    try:
        while connection.recv(1 << 16):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def close_all(connections: list[socket.socket]) -> None:
    for each in connections:
        each.close()


@dataclass
class Latencies:
    """Seconds that liveness and searches took; infinite where there was no answer or a wrong one."""

    liveness: list[float] = field(default_factory=list)
    searches: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def p95(self) -> float:
        """Return the 95th percentile of searches."""
        ordered = sorted(self.searches)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))] if ordered else float("inf")


@contextlib.contextmanager
def measuring(server: Server) -> Iterator[Latencies]:
    """Ask for liveness and search over connections of their own while the body runs, five times a second each."""
    found, end = Latencies(), threading.Event()
    number = 0

    def ask(method: str, path: str, body: str | None) -> float:
        began = time.monotonic()
        try:
            client = http.client.HTTPConnection(*endpoint(server), timeout=20.0)
            headers = {"Content-Type": "application/json", "Connection": "close"} if body else {"Connection": "close"}
            client.request(method, path, body, headers)
            answer = client.getresponse()
            answer.read()
            client.close()
        except (OSError, http.client.HTTPException) as error:
            found.faults.append(f"{path}: {error!r}")
            return float("inf")
        if answer.status != 200:
            found.faults.append(f"{path}: {answer.status}")
            return float("inf")
        return time.monotonic() - began

    def live() -> None:
        while not end.is_set():
            found.liveness.append(ask("GET", "/healthz", None))
            end.wait(0.2)

    def search() -> None:
        nonlocal number
        while not end.is_set():
            number += 1
            found.searches.append(ask("POST", "/api/search", json.dumps({"query": f"heron nest number {number}"})))
            end.wait(0.2)

    threads = [threading.Thread(target=live), threading.Thread(target=search)]
    for each in threads:
        each.start()
    try:
        yield found
    finally:
        end.set()
        for each in threads:
            each.join()
