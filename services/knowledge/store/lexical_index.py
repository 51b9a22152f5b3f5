"""The lexical index of the database that a connection is to, and making it anew from the chunks."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.core.database import Database
from services.knowledge.store.lexical_protocol import LexicalIndex
from services.knowledge.store.lexical_sqlite import SqliteIndex
from services.knowledge.store.tables import chunks, documents, revisions

_BATCH = 2000  # chunks, by their ids
# Which chunks belong in the index, with their revision and document.
INDEXED = sa.or_(
    documents.c.active_revision_id == chunks.c.revision_id,
    chunks.c.position < sa.func.coalesce(revisions.c.terms_indexed, 0),
)
_INDEXED = (
    sa.exists().where(revisions.c.id == chunks.c.revision_id, documents.c.id == revisions.c.document_id).where(INDEXED)
)
_RANGE = chunks.c.id.between(sa.bindparam("first"), sa.bindparam("last"))


def lexical_index(connection: Connection) -> LexicalIndex:
    """Return the index of the database that a connection is to; its module is imported then."""
    if connection.dialect.name == "postgresql":
        from services.knowledge.store.lexical_postgres import PostgresIndex

        return PostgresIndex()
    return SqliteIndex()


def rebuild(database: Database, progress: Callable[[int, int], None]) -> None:
    """Make the index anew from the chunks that belong in it; `progress` gets the last id that is in it, and of all."""
    with database.write() as connection:
        lexical_index(connection).clear(connection)
        highest = int(connection.scalar(sa.select(sa.func.max(chunks.c.id))) or 0)
    for first in range(1, highest + 1, _BATCH):
        last = min(highest, first + _BATCH - 1)
        with database.write() as connection:
            lexical_index(connection).add(connection, sa.and_(_RANGE, _INDEXED), {"first": first, "last": last})
        progress(last, highest)
