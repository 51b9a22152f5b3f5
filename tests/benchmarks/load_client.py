"""Clients that ask one after the other, as many at once as wanted: `python -m tests.benchmarks.load_client`.

A process of its own and one thread over plain sockets, some 40 us a request, so that what is measured is the server and
not the client: HTTP libraries take longer for a request than the server does. Reads an order as JSON from standard
input and writes what it saw to standard output.
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
_MOST_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class Load:
    """What some clients saw: questions answered and refused, seconds in all, ms of each, and the CPU time that this and
    the server took, in seconds."""

    clients: int
    answered: int
    refused: int
    seconds: float
    milliseconds: list[float]
    client_cpu: float
    server_cpu: float

    @property
    def rate(self) -> float:
        """Questions answered a second."""
        return self.answered / self.seconds

    def percentile(self, share: float) -> float:
        """Return the ms below which `share` of the questions were answered."""
        ordered = sorted(self.milliseconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def ask(server: psutil.Process, url: str, bodies: Sequence[bytes], clients: int, headers: str = "") -> Load:
    """Have `clients` post the bodies to /api/search, each once, over connections that stay open."""
    host, _colon, port = url.partition("://")[2].rstrip("/").partition(":")
    order = {
        "host": host,
        "port": int(port),
        "server": server.pid,
        "clients": clients,
        "headers": headers,
        "bodies": [body.decode() for body in bodies],
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.load_client"],
        cwd=ROOT,
        input=json.dumps(order),
        capture_output=True,
        text=True,
        check=True,
    )
    return Load(**json.loads(done.stdout))


class _Client:
    """One connection: it sends the next request when the last one is answered."""

    def __init__(self, address: tuple[str, int], requests: Iterator[bytes]) -> None:
        self.socket = socket.create_connection(address, timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._requests = requests
        self._received = bytearray()
        self._sent_at = 0.0
        self.milliseconds: list[float] = []
        self.refused = 0

    def send_next(self) -> bool:
        """Send the next request; return whether there was one."""
        request = next(self._requests, None)
        if request is None:
            return False
        self._sent_at = time.perf_counter()
        self.socket.sendall(request)
        return True

    def receive(self) -> bool:
        """Take what has come; return whether the answer is whole."""
        part = self.socket.recv(_MOST_AT_ONCE)
        if not part:
            raise ConnectionError("the server closed the connection")
        self._received += part
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._received[:end]).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(self._received) < end + 4 + length:
            return False
        del self._received[: end + 4 + length]
        if head.startswith(b"http/1.1 200"):
            self.milliseconds.append((time.perf_counter() - self._sent_at) * 1000)
        else:
            self.refused += 1
        return True


def _run(order: dict[str, Any]) -> Load:
    address = (str(order["host"]), int(order["port"]))
    head = f"POST /api/search HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nContent-Type: application/json\r\n"
    requests = iter(
        [
            f"{head}{order['headers']}Content-Length: {len(body)}\r\n\r\n".encode() + body
            for body in (text.encode() for text in order["bodies"])
        ]
    )
    clients = [_Client(address, requests) for _number in range(order["clients"])]
    server = psutil.Process(order["server"])
    before, started = server.cpu_times(), time.perf_counter()
    own = time.process_time()
    with selectors.DefaultSelector() as selector:
        open_now = 0
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
            open_now += client.send_next()
        while open_now:
            for key, _events in selector.select():
                if key.data.receive() and not key.data.send_next():
                    open_now -= 1
    seconds, own = time.perf_counter() - started, time.process_time() - own
    after = server.cpu_times()
    times = [each for client in clients for each in client.milliseconds]
    refused = sum(client.refused for client in clients)
    used = after.user + after.system - before.user - before.system
    return Load(len(clients), len(times), refused, seconds, times, own, used)


if __name__ == "__main__":
    print(json.dumps(asdict(_run(json.load(sys.stdin)))))
