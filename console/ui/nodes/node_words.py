"""What is said of a node: its state, its memory, how far it has followed the others, what it has claimed."""

from __future__ import annotations

import time
from enum import StrEnum

from console.ui.budget.gauge import level_word
from console.ui.shared.formatting import plain, size
from console.ui.shared.session_rows import moment, since
from services.core.claims import ClaimKind
from services.core.i18n import _, joined, listed, plural
from services.memory.budget.types import BudgetLevel
from services.memory.leaks.types import VerdictState
from services.nodes.types import BEAT_SECONDS, Node, NodeState

# Two heartbeats were missed; one may be late.
SILENT_SECONDS = 2.5 * BEAT_SECONDS


class NodeCondition(StrEnum):
    """How a node is, as its badge says it; a value is the badge's colour."""

    READY = "green"
    UNDERWAY = "blue"
    LEAVING = "orange"
    ENDED = "gray"
    LOST = "red"


def condition(node: Node) -> NodeCondition:
    """Return how a node is: lost where it is silent, whatever it said last."""
    if node.alive and is_silent(node):
        return NodeCondition.LOST
    return {
        NodeState.STARTING: NodeCondition.UNDERWAY,
        NodeState.READY: NodeCondition.READY,
        NodeState.DRAINING: NodeCondition.LEAVING,
        NodeState.STOPPED: NodeCondition.ENDED,
        NodeState.TAKEN_OVER: NodeCondition.LOST,
    }[node.state]


def is_silent(node: Node) -> bool:
    """Return whether a node's signs of life are late."""
    return node.silent > SILENT_SECONDS


def is_drained(node: Node) -> bool:
    """Return whether somebody has a node drained."""
    return bool(node.report.get("drained"))


def state_text(node: Node) -> str:
    """Return the state of a node."""
    if node.alive and is_silent(node):
        return _("Silent")
    if node.alive and is_drained(node):
        return _("Drained")
    return {
        NodeState.STARTING: _("Starting"),
        NodeState.READY: _("Ready"),
        NodeState.DRAINING: _("Finishing its work"),
        NodeState.STOPPED: _("Stopped"),
        NodeState.TAKEN_OVER: _("Taken over"),
    }[node.state]


def course_text(node: Node) -> str:
    """Return since when a node runs, or when it was there last."""
    if not node.alive:
        return _("Last sign of life {ago}; started {moment}").format(
            ago=since(time.time() - node.silent), moment=moment(node.started_at)
        )
    started = _("Started {ago} ({moment})").format(ago=since(node.started_at), moment=moment(node.started_at))
    if not is_silent(node):
        return started
    silent = plural(
        "No sign of life for {count} second. The other nodes take it over after a few seconds.",
        "No sign of life for {count} seconds. The other nodes take it over after a few seconds.",
        round(node.silent),
    )
    return joined((silent, started))


def lag_text(node: Node) -> str:
    """Return how far a node has followed what the others have changed."""
    if not node.lag:
        return _("follows everything")
    return plural("{count} change behind", "{count} changes behind", node.lag)


def memory_text(node: Node) -> str:
    """Return a node's RSS, "–" where it has not said."""
    return size(node.report.get("rss_bytes"))


def verdict_text(node: Node) -> str:
    """Return the verdict on a node's memory in a word."""
    return {
        VerdictState.UNKNOWN.value: _("Too little data yet"),
        VerdictState.FLAT.value: _("Flat"),
        VerdictState.WATCH.value: _("Watch"),
        VerdictState.LEAK.value: _("Leak"),
    }.get(str(node.report.get("verdict")), "–")


def budget_text(node: Node) -> str:
    """Return the level of a node's memory budget."""
    levels = {level.name.lower(): level for level in BudgetLevel}
    level = levels.get(str(node.report.get("budget_level")))
    return "–" if level is None else level_word(level)


def lease_text(node: Node) -> str:
    """Return what a node does alone for all of them, "" for nothing."""
    return listed(
        _("{work} since {moment}").format(work=_work(each.name), moment=moment(each.since)) for each in node.leases
    )


def _work(claim: str) -> str:
    """Return what a claim is for, by the beginning of its name; one of a newer version keeps it."""
    names: dict[str, str] = {
        ClaimKind.CONVERSATION: _("an answer in a conversation"),
        ClaimKind.BACKUP: _("a backup"),
        ClaimKind.RESTART: _("a planned restart"),
        ClaimKind.DELETION: _("deleting a collection"),
        ClaimKind.MODEL_CHANGE: _("the change of the embedding model"),
        ClaimKind.OUTDATED: _("embedding documents anew"),
        ClaimKind.ORIGINALS: _("removing original files that nobody needs"),
    }
    return names.get(claim.partition(":")[0], plain(claim))
