"""Servers at a node's place that do one thing exactly when a test wants it; real nodes are for everything else."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECONDS = 20.0


class StandIn(ThreadingHTTPServer):
    """Answers as it is told.

    Attributes:
        readiness: status at /readyz; 0: it hangs there.
        seen: how often which request came, checks left out.
        arrived: the first part of an upload is there.
        go_on: a stream may go on.
        left: a client has gone before it had its answer.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name = name
        self.readiness = 200
        self.seen: Counter[str] = Counter()
        self.headers: dict[str, str] = {}
        self.arrived, self.go_on, self.left = threading.Event(), threading.Event(), threading.Event()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: fronts reset the connections of their checks, and that is no fault."""


class _Handler(BaseHTTPRequestHandler):
    server: StandIn
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/readyz":
            self._check()
            return
        self._count()
        match self.path:
            case "/pieces":
                self._stream()
            case "/drop":
                self.close_connection = True
            case "/slow":
                self._wait_until_left()
            case "/away":
                self._answer(503, f"{self.server.name} is busy")
            case _:
                self._answer(200, self.server.name)

    def do_POST(self) -> None:
        self._count()
        size = int(self.headers.get("Content-Length", "0"))
        if self.path == "/drop":
            self.rfile.read(size)
            self.close_connection = True
        elif self.path == "/away":
            self.rfile.read(size)
            self._answer(503, f"{self.server.name} is busy")
        else:
            received = len(self.rfile.read(size // 2))
            self.server.arrived.set()
            received += len(self.rfile.read(size - received))
            self._answer(200, str(received))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
        pass

    def _count(self) -> None:
        self.server.seen[f"{self.command} {self.path}"] += 1
        self.server.headers = {name.lower(): value for name, value in self.headers.items()}

    def _check(self) -> None:
        if self.server.readiness:
            self._answer(self.server.readiness, "")
        else:
            self.server.go_on.wait(SECONDS)
            self.close_connection = True

    def _answer(self, status: int, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if status == 503:
            self.send_header("Retry-After", "7")
        self.end_headers()
        self.wfile.write(content)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._piece(b"data: one\n\n")
        assert self.server.go_on.wait(SECONDS)
        self._piece(b"data: two\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _wait_until_left(self) -> None:
        self.close_connection = True
        self.connection.settimeout(SECONDS)
        with suppress(ConnectionResetError):
            assert self.connection.recv(1) == b""
        self.server.left.set()

    def _piece(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
        self.wfile.flush()


@contextmanager
def stand_ins(names: str = "ab") -> Iterator[dict[str, StandIn]]:
    """Servers by name, which end with the block."""
    with ExitStack() as closing:
        found = {}
        for name in names:
            found[name] = server = StandIn(name)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
            thread.start()
            closing.callback(server.server_close)
            closing.callback(server.shutdown)
            closing.callback(server.go_on.set)
        yield found
