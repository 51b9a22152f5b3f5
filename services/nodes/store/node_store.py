"""The nodes in the database. Joining and taking over are transactions of a writer; a heartbeat waits for nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from services.core.database import Database
from services.core.database.change_log import DATABASE_TIME, delete_followed, newest
from services.core.errors import ConflictError
from services.core.i18n import _
from services.core.migrations.upgrade import require_schema
from services.core.schema_version import HEAD
from services.nodes.store.node_tables import leases, nodes
from services.nodes.types import ENDED, SILENT_SECONDS, Lease, Node, NodeState

OnEnd = Callable[[Connection, int, Sequence[str]], object]

# For how many seconds a node has given no sign of life.
SILENT = DATABASE_TIME - nodes.c.seen_at


@dataclass(frozen=True, slots=True)
class Joined:
    """What joining gives: the node's number, its epoch, and the newest change at that moment."""

    number: int
    epoch: int
    change: int


class NodeStore:
    """Thread-safe. `on_end` is called in the transaction in which a node ends, with its number and the names of what it
    had claimed: its work is free.
    """

    def __init__(self, database: Database, on_end: OnEnd = lambda _connection, _number, _claims: None) -> None:
        self._database = database
        self._on_end = on_end

    def join(self, name: str, *, url: str, version: str, agreed: Mapping[str, str]) -> Joined:
        """Become the node of that name, with a higher epoch than it had before.

        Raises:
            ConflictError: a node of that name is running, what all nodes must have alike differs, or a newer version
                has changed the schema so that this one cannot work on it.
        """
        values: dict[str, Any] = {
            "url": url,
            "version": version,
            "state": NodeState.STARTING,
            "agreed": dict(agreed),
            "report": {},
            "schema_revision": HEAD,
        }
        with self._database.write(joining=True) as connection:
            require_schema(self._database, connection)
            rows = connection.execute(sa.select(nodes, SILENT.label("silent"))).all()
            own = next((row for row in rows if row.name == name), None)
            if own is not None and _works(own):
                raise ConflictError(
                    _("A node named {name} is running already; nothing was changed.").format(name=name),
                    _("Stop it first, or give this one another name with MILLPOND_NODE_NAME."),
                )
            for row in rows:
                if row is not own and _works(row):
                    _require_agreement(row, agreed)
            change = newest(connection)
            values |= {"started_at": DATABASE_TIME, "seen_at": DATABASE_TIME, "applied": change}
            if own is None:
                query = nodes.insert().values(name=name, epoch=1, **values).returning(nodes.c.id)
                return Joined(int(connection.execute(query).scalar_one()), 1, change)
            connection.execute(nodes.update().where(nodes.c.id == own.id).values(epoch=own.epoch + 1, **values))
            self._end(connection, own.id)
            return Joined(own.id, own.epoch + 1, change)

    def agree(self, number: int, what: str, value: str) -> None:
        """Add to what a node has that all must have alike.

        Raises:
            ConflictError: another one that is running has a different one.
        """
        with self._database.write() as connection:
            rows = connection.execute(sa.select(nodes, SILENT.label("silent"))).all()
            for row in rows:
                if row.id != number and _works(row):
                    _require_agreement(row, {what: value})
            agreed = {name: each for row in rows if row.id == number for name, each in row.agreed.items()}
            connection.execute(nodes.update().where(nodes.c.id == number).values(agreed={**agreed, what: value}))

    def beat(self, number: int, epoch: int, *, state: NodeState, applied: int, report: Mapping[str, Any]) -> bool:
        """Say that the node works; False: another node has taken it over."""
        query = nodes.update().where(nodes.c.id == number, nodes.c.epoch == epoch)
        values = {"seen_at": DATABASE_TIME, "state": state, "applied": applied, "report": dict(report)}
        with self._database.aside() as connection:
            return bool(connection.execute(query.values(**values)).rowcount)

    def drain(self, number: int, epoch: int) -> bool:
        """Say that the node is drained; False: no other one is ready, and it is not. No two at once are the last one.

        Raises:
            UnavailableError: the database does not answer.
        """
        others = sa.select(sa.func.count()).where(
            nodes.c.id != number, nodes.c.state == NodeState.READY, SILENT <= SILENT_SECONDS
        )
        with self._database.write() as connection:
            if not connection.scalar(others):
                return False
            query = nodes.update().where(nodes.c.id == number, nodes.c.epoch == epoch)
            connection.execute(query.values(state=NodeState.DRAINING))
            return True

    def leave(self, number: int, epoch: int) -> None:
        """Say that the node has ended, and what it did is free."""
        with self._database.write() as connection:
            query = nodes.update().where(nodes.c.id == number, nodes.c.epoch == epoch)
            if connection.execute(query.values(state=NodeState.STOPPED, seen_at=DATABASE_TIME)).rowcount:
                self._end(connection, number)

    def now(self) -> float:
        """Return the time by the database's clock, in seconds since the epoch.

        Raises:
            UnavailableError: it does not answer.
        """
        with self._database.read() as connection:
            return float(connection.scalar(sa.select(DATABASE_TIME)) or 0.0)

    def silent(self) -> list[int]:
        """Return the numbers of nodes that fell silent and were not taken over."""
        query = sa.select(nodes.c.id).where(nodes.c.state.not_in(ENDED), SILENT > SILENT_SECONDS)
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())

    def take_over(self, number: int, *, silent_only: bool = True) -> bool:
        """Raise a node's epoch and free its work, unless it beat meanwhile; return whether that was done now.

        Whatever it is in the middle of ends before: it holds the lock of writers until then.
        """
        query = nodes.update().where(nodes.c.id == number, nodes.c.state.not_in(ENDED))
        if silent_only:
            query = query.where(SILENT > SILENT_SECONDS)
        values = {"epoch": nodes.c.epoch + 1, "state": NodeState.TAKEN_OVER}
        with self._database.write() as connection:
            if not connection.execute(query.values(**values)).rowcount:
                return False
            self._end(connection, number)
            return True

    def delete_followed(self) -> None:
        """Delete the changes that all nodes which work have followed."""
        with self._database.aside() as connection:
            applied = connection.scalar(sa.select(sa.func.min(nodes.c.applied)).where(nodes.c.state.not_in(ENDED)))
            if applied is not None:
                delete_followed(connection, int(applied))

    def all(self, own: int = 0) -> list[Node]:
        """Return all nodes that were ever there, by name."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(nodes, SILENT.label("silent")).order_by(nodes.c.name)).all()
            last = newest(connection)
            held: dict[int, list[Lease]] = {}
            for lease in connection.execute(sa.select(leases).order_by(leases.c.name)):
                held.setdefault(lease.node, []).append(Lease(lease.name, lease.node, lease.since))
        return [_node(row, last, own, held.get(row.id, ())) for row in rows]

    def forget(self, number: int) -> bool:
        """Forget a node that has ended; False where it has not, or is not known."""
        with self._database.write() as connection:
            query = nodes.delete().where(nodes.c.id == number, nodes.c.state.in_(ENDED))
            return bool(connection.execute(query).rowcount)

    def _end(self, connection: Connection, number: int) -> None:
        claims = list(connection.scalars(leases.delete().where(leases.c.node == number).returning(leases.c.name)))
        self._on_end(connection, number, claims)


def _works(row: Row[Any]) -> bool:
    return row.state not in ENDED and row.silent <= SILENT_SECONDS


def _require_agreement(row: Row[Any], agreed: Mapping[str, str]) -> None:
    for what, value in agreed.items():
        if row.agreed.get(what, value) != value:
            raise ConflictError(
                _("This node has another {what} than {node}, which is running; nothing was changed.").format(
                    what=what, node=row.name
                ),
                _("All nodes need the same: see docs/nodes.md."),
            )


def _node(row: Row[Any], last: int, own: int, held: Sequence[Lease]) -> Node:
    return Node(
        number=row.id,
        name=row.name,
        epoch=row.epoch,
        state=NodeState(row.state),
        version=row.version,
        url=row.url,
        started_at=row.started_at,
        silent=max(0.0, float(row.silent)),
        lag=max(0, last - row.applied),
        report=row.report,
        leases=tuple(held),
        own=row.id == own,
    )
