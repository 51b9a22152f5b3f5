"""The beginning of a connection with TLS: seen and limited by the guard before there is a request.

asyncio's own servers show a connection to nobody until its handshake is done, and wait a minute for that.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, cast

from console.cli.connection_guard import ConnectionGuard, ConnectionState, descriptor_of
from services.operations.connections import ConnectionEnd

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

# A handshake is two or three short messages each way; the time for a head follows it.
HANDSHAKE_SECONDS = 6.0
SHUTDOWN_SECONDS = 2.0  # for the other side to agree to the end of TLS


class PlainConnection(Protocol):
    """What follows the handshake; `raw` is the transport under TLS."""

    raw: asyncio.Transport | None

    def connection_made(self, transport: asyncio.Transport) -> None: ...

    def data_received(self, data: bytes) -> None: ...


class TlsHandshake(asyncio.Protocol):
    """A connection whose handshake is under way; afterwards it is one of `make`, which reads and writes plain text.

    A handshake holds no slot: it is idle, and closed for the next connection when there are too many.
    """

    def __init__(
        self,
        guard: ConnectionGuard,
        context: Callable[[], ssl.SSLContext],
        make: Callable[..., PlainConnection],
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """`context` returns the present certificate's; the arguments by name are uvicorn's."""
        self._guard = guard
        self._context = context
        self._make: Callable[[], PlainConnection] = lambda: make(
            config=config, server_state=server_state, app_state=app_state, _loop=_loop
        )
        self._server_state = server_state
        self._loop = _loop or asyncio.get_running_loop()
        self._early: list[bytes] = []
        self._ended = False
        self._task: asyncio.Task[None] | None = None
        self.transport: asyncio.Transport
        self.state = ConnectionState("", 0.0, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register it and begin; over the limit it is closed."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what a server makes
        transport.pause_reading()  # nothing may come before TLS reads it
        now = self._loop.time()
        peer = transport.get_extra_info("peername")
        self.transport = transport
        self.state = ConnectionState(str(peer[0]) if peer else "", now, now)
        if not self._guard.opened(self, descriptor_of(transport)):
            transport.abort()
            return
        self._server_state.connections.add(self)  # type: ignore[arg-type] # it has what the server asks of them
        self._task = self._loop.create_task(self._shake_hands())

    def data_received(self, data: bytes) -> None:
        """Keep what comes in the moment between the handshake's end and what follows it."""
        self._early.append(data)

    def eof_received(self) -> None:
        """Let it be closed."""
        self._ended = True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the signature is asyncio's
        """Forget it."""
        self._ended = True
        self._leave()

    def shutdown(self) -> None:
        """Close it: the server ends."""
        self.transport.abort()

    def overdue(self, now: float) -> ConnectionEnd | None:
        """Return why it is to be closed now, None while it may stay."""
        late = now - self.state.opened >= min(self._guard.rules.header_seconds, HANDSHAKE_SECONDS)
        return ConnectionEnd.HANDSHAKE if late and not self.transport.is_closing() else None

    def end(self, why: ConnectionEnd) -> None:  # noqa: ARG002 - as the other protocols
        """Close it; there is no way yet to say why."""
        self.transport.abort()

    async def _shake_hands(self) -> None:
        try:
            encrypted = await self._loop.start_tls(
                self.transport,
                self,
                self._context(),
                server_side=True,
                # The guard is earlier; this is the last resort.
                ssl_handshake_timeout=2 * HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS,
            )
        except OSError:  # ssl.SSLError is one: not TLS, no common version, broken off
            self._leave()
            return
        self._leave()
        if encrypted is None or self._ended or self.transport.is_closing():
            self.transport.abort()
            return
        connection = self._make()
        connection.raw = self.transport
        encrypted.set_protocol(cast("asyncio.Protocol", connection))
        connection.connection_made(encrypted)
        if self._early and not encrypted.is_closing():
            connection.data_received(b"".join(self._early))

    def _leave(self) -> None:
        self._guard.lost(self)
        self._server_state.connections.discard(self)
