"""Erasing the terms of deleted chunks from the lexical index's file.

FTS5 does not remove a deleted row's terms: it adds a record that they are gone, and keeps both until the segments with
them are merged (https://www.sqlite.org/fts5.html#the_merge_command). Here all segments are merged into one, in short
transactions, about 15 microseconds for each chunk of the library. How many rows were deleted since is counted in the
database, in their own transactions, so that a kill forgets nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.core.database import Database
from services.knowledge.store.lexical_index import lexical_index
from services.knowledge.store.tables import counters

_NAME = "terms to erase"
_PAGES = 256  # of 4 KB, merged in one transaction: some 30 ms
_PAUSE_SECONDS = 0.005  # between two of them, for other writers
_COUNT = sa.select(counters.c.value).where(counters.c.name == _NAME)
_ADD = counters.update().where(counters.c.name == _NAME).values(value=counters.c.value + sa.bindparam("count"))


def count_terms_to_erase(connection: Connection, rows: int) -> None:
    """Record that so many rows of the lexical index were deleted, in the same transaction."""
    if rows and not connection.execute(_ADD, {"count": rows}).rowcount:
        connection.execute(counters.insert().values(name=_NAME, value=rows))


class TermErasure:
    """Merges away what deletions have left in the lexical index."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._begin()

    def erase(self, stop: Callable[[], bool] = lambda: False) -> bool:
        """Erase the terms of the rows deleted before this call; return whether that was done before `stop` was true."""
        with self._database.read() as connection:
            rows = int(connection.scalar(_COUNT) or 0)
        if not rows:
            return True
        pages = -_PAGES  # negative: all segments are to be merged, not only those of one level
        while True:
            with self._database.write() as connection:
                done = lexical_index(connection).merge(connection, pages)
                if done:
                    # No more than there are: another node may have erased them, too.
                    left = int(connection.scalar(_COUNT) or 0)
                    connection.execute(_ADD, {"count": -min(rows, left)})
            if done:
                return True
            if stop():
                return False
            pages = _PAGES
            time.sleep(_PAUSE_SECONDS)

    def _begin(self) -> None:
        """Have what versions before this one left in the index erased once."""
        with self._database.read() as connection:
            if connection.scalar(_COUNT) is not None:
                return
        with self._database.write() as connection:
            if connection.scalar(_COUNT) is not None:
                return  # another node was quicker
            left = lexical_index(connection).may_have_removed(connection)
            connection.execute(counters.insert().values(name=_NAME, value=int(left)))
