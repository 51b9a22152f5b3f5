"""Which state the library is in: a stamp that changes with every change to documents.

The stamp is a random number in the database, drawn anew within each transaction that changes documents: it is right
across restarts, and a data folder that was put back from a copy never repeats a stamp for another state, as a counter
would. Index and folder follow a commit; until they have, the state has no stamp.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.database import Database
from services.knowledge.store.tables import counters

_NAME = "library stamp"
_BITS = 62  # fits a signed 64-bit column


class LibraryVersion:
    """Tells the library's stamp; thread-safe. One for all who change documents of a database in this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._changing = 0

    def current(self) -> int | None:
        """Return the stamp of the present state, None while index or folder still follow a change."""
        if self._changing:
            return None
        with self._database.read() as connection:
            found = connection.scalar(sa.select(counters.c.value).where(counters.c.name == _NAME))
        # A change that began meanwhile may have been read half: its row, but not yet its index.
        return None if self._changing else int(found or 0)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Have no stamp meanwhile: from before the commit until everything has followed it."""
        with self._lock:
            self._changing += 1
        try:
            yield
        finally:
            with self._lock:
                self._changing -= 1


def renew(connection: Connection) -> None:
    """Draw a new stamp, as part of a transaction."""
    value = secrets.randbits(_BITS) + 1
    changed = connection.execute(counters.update().where(counters.c.name == _NAME).values(value=value))
    if not changed.rowcount:
        connection.execute(counters.insert().values(name=_NAME, value=value))
