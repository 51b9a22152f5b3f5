"""The HTTP server, and how it stops: at once on a signal, or unnoticed before a planned restart."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn

from console.cli.connection_guard import ConnectionGuard
from console.ui import runtime_access

# For connections that have been accepted but sent no request yet; browsers also open some that they never use.
PENDING_SECONDS = 0.5
_CLOSE_SECONDS = 5.0
_UNREAD_SECONDS = 1.0
_POLL_SECONDS = 0.02
_HOLD_POLL_SECONDS = 0.005


class DrainingServer(uvicorn.Server):
    """Finishes answers in progress before it stops."""

    def __init__(
        self, config: uvicorn.Config, guard: ConnectionGuard, *, backlog: int, hold: Callable[[], bool] = lambda: False
    ) -> None:
        """`guard` looks after the connections; `backlog` of them may wait in the socket's queue; `hold` returns whether
        they are to be left there for the time being."""
        super().__init__(config)
        self._guard = guard
        self._backlog = backlog
        self.restarting = False
        self._hold = hold
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, wait while it is held, and only then accept connections."""
        self._loop = asyncio.get_running_loop()
        begin = self.lifespan.startup

        async def begin_and_hold() -> None:
            await begin()
            while self._hold() and not self.should_exit:
                await asyncio.sleep(_HOLD_POLL_SECONDS)

        self.lifespan.startup = begin_and_hold  # between the two steps of uvicorn's start
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(self._backlog)  # uvicorn's is the number of connections that are accepted at once
        self._guard.start(self._loop)

    def stop_accepting(self) -> None:
        """Accept no more connections: they wait in the socket's queue while another process holds it. Any thread."""
        if self._loop is None:
            return
        done = threading.Event()

        def close() -> None:
            for server in self.servers:
                server.close()
            done.set()

        self._loop.call_soon_threadsafe(close)
        done.wait(_CLOSE_SECONDS)

    def stop_for_successor(self) -> None:
        """Stop for a successor. Any thread."""
        self.restarting = True
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; before a planned restart, finish the requests of open connections first."""
        if self.restarting:
            for server in self.servers:
                server.close()
            loop = asyncio.get_running_loop()
            deadline = loop.time() + PENDING_SECONDS
            while loop.time() < deadline and any(
                _is_pending(connection) for connection in self.server_state.connections
            ):
                await asyncio.sleep(_POLL_SECONDS)
        self._guard.stop()
        ending = asyncio.create_task(asyncio.to_thread(runtime_access.stop_answers))
        # Just before uvicorn waits no longer: whoever does not read is not to be waited for.
        seconds = max(0.0, (self.config.timeout_graceful_shutdown or 0) - _UNREAD_SECONDS)
        unread = asyncio.get_running_loop().call_later(seconds, self._guard.abort_unread)
        await super().shutdown(sockets)
        unread.cancel()
        await ending


def _is_pending(connection: Any) -> bool:
    """Return whether a connection has sent no request yet, or awaits a response; those of browser tabs do neither."""
    if not hasattr(connection, "cycle"):
        return False
    return connection.cycle is None or not connection.cycle.response_complete
