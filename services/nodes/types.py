"""What is known of a node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

# A node beats once a second; one that was silent for so long is taken over.
BEAT_SECONDS = 1.0
SILENT_SECONDS = 3.5
LATE_SECONDS = 1.5 * BEAT_SECONDS  # one that was silent for so long may be in no state to end what it does


class NodeState(StrEnum):
    """How far a node is."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"  # it has ended by itself
    TAKEN_OVER = "taken over"  # it fell silent, and others do its work


# What such a node had claimed is free.
ENDED = (NodeState.STOPPED, NodeState.TAKEN_OVER)


@dataclass(frozen=True, slots=True)
class Lease:
    """What a node has claimed, and since when (seconds since the epoch)."""

    name: str
    node: int
    since: float


@dataclass(frozen=True, slots=True)
class Node:
    """A node as the others see it.

    `silent` is how long ago it beat last and `lag` how many changes of others it is behind; `started_at` is in seconds
    since the epoch. All by the database's clock. `report` is what it tells of itself.
    """

    number: int
    name: str
    epoch: int
    state: NodeState
    version: str
    url: str
    started_at: float
    silent: float
    lag: int
    report: Mapping[str, Any] = field(default_factory=dict)
    leases: tuple[Lease, ...] = ()
    own: bool = False

    @property
    def alive(self) -> bool:
        """Whether it works, or would be taken over if it did not."""
        return self.state not in ENDED
