"""Metrics of the nodes that share the database: its name alone where this process serves its pond alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from services.nodes.types import NodeState
from services.operations.metrics import Family, MetricValue

if TYPE_CHECKING:
    from services.nodes.types import Node

_NODES = Family("millpond_nodes", "Nodes that share the database, by state; those that are not forgotten.", ("state",))
_LAG = Family("millpond_node_lag_changes", "Changes of other nodes that this node has not followed yet.")
FAMILIES = (_NODES, _LAG)
_INFO = Family("millpond_node_info", "The name of this node, 1; other metrics get it by their instance.", ("node",))
OWN_FAMILIES = (_INFO,)


def read(nodes: list[Node]) -> Iterator[MetricValue]:
    """Return how many nodes there are, and how far this one has followed the others."""
    counts = Counter(node.state for node in nodes)
    for state in NodeState:
        yield MetricValue(_NODES, counts[state], (state.value.replace(" ", "_"),))
    yield from (MetricValue(_LAG, node.lag) for node in nodes if node.own)


def read_own(name: str) -> Iterator[MetricValue]:
    """Return the name of this node; also while the database is away."""
    yield MetricValue(_INFO, 1, (name,))
