"""Making stored terms anew when a version of Millpond segments texts differently.

In batches, each one transaction: a kill leaves some chunks with old terms, and the next start goes on from there.
Old terms are found as before meanwhile. Vectors stay, but for texts that the embedder reads differently now: those
documents are marked as embedded by no model, and the next start queues them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from services.core.database import Database
from services.knowledge.store.lexical_index import INDEXED, lexical_index
from services.knowledge.store.tables import chunks, counters, documents, revisions
from services.knowledge.text.chunks import lexical_terms
from services.knowledge.text.folding import embedding_text
from services.knowledge.text.kinds import kind_of
from services.knowledge.text.terms import TERMS_VERSION

_VERSION, _POSITION = "terms_version", "terms_position"
BATCH = 200
_CHUNKS = (
    sa.select(
        chunks.c.id,
        chunks.c.revision_id,
        chunks.c.text,
        chunks.c.tokens,
        chunks.c.heading,
        chunks.c.sheet,
        documents.c.name,
        revisions.c.sha256,
        INDEXED.label("active"),
    )
    .join(revisions, revisions.c.id == chunks.c.revision_id)
    .join(documents, documents.c.id == revisions.c.document_id)
    .where(chunks.c.id > sa.bindparam("after"))
    .order_by(chunks.c.id)
    .limit(BATCH)
)
_SOME = chunks.c.id.in_(sa.bindparam("some", expanding=True))
_SET = (
    chunks.update()
    .where(chunks.c.id == sa.bindparam("chunk"))
    .values(terms=sa.bindparam("new_terms"), kind=sa.bindparam("new_kind"))
)


class TermRebuild:
    """Brings the terms of a data folder up to the version of this process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def needed(self) -> bool:
        """Return whether some chunks have, or may have, terms of another version."""
        with self._database.write() as connection:
            if _counter(connection, _VERSION) == TERMS_VERSION:
                return False
            if connection.scalar(sa.select(chunks.c.id).limit(1)) is None:
                _set_counter(connection, _VERSION, TERMS_VERSION)
                return False
        return True

    def run(self, seconds: float, cancelled: Callable[[], bool] = lambda: False) -> bool:
        """Work for at most `seconds`, a batch longer at most; return whether everything is done."""
        began = time.monotonic()
        while not cancelled() and time.monotonic() - began < seconds:
            with self._database.write() as connection:
                if _counter(connection, _VERSION) == TERMS_VERSION:
                    return True  # another node has done the rest
                if not self._batch(connection):
                    _set_counter(connection, _VERSION, TERMS_VERSION)
                    connection.execute(counters.delete().where(counters.c.name == _POSITION))
                    return True
        return False

    def _batch(self, connection: Connection) -> bool:
        """Make the terms of the next chunks; return whether there were any."""
        rows = connection.execute(_CHUNKS, {"after": _counter(connection, _POSITION)}).all()
        if not rows:
            return False
        active = {"some": [row.id for row in rows if row.active]}
        index = lexical_index(connection)
        if active["some"]:
            index.remove(connection, _SOME, active)  # by the terms that they came in with
        connection.execute(
            _SET,
            [
                {"chunk": row.id, "new_terms": _terms(row), "new_kind": kind_of(row.text, row.tokens).value}
                for row in rows
            ],
        )
        if active["some"]:
            index.add(connection, _SOME, active)
        outdated = {row.revision_id for row in rows if embedding_text(row.text) != row.text}
        if outdated:
            connection.execute(revisions.update().where(revisions.c.id.in_(outdated)).values(fingerprint=""))
        _set_counter(connection, _POSITION, rows[-1].id)
        return True


def _terms(row: Row[Any]) -> str:
    # A document that a program added has no place and no name of its own.
    return lexical_terms(row.text, (*row.heading, row.sheet), row.name if row.sha256 else "")


def _counter(connection: Connection, name: str) -> int:
    return int(connection.scalar(sa.select(counters.c.value).where(counters.c.name == name)) or 0)


def _set_counter(connection: Connection, name: str, value: int) -> None:
    connection.execute(counters.delete().where(counters.c.name == name))
    connection.execute(counters.insert().values(name=name, value=value))
