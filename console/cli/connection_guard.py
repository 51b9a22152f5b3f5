"""Connections are capped, idle ones end, and none is held by saying nothing or by not reading.

Once a second all of them are looked at (a microsecond each); a connection has no timer of its own. Over the limit
the connection that has been idle longest is closed for the new one. Where none is idle, the new one is served from a
reserve: health checks, metrics and administrators get their answer, everything else 503.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import structlog

from services.operations.connections import ConnectionCounts, ConnectionEnd
from services.operations.descriptors import DescriptorLimit, lowest_free

if TYPE_CHECKING:
    from services.core.settings import Settings

log = structlog.get_logger(__name__)

MOST_CONNECTIONS = 4096
RESERVED_CONNECTIONS = 64
SWEEP_SECONDS = 1.0
REFUSAL_SECONDS = 3.0  # for the head of a request that is only answered from the reserve
FRESH_SECONDS = 0.5  # a new connection is not closed for the next one before it could say anything
# Idle connections are kept for uvicorn's time (75 s) unless there are many: of one address, or in all.
MANY_SECONDS = 15.0
MANY_OF_ADDRESS = 64
REPORT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ConnectionRules:
    """Limits of connections: their number, descriptors, and seconds for a head and without progress."""

    limit: int
    descriptors: DescriptorLimit
    header_seconds: float
    stall_seconds: float
    bytes_per_second: int

    @classmethod
    def of(cls, settings: Settings, descriptors: DescriptorLimit) -> ConnectionRules:
        """Return the rules by the settings, as far as descriptors allow."""
        limit = min(settings.connections_limit or MOST_CONNECTIONS, descriptors.for_connections)
        return cls(limit, descriptors, settings.header_seconds, settings.stall_seconds, settings.body_bytes_per_second)


@dataclass(slots=True)
class ConnectionState:
    """What the guard knows of one connection; times in seconds of the event loop.

    `waits_since`: since when it is idle or a head is incomplete, None while a request is served or a page open.
    `beyond`: it was opened over the limit. `patience`: seconds that a body may still take, as of `body_at`. `unsent`
    at `unsent_since`: bytes that wait to be read by the other side. `raw`: what is under TLS, where that is used.
    """

    address: str
    opened: float
    waits_since: float | None
    beyond: bool = False
    served: bool = False
    head_begun: bool = False
    patience: float = 0.0
    body_at: float = 0.0
    unsent: int = 0
    unsent_since: float | None = None
    raw: asyncio.Transport | None = None


class Connection(Protocol):
    """A connection of either kind, as `console.cli.protocols` has them."""

    state: ConnectionState
    transport: asyncio.Transport

    def end(self, why: ConnectionEnd) -> None: ...

    def overdue(self, now: float) -> ConnectionEnd | None: ...


class ConnectionGuard:
    """All connections of the server. On the event loop's thread only, except `counts`."""

    def __init__(self, rules: ConnectionRules) -> None:
        self.rules = rules
        self._all: dict[Connection, None] = {}
        self._idle: OrderedDict[Connection, None] = OrderedDict()  # the longest idle first
        self._by_address: dict[str, int] = {}
        self._beyond = 0
        self._ended = dict.fromkeys(ConnectionEnd, 0)
        self._reported = dict(self._ended)
        self._report_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to look after the connections."""
        self._timer = loop.call_later(SWEEP_SECONDS, self._sweep, loop)

    def stop(self) -> None:
        """End it."""
        if self._timer is not None:
            self._timer.cancel()

    def abort_unread(self) -> None:
        """Close the connections over which something waits to be read."""
        for connection in list(self._all):
            if _unsent(connection.state, connection.transport):
                reset(connection.transport)

    def opened(self, connection: Connection, descriptor: int) -> bool:
        """Register a new connection; return whether it may stay. Over the limit an idle one is closed for it."""
        rules, state = self.rules, connection.state
        full = len(self._all) - self._beyond >= rules.limit or descriptor >= rules.descriptors.for_connections
        if full and not self._evict(state.opened - FRESH_SECONDS):
            state.beyond = self._beyond < RESERVED_CONNECTIONS and descriptor < rules.descriptors.for_refusals
            if state.beyond:
                self._beyond += 1
            elif not self._evict(state.opened):
                self.count(ConnectionEnd.REFUSED)
                return False
        self._all[connection] = None
        self._by_address[state.address] = self._by_address.get(state.address, 0) + 1
        self._idle[connection] = None
        return True

    def replaced(self, old: Connection, new: Connection) -> None:
        """Register that a connection speaks another protocol from now on."""
        self._all.pop(old, None)
        self._all[new] = None
        self._idle.pop(old, None)
        self._idle[new] = None

    def lost(self, connection: Connection) -> None:
        """Remove a connection that is closed."""
        if connection not in self._all:
            return
        del self._all[connection]
        self._idle.pop(connection, None)
        if connection.state.beyond:
            self._beyond -= 1
        address = connection.state.address
        left = self._by_address.get(address, 1) - 1
        if left:
            self._by_address[address] = left
        else:
            self._by_address.pop(address, None)

    def busy(self, connection: Connection) -> None:
        """Register that a request is served, or a page is open."""
        connection.state.waits_since = None
        self._idle.pop(connection, None)

    def ending(self, connection: Connection) -> None:
        """Register that it has been told to end: the first to be closed when room is needed."""
        if connection in self._all:
            connection.state.waits_since = 0.0
            self._idle[connection] = None
            self._idle.move_to_end(connection, last=False)

    def idle(self, connection: Connection, now: float) -> None:
        """Register that it waits for its next request."""
        if connection in self._all:
            connection.state.waits_since = now
            self._idle[connection] = None
            self._idle.move_to_end(connection)

    def count(self, why: ConnectionEnd) -> None:
        """Count a connection that was closed or turned away."""
        self._ended[why] += 1

    def keep_seconds(self, connection: Connection) -> float:
        """Return how long a connection is kept open without a request: shorter where there are many."""
        many = len(self._all) * 2 > self.rules.limit or self._by_address[connection.state.address] > MANY_OF_ADDRESS
        return MANY_SECONDS if many else float("inf")

    def has_room(self) -> bool:
        """Return whether there are descriptors for another page. Any thread."""
        return lowest_free() < self.rules.descriptors.for_connections

    def counts(self) -> ConnectionCounts:
        """Return how many there are. Any thread."""
        limit = self.rules.descriptors
        return ConnectionCounts(
            len(self._all), len(self._idle), self._beyond, self.rules.limit, limit.soft, limit.found, dict(self._ended)
        )

    def _evict(self, since: float) -> bool:
        """Close the connection that has been idle longest, at least since then; return whether there was one."""
        connection = next(iter(self._idle), None)
        if connection is None or (connection.state.waits_since or 0.0) > since:
            return False
        self.count(ConnectionEnd.EVICTED)
        self.lost(connection)  # its place is free now, its descriptor in the next round of the event loop
        connection.transport.abort()
        return True

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in list(self._all):
            try:
                why = connection.overdue(now)
                if why is not None:
                    self.count(why)
                    connection.end(why)
            except Exception:
                log.exception("a connection could not be ended")  # the others must be
        if now >= self._report_at:
            self._report(now)
        self._timer = loop.call_later(SWEEP_SECONDS, self._sweep, loop)

    def _report(self, now: float) -> None:
        """Log what was closed since the last time, if anything: one line a minute at most."""
        since = {why.value: count - self._reported[why] for why, count in self._ended.items()}
        ended = {why: count for why, count in since.items() if count}
        if not ended:
            return
        self._reported, self._report_at = dict(self._ended), now + REPORT_SECONDS
        turned_away = any(ended.get(why.value) for why in (ConnectionEnd.EVICTED, ConnectionEnd.REFUSED))
        (log.warning if turned_away else log.info)("connections closed", open=len(self._all), **ended)


def descriptor_of(transport: asyncio.Transport) -> int:
    """Return the descriptor's number, which is at most how many are open; 0 where there is none."""
    found = transport.get_extra_info("socket")
    return int(found.fileno()) if found is not None else 0


def reset(transport: asyncio.Transport) -> None:
    """Close a connection whose other side does not read: the system drops what it holds for it, too (megabytes)."""
    found = transport.get_extra_info("socket")
    if found is not None:
        with suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def unread_too_long(state: ConnectionState, transport: asyncio.Transport, rules: ConnectionRules, now: float) -> bool:
    """Return whether the other side has stopped reading: what waits for it has not become less in time."""
    waiting = _unsent(state, transport)
    if not waiting:
        state.unsent_since = None
        return False
    since = state.unsent_since
    if since is None or waiting <= state.unsent - rules.bytes_per_second * (now - since):
        state.unsent, state.unsent_since = waiting, now
        return False
    return now - since > rules.stall_seconds


def _unsent(state: ConnectionState, transport: asyncio.Transport) -> int:
    """Return how many bytes wait to be sent: under TLS, those that are encrypted already are in another buffer."""
    waiting = transport.get_write_buffer_size()
    return waiting if state.raw is None else waiting + state.raw.get_write_buffer_size()
