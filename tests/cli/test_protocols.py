"""HTTP as it comes over a connection: what cannot be one request for everybody is refused, and nothing grows."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from console.cli.connection_guard import ConnectionGuard, ConnectionRules
from console.cli.protocols import HEAD_BYTES, MOST_WAITING, protocol_classes
from console.cli.server import DrainingServer
from services.operations.descriptors import DescriptorLimit
from tests.servers import eventually

SECONDS = 30.0


class Application:
    """Answers with what it got; at /wait it waits until the client has gone."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.waiting = threading.Event()
        self.gone = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.asked.append(scope["path"])
        if scope["path"] == "/wait":
            await request.body()
            self.waiting.set()
            while not await request.is_disconnected():
                await asyncio.sleep(0.01)
            self.gone.set()
            return
        body = (await request.body()).decode()
        seen = {"path": scope["path"], "headers": [name for name, _value in request.headers.items()], "body": body}
        await JSONResponse(seen)(scope, receive, send)


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def address(application: Application) -> Iterator[tuple[str, int]]:
    """Where a server with that application listens."""
    guard = ConnectionGuard(ConnectionRules(64, DescriptorLimit(1024, 1024), 8.0, 20.0, 500))
    http, websocket = protocol_classes(guard, lambda app: app)
    config = uvicorn.Config(
        application, http=http, ws=websocket, log_config=None, lifespan="off", timeout_graceful_shutdown=3
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = DrainingServer(config, guard, backlog=16)
        thread = threading.Thread(target=server.run, args=([listener.dup()],), name="server")
        thread.start()
        eventually(lambda: server.started, what="a server")
        yield listener.getsockname()
        server.should_exit = True
        thread.join(SECONDS)
        assert not thread.is_alive()


def exchange(address: tuple[str, int], *parts: bytes) -> list[tuple[int, dict[str, object]]]:
    """Send the parts, each when the one before has arrived, and return status and body of all answers until the end."""
    with socket.create_connection(address, SECONDS) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for part in parts:
                client.sendall(part)
            received = b"".join(iter(lambda: client.recv(65_536), b""))
        except ConnectionError:  # closed while more was being sent
            return []
    answers: list[tuple[int, dict[str, object]]] = []
    while received:
        head, _blank, rest = received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = rest[:length]
        answers.append((int(head.split()[1]), json.loads(body) if body.startswith(b"{") else {}))
        received = rest[length:]
    return answers


def test_one_request_names_one_host(address: tuple[str, int], application: Application) -> None:
    """Of two names a proxy may believe one and this server the other; without one, anything could be meant."""
    twice = b"GET /twice HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n"
    none = b"GET /none HTTP/1.1\r\nConnection: close\r\n\r\n"
    assert [status for status, _body in exchange(address, twice)] == [400]
    assert [status for status, _body in exchange(address, none)] == [400]
    assert [status for status, _body in exchange(address, b"GET /old HTTP/1.0\r\n\r\n")] == [200]
    assert application.asked == ["/old"]


@pytest.mark.parametrize("line", [b"X-Long: ", b"GET /"])
def test_a_head_has_an_end(address: tuple[str, int], application: Application, line: bytes) -> None:
    """Whoever sends a head without an end is cut off after 64 KB, whichever part of it is endless."""
    start = line if line.startswith(b"GET") else b"GET / HTTP/1.1\r\nHost: a\r\n" + line
    answers = exchange(address, start, *[b"x" * 8192] * (4 * HEAD_BYTES // 8192))
    assert [status for status, _body in answers] in ([], [400])
    assert application.asked == []


def test_trailers_are_no_headers(address: tuple[str, int]) -> None:
    """What follows a body passes proxies that look at headers only; the application must not take it for one."""
    (answer,) = exchange(
        address,
        b"POST /form HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        b"5\r\nhello\r\n0\r\nAuthorization: Bearer stolen\r\n\r\n",
    )
    assert answer[0] == 200
    assert answer[1]["body"] == "hello"
    assert answer[1]["headers"] == ["host", "transfer-encoding", "connection"]


def test_trailers_have_an_end(address: tuple[str, int]) -> None:
    """A trailer without an end is kept by the parser: it is cut off like a head."""
    start = b"POST /form HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Long: "
    answers = exchange(address, start, *[b"x" * 8192] * (4 * HEAD_BYTES // 8192))
    assert [status for status, _body in answers] in ([], [400])


def test_requests_are_answered_in_their_order(address: tuple[str, int], application: Application) -> None:
    """Several that come at once are served one after the other, each with its own body."""
    requests = [
        f"POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n{number}".encode() for number in range(5)
    ]
    last = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answers = exchange(address, b"".join(requests) + last)
    assert [body["path"] for _status, body in answers] == ["/0", "/1", "/2", "/3", "/4", "/last"]
    assert [body["body"] for _status, body in answers] == ["0", "1", "2", "3", "4", ""]
    assert application.asked == [body["path"] for _status, body in answers]


def test_nonsense_after_a_request_does_not_take_its_answer(address: tuple[str, int]) -> None:
    """The answer to a sound request is its own, and not 400 for what came after it; then the connection ends."""
    answers = exchange(address, b"GET /sound HTTP/1.1\r\nHost: a\r\n\r\nNONSENSE\r\n\r\n")
    assert [(status, body["path"]) for status, body in answers] == [(200, "/sound")]
    assert [status for status, _body in exchange(address, b"NONSENSE\r\n\r\n")] == [400]


def test_not_too_many_wait_on_one_connection(address: tuple[str, int], application: Application) -> None:
    """Thousands of requests in one packet do not become thousands of objects; those before the limit are answered."""
    answers = exchange(address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * (8 * MOST_WAITING))
    assert {status for status, _body in answers} <= {200}
    assert len(application.asked) <= 2 * MOST_WAITING + 2


def test_who_leaves_ends_the_request_that_is_served(address: tuple[str, int], application: Application) -> None:
    """Also when another one waits behind it: an answer is not written for nobody."""
    with socket.create_connection(address, SECONDS) as client:
        client.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        assert application.waiting.wait(SECONDS)
    assert application.gone.wait(SECONDS)


def test_an_upgrade_that_is_not_known_is_answered_and_ends(address: tuple[str, int]) -> None:
    """Clients offer HTTP/2 that way: they get the answer by HTTP/1.1, and the next request a new connection."""
    answers = exchange(
        address,
        b"GET /offer HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
    )
    assert [(status, body["path"]) for status, body in answers] == [(200, "/offer")]
