"""The WebSocket of a browser tab: Streamlit's session begins with a page's first message, not with a connection.

A session takes three descriptors and memory, and its first run a thread. Whoever opens WebSockets and says nothing, or
something that no page says, gets none; of pages that open in large number a few start at once, in turn by address.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from types import MappingProxyType

import structlog
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from console.rules import NOBODY, SIGNED_IN, Rule
from services.core.actor import Actor, Permission

log = structlog.get_logger(__name__)

PATH = "/_stcore/stream"
STARTS_AT_ONCE = 2
START_SECONDS = 5.0  # a first run that takes longer makes room for the next
WAIT_SECONDS = 30.0
# What a page may send, by the name of the message; what is not here is for developers of Streamlit, or is for others to
# decide: emptying the caches of all.
MESSAGES: Mapping[str, Rule] = MappingProxyType(
    {
        "rerun_script": SIGNED_IN,  # the page itself has a rule of its own, and so has what its buttons do
        "stop_script": SIGNED_IN,
        "file_urls_request": Rule(Permission.WRITE),
        "app_heartbeat": SIGNED_IN,
        "backend_operation_request": SIGNED_IN,
        "clear_cache": NOBODY,
        "set_run_on_save": NOBODY,
        "load_git_info": NOBODY,
        "debug_disconnect_websocket": NOBODY,
        "debug_shutdown_runtime": NOBODY,
    }
)
# Codes of RFC 6455, section 7.4.1.
_NOT_BINARY, _NOT_VALID, _POLICY, _TRY_AGAIN_LATER = 1003, 1007, 1008, 1013


class TabSocket:
    """Opens a session for a tab's first message. To be used in one event loop.

    Args:
        app: Streamlit's application.
        actor_of: returns who connects, None where nobody has to sign in.
        first_seconds: how long the first message may take.
        has_room: whether there are descriptors for one more session.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        first_seconds: float,
        has_room: Callable[[], bool],
        actor_of: Callable[[Scope], Actor | None] = lambda _scope: None,
    ) -> None:
        self._app = app
        self._actor_of = actor_of
        self._first_seconds = first_seconds
        self._has_room = has_room
        self._starts: PageStarts | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        connect = await receive()
        if connect["type"] != "websocket.connect":
            return
        # Streamlit chooses the first protocol that is offered; what follows in the header are tokens.
        await send({"type": "websocket.accept", "subprotocol": next(iter(scope.get("subprotocols", ())), None)})
        try:
            async with asyncio.timeout(self._first_seconds):
                first = await receive()
        except TimeoutError:
            await _close(send, _POLICY, "no page has begun")
            return
        if first["type"] != "websocket.receive":
            return
        actor = self._actor_of(scope)
        if fault := _fault(first, actor):
            await _refuse(send, *fault)
        elif not self._has_room():
            await _close(send, _TRY_AGAIN_LATER, "too many pages are open")
        else:
            tab = _Tab(connect, first, receive, send, actor)
            await self._open(tab, scope)

    async def _open(self, tab: _Tab, scope: Scope) -> None:
        client = scope.get("client")
        address = client[0] if client else ""
        self._starts = starts = self._starts or PageStarts(STARTS_AT_ONCE)
        if not await starts.wait(address, tab.gone):
            await tab.close(_TRY_AGAIN_LATER, "too many pages are opening")
            return
        if not self._has_room():  # those before it have taken what there was when it came
            starts.release(address)
            await tab.close(_TRY_AGAIN_LATER, "too many pages are open")
            return
        timer = asyncio.get_running_loop().call_later(START_SECONDS, tab.started)
        tab.on_started = partial(starts.release, address)
        try:
            await self._app(scope, tab.receive, tab.send)
        finally:
            timer.cancel()
            tab.started()
            tab.end()


