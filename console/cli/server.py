"""The HTTP server, and how it stops: at once on a signal, or unnoticed before a planned restart."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvicorn

from console.cli.connection_guard import ConnectionGuard
from console.cli.protocols import GuardedHttp
from console.cli.tls import TlsWatch
from console.cli.tls_handshake import TlsHandshake
from console.ui import runtime_access
from services.operations.restarts import EXIT_CODE

# For a new connection to send its first request; browsers also open some that they never use.
PENDING_SECONDS = 2.0
_CLOSE_SECONDS = 5.0
_UNREAD_SECONDS = 1.0
_POLL_SECONDS = 0.02
_HOLD_POLL_SECONDS = 0.005


class DrainingServer(uvicorn.Server):
    """Finishes answers in progress before it stops."""

    def __init__(
        self,
        config: uvicorn.Config,
        guard: ConnectionGuard,
        *,
        backlog: int,
        tls: TlsWatch | None = None,
        hold: Callable[[], bool] = lambda: False,
        on_end: Callable[[int], None] = lambda _code: None,
    ) -> None:
        """`guard` looks after the connections, `tls` after the certificate; `backlog` of them may wait in the socket's
        queue; `hold` returns whether they are to be left there for the time being; `on_end` is called with the exit
        code when the end begins."""
        super().__init__(config)
        self._guard = guard
        self._tls = tls
        self._backlog = backlog
        self.restarting = False
        self._hold = hold
        self._on_end = on_end
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
        if self._tls is not None:
            self._tls.start()

    def stop_accepting(self) -> None:
        """Accept no more connections: they wait in the socket's queue while another process holds it. Any thread."""
        if self._loop is None:
            return
        stopping = asyncio.run_coroutine_threadsafe(self._stop_accepting(), self._loop)
        with suppress(TimeoutError):
            stopping.result(_CLOSE_SECONDS)

    async def _stop_accepting(self) -> None:
        loop = asyncio.get_running_loop()
        for server in self.servers:
            for listener in server.sockets:
                loop.remove_reader(listener.fileno())
        # A connection accepted in this round of the event loop is set up in the next one; a server that is closed by
        # then would drop it (asyncio, Server._attach).
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for server in self.servers:
            server.close()

    def stop(self) -> None:
        """Stop. Any thread."""
        self.should_exit = True
        self._on_end(EXIT_CODE if self.restarting else 1)

    def stop_for_successor(self) -> None:
        """Stop for a successor. Any thread."""
        self.restarting = True
        self.stop()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; before a planned restart, finish the requests of open connections first."""
        self.stop()  # by a signal nothing has done so yet
        await self._stop_accepting()
        if self.restarting:
            loop = asyncio.get_running_loop()
            deadline = loop.time() + PENDING_SECONDS
            while loop.time() < deadline and any(
                _is_pending(connection, loop.time()) for connection in self.server_state.connections
            ):
                await asyncio.sleep(_POLL_SECONDS)
        self._guard.stop()
        if self._tls is not None:
            self._tls.stop()
        ending = asyncio.create_task(asyncio.to_thread(runtime_access.stop_answers))
        # Just before uvicorn waits no longer: whoever does not read is not to be waited for.
        seconds = max(0.0, (self.config.timeout_graceful_shutdown or 0) - _UNREAD_SECONDS)
        unread = asyncio.get_running_loop().call_later(seconds, self._guard.abort_unread)
        await super().shutdown(sockets)
        unread.cancel()
        await ending


def _is_pending(connection: Any, now: float) -> bool:
    """Return whether a connection awaits a response or is about to send its first request; those of tabs do neither."""
    if isinstance(connection, TlsHandshake):
        return now - connection.state.opened < PENDING_SECONDS
    if not isinstance(connection, GuardedHttp):
        return False
    cycle: Any = connection.cycle  # None before the first request
    if cycle is None:
        return now - connection.state.opened < PENDING_SECONDS
    return not cycle.response_complete
