"""Metrics of the connections to the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from services.operations.metrics import Family, MetricValue

if TYPE_CHECKING:
    from services.operations.connections import ConnectionCounts

_OPEN = Family("millpond_connections", "Connections that are open, by state.", ("state",))
_LIMIT = Family("millpond_connections_limit", "Connections that may be open.")
_DESCRIPTORS = Family("millpond_descriptors_limit", "Descriptors that the process may have open.")
_CLOSED = Family(
    "millpond_connections_closed_total",
    "Connections that the server closed or turned away, by reason.",
    ("reason",),
    kind="counter",
)
FAMILIES = (_OPEN, _LIMIT, _DESCRIPTORS, _CLOSED)


def read(counts: ConnectionCounts) -> Iterator[MetricValue]:
    """Return how many there are, may be, and were closed."""
    yield MetricValue(_OPEN, counts.idle, ("idle",))
    yield MetricValue(_OPEN, counts.open - counts.idle, ("busy",))
    yield MetricValue(_LIMIT, counts.limit)
    yield MetricValue(_DESCRIPTORS, counts.descriptors)
    for why, number in counts.ended.items():
        yield MetricValue(_CLOSED, number, (why.value,))
