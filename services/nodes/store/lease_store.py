"""Leases: what one node does at a time. They need no clock: a lease ends with its node, by itself or taken over."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from services.core.database import Database
from services.core.database.change_log import DATABASE_TIME
from services.core.errors import DatabaseAwayError
from services.nodes.store.node_tables import leases, nodes
from services.nodes.types import ENDED, LATE_SECONDS

OnLate = Callable[[Connection, Sequence[str]], object]


class LeaseStore:
    """Claims what one node at a time may do. Thread-safe.

    `on_late` is called with the names of what is released once the database is back, in the transaction that does it:
    what was done there has not told its end.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._left: list[str] = []  # holders whose work has ended
        self._late: set[str] = set()  # those of them that could not be released at once
        self.on_late: OnLate = lambda _connection, _names: None

    @contextmanager
    def held(self, name: str) -> Iterator[bool]:
        """Hold a lease while the block runs; yield whether it is ours: False where somebody else has it.

        Raises:
            UnavailableError: the database does not answer.
        """
        holder = secrets.token_hex(16)
        held = self._claim(name, holder)
        try:
            yield held
        finally:
            if held:
                self._left.append(holder)
                try:
                    self.release_left()
                except DatabaseAwayError:  # it is tried again
                    self._late.add(holder)

    def release_left(self) -> None:
        """Release what has ended and is still held, because the database was away.

        Raises:
            UnavailableError: it still is.
        """
        ended = [*self._left]
        if ended:
            with self._database.aside() as connection:
                query = leases.delete().where(leases.c.holder.in_(ended)).returning(leases.c.name, leases.c.holder)
                names = [row.name for row in connection.execute(query) if row.holder in self._late]
                if names:
                    self.on_late(connection, names)
            self._late.difference_update(ended)
            for holder in ended:
                with suppress(ValueError):  # another thread has released it as well
                    self._left.remove(holder)

    def owner(self, name: str) -> str:
        """Return the name of the node that has a lease, "" for none."""
        query = sa.select(nodes.c.name).join(leases, leases.c.node == nodes.c.id).where(leases.c.name == name)
        with self._database.read() as connection:
            return str(connection.scalar(query) or "")

    def is_late(self, name: str) -> bool:
        """Return whether the node that has a lease has missed a sign of life."""
        late = DATABASE_TIME - nodes.c.seen_at > LATE_SECONDS
        query = sa.select(late).join(leases, leases.c.node == nodes.c.id).where(leases.c.name == name)
        with self._database.read() as connection:
            return bool(connection.scalar(query))

    def _claim(self, name: str, holder: str) -> bool:
        # A node that was taken over and does not know yet claims nothing.
        row = sa.select(sa.literal(name), nodes.c.id, sa.literal(holder), DATABASE_TIME).where(
            nodes.c.id == self._database.node, nodes.c.state.not_in(ENDED)
        )
        query = insert(leases).from_select(["name", "node", "holder", "since"], row).on_conflict_do_nothing()
        with self._database.aside() as connection:  # the driver does not count what such a statement inserts
            return connection.execute(query.returning(leases.c.name)).first() is not None
