"""uvicorn's protocols for HTTP and WebSockets, with the limits of `console.cli.connection_guard`.

uvicorn has a time limit only for connections that wait after a response; one that says nothing, sends half a head, does
not end its body, or does not read stays open for good.

HTTP is parsed by httptools (the parser of Node.js), which takes a fifth of the time of one in Python. It keeps no limit
of a head, takes any number of requests at once, and leaves the `Host` header to others: that is seen to here.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any, cast

from starlette.types import ASGIApp
from uvicorn._types import ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import CloseCode

from console.cli.connection_guard import (
    REFUSAL_SECONDS,
    ConnectionGuard,
    ConnectionState,
    descriptor_of,
    reset,
    unread_too_long,
)
from console.cli.tls_handshake import TlsHandshake
from services.operations.connections import ConnectionEnd

_TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_AGAIN_LATER = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
LINGER_SECONDS = 3.0  # for the rest of a body after the response, and for a WebSocket's last words

STALL_GRACE_SECONDS = 2.0
# The head of a request. Less than the longest text that routes refuse in words would end in a reset connection.
HEAD_BYTES = 65_536
# Requests that may wait on one connection for the answer before theirs; clients of today send one at a time.
MOST_WAITING = 256

Refusal = Callable[[ASGIApp], ASGIApp]


class _RequestPart(Enum):
    """What of a request is arriving."""

    NOTHING = 0
    HEAD = 1
    BODY = 2


def protocol_classes(
    guard: ConnectionGuard, refusal: Refusal, context: Callable[[], ssl.SSLContext] | None = None
) -> tuple[Any, Any]:
    """Return what uvicorn's configuration takes for `http` and `ws`.

    `refusal` wraps the application for connections beyond the limit; `context` returns that of new connections with
    TLS, None: there is no TLS.
    """
    http: Any = partial(GuardedHttp, guard, refusal)
    if context is not None:
        http = partial(TlsHandshake, guard, context, http)
    return http, partial(GuardedWebSocket, guard)


class _UnreadableRequestError(Exception):
    """A request that is not even looked at; the parser makes 400 of it."""


class GuardedHttp(HttpToolsProtocol):
    """A connection that speaks HTTP/1.1."""

    def __init__(
        self,
        guard: ConnectionGuard,
        refusal: Refusal,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._guard = guard
        self._refusal = refusal
        self.raw: asyncio.Transport | None = None
        self.state = ConnectionState("", 0.0, None)
        self._part = _RequestPart.NOTHING
        self._unparsed = 0  # bytes of a head, or between two pieces of a body, that the parser may keep
        self._ends = False  # what comes is not parsed any more
        self._running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Register it; over the limit it is served from the reserve, or not at all."""
        super().connection_made(transport)
        now = self.loop.time()
        self.state = ConnectionState(self.client[0] if self.client else "", now, now, raw=self.raw)
        if not self._guard.opened(self, descriptor_of(transport)):
            transport.write(_AGAIN_LATER)
            transport.close()
        elif self.state.beyond:
            self.app = cast("Any", self._refusal(cast("ASGIApp", self.config.loaded_app)))
            self.ws_protocol_class = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._guard.lost(self)
        super().connection_lost(exc)
        running = self._running
        # uvicorn tells the last request alone; the one that is served may be an earlier one.
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Go on with the request; the time for a head counts from its first byte."""
        if self._ends:
            return
        state, now = self.state, self.loop.time()
        if not self._awaits_head():
            rules = self._guard.rules
            earned = len(data) / rules.bytes_per_second
            state.patience = min(rules.stall_seconds, state.patience - (now - state.body_at) + earned)
            state.body_at = now
        elif not state.head_begun:
            state.head_begun = True
            if state.served:
                state.waits_since = now
        self._unparsed += len(data)
        super().data_received(data)
        if self._part is _RequestPart.NOTHING:
            self._unparsed = 0
        elif self._unparsed > HEAD_BYTES:
            self.send_400_response("Too long.")
        if not self._awaits_head():
            self._begun()

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._part = _RequestPart.HEAD
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; not what follows a body, which no proxy has looked at."""
        if self._part is _RequestPart.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the request, if it names one host and not too many wait already."""
        named = sum(name == b"host" for name, _value in self.headers)
        if named > 1 or (not named and self.parser.get_http_version() != "1.0") or len(self.pipeline) >= MOST_WAITING:
            raise _UnreadableRequestError
        self._part, self._unparsed = _RequestPart.BODY, 0
        super().on_headers_complete()
        if self.parser.should_upgrade() and not self._should_upgrade():
            self.cycle.keep_alive = False  # the parser takes what follows for the other protocol

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the body."""
        self._part, self._unparsed = _RequestPart.NOTHING, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read and close the connection, after the answers to the requests before it."""
        running = self._running
        self._ends = True
        if running is None or running.response_complete:
            super().send_400_response(msg)
        elif self._part is not _RequestPart.BODY:
            (self.pipeline[0][0] if self.pipeline else running).keep_alive = False
        elif self.cycle is running and not running.response_started:
            super().send_400_response(msg)
        else:
            self.transport.close()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self.state.served, self.state.head_begun = True, False
        self._guard.idle(self, self.loop.time())
        super().on_response_complete()  # begins the next request if it is there already
        if self.pipeline:
            self.flow.pause_reading()
        if not self._awaits_head():
            self._begun()

    def handle_websocket_upgrade(self) -> None:
        """Hand over to the other protocol, which goes on with what is known."""
        super().handle_websocket_upgrade()
        successor = self.transport.get_protocol()
        if isinstance(successor, GuardedWebSocket):
            successor.state = self.state
            self._guard.replaced(self, successor)

    def resume_writing(self) -> None:
        """Go on writing: what waited has been read."""
        self.state.unsent_since = None
        super().resume_writing()

    def overdue(self, now: float) -> ConnectionEnd | None:
        """Return why it is to be closed now, None while it may stay."""
        state, rules = self.state, self._guard.rules
        if unread_too_long(state, self.transport, rules, now):
            return ConnectionEnd.OUTPUT
        if self.transport.is_closing():
            return None
        if state.waits_since is None:
            return ConnectionEnd.BODY if self._body_stands_still(now) else None
        waited = now - state.waits_since
        if state.head_begun or not state.served:
            limit = REFUSAL_SECONDS if state.beyond else rules.header_seconds
            return (ConnectionEnd.HEAD if state.head_begun else ConnectionEnd.SILENT) if waited >= limit else None
        if self._part is _RequestPart.BODY:
            return ConnectionEnd.BODY if waited >= LINGER_SECONDS else None
        return ConnectionEnd.IDLE if waited >= self._guard.keep_seconds(self) else None

    def end(self, why: ConnectionEnd) -> None:
        """Close it; who has sent half a head is told."""
        if why is ConnectionEnd.OUTPUT:
            reset(self.transport)
            return
        if why is ConnectionEnd.HEAD or (why is ConnectionEnd.BODY and not self.cycle.response_started):
            self.transport.write(_TIMED_OUT)
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing in the log: this is up to clients."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _awaits_head(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _begun(self) -> None:
        state = self.state
        if state.waits_since is not None:
            state.head_begun = False
            state.patience, state.body_at = self._guard.rules.stall_seconds, self.loop.time()
            self._guard.busy(self)

    def _body_stands_still(self, now: float) -> bool:
        """Return whether the client could send more of a body and does not, while nobody has asked for it yet.

        Where it was asked for, `BodyProgress` of the API ends the request first, and says more.
        """
        cycle, state = self.cycle, self.state
        if not cycle.more_body or cycle.waiting_for_100_continue or self.flow.read_paused:
            state.body_at = now
            return False
        return state.patience - (now - state.body_at) < -STALL_GRACE_SECONDS


class GuardedWebSocket(WebSocketsSansIOProtocol):
    """A connection that speaks WebSocket; it counts as idle until a page answers its first message."""

    def __init__(
        self,
        guard: ConnectionGuard,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._guard = guard
        self.close_timeout = LINGER_SECONDS
        self.state = ConnectionState("", 0.0, self.loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._guard.lost(self)
        super().connection_lost(exc)

    def send_receive_event_to_app(self) -> None:
        """Hand a message over; text that is not UTF-8 ends the connection, without a traceback."""
        if self.curr_msg_data_type == "text" and not _is_utf8(b"".join(self.frames)):
            self.frames = []
            self._guard.count(ConnectionEnd.INVALID)
            self.conn.fail(CloseCode.INVALID_DATA)
            self.handle_parser_exception()
            return
        self.state.served = True
        super().send_receive_event_to_app()

    async def send(self, message: ASGISendEvent) -> None:
        """Send a message: the first one shows that there is a page; after the last one nothing is waited for."""
        await super().send(message)
        if self.close_sent:
            self._guard.ending(self)
        elif message["type"] == "websocket.send" and self.state.waits_since is not None:
            self._guard.busy(self)

    def handle_parser_exception(self) -> None:
        """Close a connection that broke the protocol."""
        if self.conn.close_sent is None:  # it ended within the handshake, or without a close frame
            self.transport.close()
            return
        super().handle_parser_exception()

    def resume_writing(self) -> None:
        """Go on writing: what waited has been read."""
        self.state.unsent_since = None
        super().resume_writing()

    def overdue(self, now: float) -> ConnectionEnd | None:
        """Return why it is to be closed now, None while it may stay."""
        if unread_too_long(self.state, self.transport, self._guard.rules, now):
            return ConnectionEnd.OUTPUT
        # A page says something at once, and whatever accepts the connection watches over that; this is the last resort.
        late = self._guard.rules.header_seconds + LINGER_SECONDS
        return ConnectionEnd.SILENT if not self.state.served and now - self.state.opened >= late else None

    def end(self, why: ConnectionEnd) -> None:  # noqa: ARG002 - as the other protocol
        """Close it at once."""
        reset(self.transport)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
