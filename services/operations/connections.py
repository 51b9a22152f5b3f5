"""What is known of the connections to the server: how many there are, may be, and were closed or refused, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class ConnectionEnd(StrEnum):
    """Why a connection was closed or turned away by the server."""

    SILENT = "silent"  # it said nothing, or a WebSocket no page
    HANDSHAKE = "handshake"  # TLS did not come about in time
    HEAD = "head"  # the head of its request did not come to its end
    IDLE = "idle"  # kept open after a request, and too many of them
    BODY = "body"  # a request's body stood still, or went on after the response
    OUTPUT = "output"  # it did not read what was sent
    EVICTED = "evicted"  # the longest idle one, closed for a new one
    REFUSED = "refused"  # none was idle: 503, or closed at once
    INVALID = "invalid"  # a WebSocket that sent something else than pages do


@dataclass(frozen=True, slots=True)
class ConnectionCounts:
    """Connections at one moment: open ones, those among them that are idle or were opened beyond the limit, the limit,
    the limit of descriptors (as found at the start, too), and how many were closed by the server since the start."""

    open: int = 0
    idle: int = 0
    beyond: int = 0
    limit: int = 0
    descriptors: int = 0
    descriptors_found: int = 0
    ended: dict[ConnectionEnd, int] = field(default_factory=lambda: dict.fromkeys(ConnectionEnd, 0))
