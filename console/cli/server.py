"""The HTTP server, and how it stops: at once on a signal, or without anybody noticing before a planned restart."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn

from console.ui import runtime_access

# A connection that was just taken but has not asked anything yet; browsers also open some that they never use.
FRESH_SECONDS = 0.5
_CLOSE_SECONDS = 5.0
_LOOK_SECONDS = 0.02
_HOLD_LOOK_SECONDS = 0.005


class DrainingServer(uvicorn.Server):
    """Lets answers in progress come to an end before it stops."""

    def __init__(self, config: uvicorn.Config, *, hold: Callable[[], bool] = lambda: False) -> None:
        """`hold`: whether connections are to be left in the socket's queue for the time being."""
        super().__init__(config)
        self.makes_room = False
        self._hold = hold
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, wait while it is held, only then take connections."""
        self._loop = asyncio.get_running_loop()
        begin = self.lifespan.startup

        async def begin_and_hold() -> None:
            await begin()
            while self._hold() and not self.should_exit:
                await asyncio.sleep(_HOLD_LOOK_SECONDS)

        self.lifespan.startup = begin_and_hold  # between the two steps of uvicorn's start
        await super().startup(sockets)

    def take_no_more(self) -> None:
        """Take no more connections: they wait in the socket's queue as long as somebody else holds it. Any thread."""
        if self._loop is None:
            return
        done = threading.Event()

        def close() -> None:
            for server in self.servers:
                server.close()
            done.set()

        self._loop.call_soon_threadsafe(close)
        done.wait(_CLOSE_SECONDS)

    def make_room(self) -> None:
        """Stop for a successor. Any thread."""
        self.makes_room = True
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; before a planned restart, answer first who has connected already."""
        if self.makes_room:
            for server in self.servers:
                server.close()
            loop = asyncio.get_running_loop()
            deadline = loop.time() + FRESH_SECONDS
            while loop.time() < deadline and any(_fresh(connection) for connection in self.server_state.connections):
                await asyncio.sleep(_LOOK_SECONDS)
        ending = asyncio.create_task(asyncio.to_thread(runtime_access.stop_answers))
        await super().shutdown(sockets)
        await ending


def _fresh(connection: Any) -> bool:
    """Whether a connection has not asked anything yet, or is being answered; those of browser tabs are neither."""
    if not hasattr(connection, "cycle"):
        return False
    return connection.cycle is None or not connection.cycle.response_complete
