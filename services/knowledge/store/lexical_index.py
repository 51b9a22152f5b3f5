"""The lexical index of the database that a connection is to."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from services.knowledge.store.lexical_protocol import LexicalIndex
from services.knowledge.store.lexical_sqlite import SqliteIndex


def lexical_index(connection: Connection) -> LexicalIndex:
    """Return the index of the database that a connection is to; its module is imported then."""
    if connection.dialect.name == "postgresql":
        from services.knowledge.store.lexical_postgres import PostgresIndex

        return PostgresIndex()
    return SqliteIndex()