class PageStarts:
    """Places for pages that run for the first time: `at_once`, one for an address, given in turn by address.

    An address with more pages waiting rests after each as long as that took, so that work for others goes on.
    """

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._running: dict[str, float] = {}  # addresses with a page that starts, or that rest; since when
        self._loop = asyncio.get_running_loop()

    async def wait(self, address: str, gone: asyncio.Future[None]) -> bool:
        """Wait for a place and return whether it was given, before `WAIT_SECONDS` are over or `gone` is done."""
        place: asyncio.Future[None] = self._loop.create_future()
        self._waiting.setdefault(address, deque()).append(place)
        self._next()
        given = False
        try:
            await asyncio.wait({place, gone}, timeout=WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            given = place.done() and not gone.done()
        finally:
            if not place.done():
                place.cancel()  # passed over when its turn comes
            elif not given:
                self.release(address)
        return given

    def release(self, address: str) -> None:
        """Return the place of an address: the next one in turn gets it."""
        self._free += 1
        began = self._running[address]
        if address in self._waiting:
            self._loop.call_later(min(START_SECONDS, self._loop.time() - began), self._rested, address)
        else:
            del self._running[address]
        self._next()

    def _rested(self, address: str) -> None:
        del self._running[address]
        self._next()

    def _next(self) -> None:
        """Give free places to those whose turn it is."""
        for address in list(self._waiting):
            if not self._free:
                return
            if address in self._running:
                continue
            places = self._waiting.pop(address)
            while places:
                place = places.popleft()
                if not place.done():
                    if places:
                        self._waiting[address] = places  # at the end: others come first
                    self._free -= 1
                    self._running[address] = self._loop.time()
                    place.set_result(None)
                    break


class _Tab:
    """The connection as Streamlit sees it: nothing has come yet when it begins, and nothing wrong comes later."""

    def __init__(self, connect: Message, first: Message, receive: Receive, send: Send, actor: Actor | None) -> None:
        self._actor = actor
        self._replayed = deque((connect, first))
        self._receive = receive
        self._send = send
        self._accepted = False
        self._closed = False
        self._starting = True
        self.on_started: Callable[[], object] = bool
        # While the tab waits for its turn the next message is read, so that its end is noticed.
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._next: asyncio.Task[Message] | None = asyncio.create_task(self._read_ahead())

    async def receive(self) -> Message:
        """Return the next message; one that no page sends ends the connection."""
        if self._replayed:
            return self._replayed.popleft()
        if self._next is not None:
            message, self._next = await self._next, None
        else:
            message = await self._receive()
        fault = _fault(message, self._actor)
        if fault is None or self._closed:
            return message
        self._closed = True
        await _refuse(self._send, *fault)
        return {"type": "websocket.disconnect", "code": fault[0], "reason": ""}

    async def send(self, message: Message) -> None:
        """Pass a message on.

        Raises:
            OSError: the connection was closed; Starlette makes a disconnect of it.
        """
        if message["type"] == "websocket.accept" and not self._accepted:
            self._accepted = True  # it was, before the first message
            return
        if self._closed:
            raise OSError("the connection was closed")
        if self._starting and _ends_run(message):
            self.started()
        await self._send(message)

    async def close(self, code: int, reason: str) -> None:
        """Close a connection that gets no session."""
        self.end()
        if not self.gone.done():
            await _close(self._send, code, reason)

    def started(self) -> None:
        """Register that the first run is over, or takes long."""
        if self._starting:
            self._starting = False
            self.on_started()

    def end(self) -> None:
        """Stop reading."""
        if self._next is not None:
            self._next.cancel()

    async def _read_ahead(self) -> Message:
        message = await self._receive()
        if message["type"] == "websocket.disconnect" and not self.gone.done():
            self.gone.set_result(None)
        return message


def _fault(message: Message, actor: Actor | None) -> tuple[int, str] | None:
    """Return why a message cannot be one of `actor`'s page, with the code to close with; None if it may be one."""
    if message["type"] != "websocket.receive":
        return None
    data = message.get("bytes")
    if data is None:
        return _NOT_BINARY, "a page sends binary messages"
    try:
        name = BackMsg.FromString(data).WhichOneof("type")
    except DecodeError:
        name = None
    if name is None:
        return _NOT_VALID, "no message of a page"
    if actor is not None and not MESSAGES.get(name, NOBODY).allows_actor(actor):
        return _POLICY, "no message for this role"
    return None


def _ends_run(message: Message) -> bool:
    data = message.get("bytes")
    with suppress(DecodeError):
        return data is not None and ForwardMsg.FromString(data).WhichOneof("type") == "script_finished"
    return False


async def _refuse(send: Send, code: int, reason: str) -> None:
    log.warning("refused: websocket message", code=code, reason=reason)
    await _close(send, code, reason)


async def _close(send: Send, code: int, reason: str) -> None:
    with suppress(OSError):  # gone already
        await send({"type": "websocket.close", "code": code, "reason": reason})
