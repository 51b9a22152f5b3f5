"""The nodes as people get them: those that share the database, or this process where it serves its pond alone."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING

from services.app.build_nodes import node_report
from services.app.container import Platform
from services.core.errors import ConflictError
from services.core.i18n import _
from services.core.schema_version import this_version
from services.nodes.types import Node, NodeState
from services.operations.restarts import RestartPhase

if TYPE_CHECKING:
    # Importing it brings PostgreSQL's dialect, which a process that is alone does without.
    from services.nodes.pond_nodes import Nodes

_DRAINING = (RestartPhase.DRAINING, RestartPhase.ENDING)


def listed_nodes(platform: Platform) -> list[Node]:
    """Return all nodes that were ever there, by name; one that ends what it has in progress is draining.

    Where the database is for one process, that is the only one; its number is 0.

    Raises:
        UnavailableError: the database does not answer.
    """
    nodes = [_alone(platform)] if platform.nodes is None else platform.nodes.all()
    return [replace(node, state=NodeState.DRAINING) if _drains(node) else node for node in nodes]


def own_name(platform: Platform) -> str:
    """Return the name of this process as a node."""
    return platform.settings.node_name or socket.gethostname() if platform.nodes is None else platform.nodes.name


def shared_nodes(platform: Platform) -> Nodes:
    """Return what acts on other nodes.

    Raises:
        ConflictError: the database is for one process.
    """
    if platform.nodes is None:
        raise ConflictError(
            _("This process serves its pond alone; there is no other node."),
            _("Several nodes need PostgreSQL: see docs/nodes.md."),
        )
    return platform.nodes


def is_draining(platform: Platform) -> bool:
    """Return whether this process takes nothing new from a front: it restarts, or somebody has it drained."""
    return platform.restarts.draining or (platform.nodes is not None and bool(platform.nodes.drained_by))


def _drains(node: Node) -> bool:
    return node.state is NodeState.READY and node.report.get("restart_phase") in _DRAINING


def _alone(platform: Platform) -> Node:
    return Node(
        number=0,
        name=own_name(platform),
        epoch=0,
        state=NodeState.READY,
        version=this_version(),
        url="",
        started_at=platform.started_at,
        silent=0.0,
        lag=0,
        report=node_report(platform),
        own=True,
    )
