"""What an operator does about a node: drain, restart, take over, forget. Each says before what follows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NoReturn

from console.ui.current_actor import page_actor
from console.ui.session_state import notify
from console.ui.shared.dialogs import confirm
from console.ui.shared.formatting import shorten
from services.app.container import Services
from services.app.listed_nodes import shared_nodes
from services.core.i18n import _
from services.nodes.types import Node

if TYPE_CHECKING:
    from services.app.node_memory import OtherNode

_LONGEST = 60


def confirm_take_over(services: Services, node: Node) -> NoReturn:
    """Ask, then take a node over."""
    confirm(
        _("Take over the node {name}?").format(name=shorten(node.name, _LONGEST)),
        (
            _("Files that it is working on are begun again by the other nodes. No document is lost."),
            _("What it has not finished writing is refused: answers in progress there break off."),
            _("If it still runs, it joins again by itself within seconds. To end it, stop it on its machine."),
        ),
        _("Take over"),
        partial(_take_over, services, node),
    )


def confirm_restart(services: Services, node: Node) -> NoReturn:
    """Ask, then have a node restart as planned."""
    confirm(
        _("Restart the node {name}?").format(name=shorten(node.name, _LONGEST)),
        (
            _("It finishes what it has in progress, and the front sends people to the other nodes meanwhile."),
            _("Then it is started again by whoever supervises it. Where nobody does, it refuses."),
            _("Restart one node at a time: look here whether it is ready again before the next one."),
        ),
        _("Restart"),
        partial(_restart, services, node),
    )


def confirm_drain(services: Services, node: Node) -> NoReturn:
    """Ask, then have a node drained."""
    confirm(
        _("Drain the node {name}?").format(name=shorten(node.name, _LONGEST)),
        (
            _("It says that it is not ready: within seconds a front sends people to the other nodes."),
            _("What is open there goes on: answers, uploads, the reading of files. It follows what others change."),
        ),
        _("Drain"),
        partial(_drain, services, node),
        undone_by=_("Resume puts it back."),
    )


def resume(services: Services, node: Node) -> None:
    """Have a node that was drained be ready again."""
    if node.own:
        shared_nodes(services).resume(page_actor(services))
    else:
        _other(services, node).resume()
    notify(_("The node {name} is ready again.").format(name=shorten(node.name, _LONGEST)))


def confirm_forgetting(services: Services, node: Node) -> NoReturn:
    """Ask, then forget a node that has ended."""
    confirm(
        _("Forget the node {name}?").format(name=shorten(node.name, _LONGEST)),
        (
            _("It has ended and goes from this list. Nothing of the documents changes."),
            _("It is here again when it is started again."),
        ),
        _("Forget"),
        partial(_forget, services, node),
    )


def _take_over(services: Services, node: Node) -> str:
    shared_nodes(services).take_over(page_actor(services), node.number)
    return _("The node {name} was taken over.").format(name=shorten(node.name, _LONGEST))


def _other(services: Services, node: Node) -> OtherNode:
    from services.app.node_memory import OtherNode  # a process that is alone never needs it

    return OtherNode(shared_nodes(services), page_actor(services), node.number)


def _drain(services: Services, node: Node) -> str:
    if node.own:
        shared_nodes(services).drain(page_actor(services))
    else:
        _other(services, node).drain()
    return _("The node {name} is drained.").format(name=shorten(node.name, _LONGEST))


def _restart(services: Services, node: Node) -> str:
    _other(services, node).restart(_("requested on the page Nodes"))
    return _("The node {name} restarts when it has finished what it has.").format(name=shorten(node.name, _LONGEST))


def _forget(services: Services, node: Node) -> str:
    shared_nodes(services).forget(page_actor(services), node.number)
    return _("The node {name} was forgotten.").format(name=shorten(node.name, _LONGEST))
