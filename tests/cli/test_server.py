"""How the HTTP server stops accepting: no connection is lost between two processes."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from console.cli.connection_guard import ConnectionGuard, ConnectionRules
from console.cli.protocols import protocol_classes
from console.cli.server import DrainingServer
from services.operations.descriptors import DescriptorLimit
from tests.servers import eventually

SECONDS = 30.0


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        opened.setblocking(False)
        yield opened


@pytest.fixture
def server(listener: socket.socket) -> Iterator[DrainingServer]:
    """A server that answers "here" to everything; it accepts connections."""
    guard = ConnectionGuard(ConnectionRules(64, DescriptorLimit(1024, 1024), 8.0, 20.0, 500))
    http, websocket = protocol_classes(guard, lambda app: app)
    config = uvicorn.Config(
        PlainTextResponse("here"), http=http, ws=websocket, log_config=None, lifespan="off", timeout_graceful_shutdown=3
    )
    made = DrainingServer(config, guard, backlog=16)
    thread = threading.Thread(target=made.run, args=([listener.dup()],), name="server")
    thread.start()
    eventually(lambda: made.started, what="a server")
    yield made
    made.should_exit = True
    thread.join(SECONDS)
    assert not thread.is_alive()


def test_a_connection_accepted_at_the_last_moment_is_answered(
    server: DrainingServer, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accepted in the same round of the event loop in which the end was asked for, it is served and not reset."""
    loop: Any = server._loop
    queued, connected = threading.Event(), threading.Event()
    original: Callable[..., object] = loop.call_soon_threadsafe

    def second() -> None:  # the connection is accepted after this, in the same round
        def spy(*arguments: Any, **named: Any) -> object:
            handle = original(*arguments, **named)
            queued.set()
            return handle

        monkeypatch.setattr(loop, "call_soon_threadsafe", spy)
        stopping.start()
        assert queued.wait(SECONDS)

    def first() -> None:
        connected.wait(SECONDS)
        loop.call_soon(second)

    stopping = threading.Thread(target=server.stop_accepting, name="stopping")
    original(first)
    with socket.create_connection(listener.getsockname(), SECONDS) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        connected.set()
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    stopping.join(SECONDS)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"here")


def test_later_connections_wait_in_the_queue(server: DrainingServer, listener: socket.socket) -> None:
    """Once it accepts no more, a connection waits in the socket that another process holds, too."""
    server.stop_accepting()
    with socket.create_connection(listener.getsockname(), SECONDS) as client:
        client.sendall(b"hello")
        loop: Any = server._loop
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(SECONDS)  # it had the chance to accept it
        listener.setblocking(True)
        accepted, _address = listener.accept()
        with accepted:
            assert accepted.recv(5) == b"hello"
