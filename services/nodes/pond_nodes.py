"""The nodes of a pond, as this one of them sees and acts on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from services.core.actor import Actor, Permission
from services.core.auditing import Action, Target, TargetKind, current_origin
from services.core.database import Database
from services.core.errors import ConflictError, NotFoundError
from services.core.events import EventKind, EventSink
from services.core.i18n import _, language
from services.core.languages import language_tag
from services.nodes.follower import Follower
from services.nodes.membership import Membership
from services.nodes.node_client import NodeAnswer, send
from services.nodes.node_tokens import SCHEME, NodeRequest, NodeTokens, Sender
from services.nodes.store.lease_store import LeaseStore
from services.nodes.store.node_store import NodeStore
from services.nodes.types import Node, NodeState


class Nodes:
    """This process as one of several nodes. Thread-safe; parts register with `follower` and `membership`.

    Who may do what is followed by `access`, beside `follower`: nobody keeps a right while an index follows much.
    """

    def __init__(self, database: Database, store: NodeStore, membership: Membership, key: bytes) -> None:
        """Join; `key` is what nodes sign with that ask each other.

        Raises:
            ConflictError: a node of this name is running, or what all nodes must have alike differs.
            UnavailableError: the database does not answer.
        """
        self._store = store
        self._reporter: EventSink | None = None
        self._drained_by = ""
        self.membership = membership
        joined = membership.join()
        self.follower = Follower(database, after=joined)
        self.access = Follower(database, after=joined)
        self.claims = LeaseStore(database)
        self._tokens = NodeTokens(key, store.now)
        membership.on_round(self.claims.release_left)

    @property
    def name(self) -> str:
        """This node's own."""
        return self.membership.name

    def start(self, report: Callable[[], Mapping[str, Any]], reporter: EventSink) -> None:
        """Begin to beat; `report` returns what this node tells of itself."""
        self._reporter = reporter
        self.membership.start(lambda: self.follower.applied, report, reporter)

    def follow(self) -> None:
        """Follow what others have changed since this node joined, and go on: everything that follows is registered.

        Raises:
            UnavailableError: the database does not answer.
        """
        while self.follower.follow():
            pass
        self.follower.start()

    def all(self) -> list[Node]:
        """Return all nodes that were ever there, by name."""
        return self._store.all(self.membership.number)

    def others(self) -> list[Node]:
        """Return the other nodes that work."""
        return [node for node in self.all() if node.alive and not node.own]

    def require_alone(self, what: str) -> None:
        """Return if no other node works.

        Raises:
            ConflictError: one does; `what` says what cannot be done beside it.
        """
        others = self.others()
        if others:
            raise ConflictError(
                _("{what} while other nodes are running ({names}); nothing was changed.").format(
                    what=what, names=", ".join(node.name for node in others)
                ),
                _("Stop them first, and start them again afterwards."),
            )

    def set_state(self, state: NodeState) -> None:
        """Tell the others how far this node is."""
        self.membership.set_state(state)

    @property
    def drained_by(self) -> str:
        """Who has this node drained, "" for nobody."""
        return self._drained_by

    def drain(self, actor: Actor) -> None:
        """Have this node say that it is not ready, so that a front sends it nothing new; what it gets it still does.

        Raises:
            ForbiddenError: `actor` is no administrator.
            ConflictError: no other node is ready, or this one is not.
            UnavailableError: the database does not answer.
        """
        actor.require(Permission.OPERATE, _("Drain"))
        if self._drained_by:
            return
        if not self.membership.change_state(NodeState.READY, NodeState.DRAINING):
            raise ConflictError(_("This node is starting or restarting; nothing was changed."), _("Wait for it."))
        drained = False
        try:
            drained = self._store.drain(self.membership.number, self.membership.epoch)
        finally:
            if not drained:
                self.membership.change_state(NodeState.DRAINING, NodeState.READY)
        if not drained:
            raise ConflictError(
                _("No other node is ready: nobody would answer. Nothing was changed."),
                _("Start another one first, or resume one that is drained."),
            )
        self._drained_by = actor.name
        self._audit_own(actor, Action.NODE_DRAINED, _("drained: a front sends it nothing new until it is resumed"))

    def resume(self, actor: Actor) -> None:
        """Have this node be ready again.

        Raises:
            ForbiddenError: `actor` is no administrator.
        """
        actor.require(Permission.OPERATE, _("Resume"))
        if self._drained_by:
            self._drained_by = ""
            self.membership.change_state(NodeState.DRAINING, NodeState.READY)
            self._audit_own(actor, Action.NODE_RESUMED, _("resumed: a front sends it people again"))

    def take_over(self, actor: Actor, number: int) -> Node:
        """Take over a node's work: one that is silent, or that works but is to be shut out.

        Raises:
            ForbiddenError: `actor` is no administrator.
            NotFoundError: there is no such node.
            ConflictError: it is this one, or has ended.
        """
        actor.require(Permission.OPERATE, _("Take over"))
        node = self.one(number)
        if node.own or not node.alive:
            raise ConflictError(_("This node has ended, or is the one that you asked; nothing was changed."))
        self.membership.take_over(number)
        self._audit(actor, Action.NODE_TAKEN_OVER, node)
        return self.one(number)

    def forget(self, actor: Actor, number: int) -> None:
        """Forget a node that has ended.

        Raises:
            ForbiddenError: `actor` is no administrator.
            NotFoundError: there is no such node.
            ConflictError: it works.
        """
        actor.require(Permission.OPERATE, _("Forget a node"))
        node = self.one(number)
        if not self._store.forget(number):
            raise ConflictError(_("This node works; nothing was changed."), _("Stop it first."))
        self._audit(actor, Action.NODE_FORGOTTEN, node)

    def ask(self, actor: Actor, number: int, method: str, target: str, *, body: bytes = b"") -> NodeAnswer:
        """Ask another node over HTTP for `actor`, and return what it answers.

        Args:
            actor: whoever wants it: that node checks once more whether they may.
            number: of the node.
            method: of the request.
            target: path and query, without a base path.
            body: in JSON.

        Raises:
            NotFoundError: there is no such node.
            ConflictError: it is this one, or has ended.
            UnavailableError: it cannot be reached, or the database does not answer.
        """
        node = self.one(number)
        if node.own:
            raise ConflictError(_("This is the node that you asked; nothing was changed."), _("Ask it directly."))
        if not node.alive:
            raise ConflictError(
                _("The node {name} has ended; there is nobody to be asked.").format(name=node.name),
                _("Choose one that is running."),
            )
        sender = Sender(actor, current_origin().address, self.membership.name)
        token = self._tokens.issue(sender, NodeRequest(number, node.epoch, method, target))
        headers = {
            "Authorization": f"{SCHEME} {token}",
            "Accept": "application/json",
            "Accept-Language": language_tag(language()),
            "Connection": "close",
        }
        if body:
            headers["Content-Type"] = "application/json"
        return send(node, method, target, headers, body)

    def recognize(self, token: str, method: str, target: str) -> Sender:
        """Return for whom another node asks this one.

        Raises:
            UnauthorizedError: the token is not valid, or not for this request.
            UnavailableError: the database does not answer.
        """
        membership = self.membership
        return self._tokens.redeem(token, NodeRequest(membership.number, membership.epoch, method, target))

    def close(self) -> None:
        """Leave."""
        for follower in (self.follower, self.access):
            follower.stop()
        for follower in (self.follower, self.access):
            follower.close()
        self.membership.close()

    def one(self, number: int) -> Node:
        """Return a node.

        Raises:
            NotFoundError: there is no such node.
        """
        found: Sequence[Node] = [node for node in self.all() if node.number == number]
        if not found:
            raise NotFoundError(_("There is no such node."), _("Choose one of the list."))
        return found[0]

    def _audit_own(self, actor: Actor, action: Action, detail: str) -> None:
        if self._reporter is not None:
            self._reporter.action(actor.name, EventKind.NODE, detail)
            self._reporter.audit(actor, action, Target(TargetKind.NODE, self.name))

    def _audit(self, actor: Actor, action: Action, node: Node) -> None:
        if self._reporter is not None:
            self._reporter.audit(actor, action, Target(TargetKind.NODE, node.name))
