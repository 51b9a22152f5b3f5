"""Revocations as nodes tell them to each other: what ends at one of them ends at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.engine import Connection

from services.core.database import Database
from services.core.database.change_log import Topic, record
from services.identity.types import Revocation


def record_revocations(database: Database, connection: Connection, ended: Iterable[Revocation]) -> None:
    """Tell the other nodes what ended, once the transaction of `connection` is committed."""
    for each in ended:
        content = {"person": each.person_id, "sessions": sorted(each.session_ids), "why": str(each.why)}
        record(database, connection, Topic.REVOKED, content)


def revocation_of(content: Mapping[str, Any]) -> Revocation:
    """Return what another node has told with `record_revocations`."""
    person = content["person"]
    return Revocation(None if person is None else int(person), frozenset(content["sessions"]), str(content["why"]))


class RevocationStore:
    """Tells the other nodes of revocations that belong to no transaction. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, ended: Iterable[Revocation]) -> None:
        """Tell them in a transaction of its own; nothing where this process is no node.

        Raises:
            UnavailableError: the database does not answer.
        """
        if self._database.node:
            with self._database.write() as connection:
                record_revocations(self._database, connection, ended)
