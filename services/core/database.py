"""The database: one engine, one schema, transactions.

Only `store` modules import SQLAlchemy beside this one. SQLite runs in WAL mode with synchronous FULL: what a commit
acknowledged survives a kill and a power cut (https://www.sqlite.org/pragma.html#pragma_synchronous). A database of
observations may ask for NORMAL, which syncs at checkpoints only: a power cut may then take the last commits, a kill
takes none.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DatabaseError

from services.core.errors import DamagedError, StorageError
from services.core.i18n import _

metadata = sa.MetaData()


class Database:
    """Connections to one database.

    Writers queue on a lock of this process, so that SQLite's own busy timeout is never what decides.
    """

    def __init__(
        self,
        url: str | sa.URL,
        *,
        schema: sa.MetaData = metadata,
        synchronous: Literal["FULL", "NORMAL"] = "FULL",
        cache_kb: int = 4096,
        connections: int = 8,
        patience: float = 10.0,
    ) -> None:
        """Connect to `url`.

        Args:
            url: SQLAlchemy URL.
            schema: the tables that `create_tables` makes.
            synchronous: SQLite's promise for a power cut, see above.
            cache_kb: SQLite's page cache for each connection, in KB.
            connections: kept open; three times as many may be open at once.
            patience: how long SQLite waits for another process that holds the file, in seconds.
        """
        self._schema = schema
        self.engine: Engine = sa.create_engine(url, pool_size=connections, max_overflow=2 * connections)
        self._write_lock = threading.RLock()
        if self.engine.dialect.name == "sqlite":
            _create_private(self.engine.url.database)
            pragmas = partial(_set_pragmas, synchronous=synchronous, cache_kb=cache_kb, patience=patience)
            sa.event.listen(self.engine, "connect", pragmas)

    def create_tables(self) -> None:
        """Create what is missing of the tables and columns that `store` modules have declared on the schema."""
        with self.write() as connection:
            self._schema.create_all(connection)
            _add_missing_columns(connection, self._schema)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection for reading; it sees one consistent state.

        Raises:
            DamagedError: as for `write`.
        """
        try:
            with self.engine.connect() as connection:
                yield connection
        except DatabaseError as error:
            if _is_damage(error):
                raise _damaged() from error
            raise

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that commits at the end, or leaves everything as it was.

        Raises:
            StorageError: the disk is full or the database file cannot be written.
            DamagedError: the file is not a database, or no longer a sound one.
        """
        with self._write_lock:
            try:
                with self.engine.begin() as connection:
                    yield connection
            except DatabaseError as error:
                if _is_disk_error(error):
                    raise StorageError(
                        _("The database could not be written; what was stored before is kept."),
                        _("Free some disk space or check the data folder's permissions, then try again."),
                    ) from error
                if _is_damage(error):
                    raise _damaged() from error
                raise

    def shrink(self) -> int:
        """Release what SQLite caches for idle connections (pages, statements); return how many there were.

        What they need again they read from the file.
        """
        if self.engine.dialect.name != "sqlite":
            return 0
        with ExitStack() as stack:
            idle = [
                stack.enter_context(self.engine.connect())
                for _number in range(self.engine.pool.checkedin())  # type: ignore[attr-defined]
            ]
            for connection in idle:
                connection.exec_driver_sql("PRAGMA shrink_memory")
        return len(idle)

    def close(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()


def _add_missing_columns(connection: Connection, schema: sa.MetaData) -> None:
    """Add the columns that an older version did not know to the tables that it made; they are empty at first."""
    known = sa.inspect(connection)
    for table in schema.sorted_tables:
        there = {column["name"] for column in known.get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                definition = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {definition}")


def _create_private(path: str | None) -> None:
    """Create the file so that nobody else can read it; SQLite gives its journals the same permissions."""
    if path and path != ":memory:" and not path.startswith("file:"):
        with suppress(OSError):  # SQLite will say what is wrong
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _set_pragmas(connection: Any, _record: object, *, synchronous: str, cache_kb: int, patience: float) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        f"synchronous={synchronous}",
        "foreign_keys=ON",
        f"busy_timeout={int(1000 * patience)}",
        f"cache_size=-{cache_kb}",
        "temp_store=FILE",
        "wal_autocheckpoint=1000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _is_disk_error(error: DatabaseError) -> bool:
    text = str(error.orig).lower()
    return any(sign in text for sign in ("disk is full", "disk i/o error", "readonly database", "unable to open"))


def _is_damage(error: DatabaseError) -> bool:
    text = str(error.orig).lower()
    return "not a database" in text or "malformed" in text


def _damaged() -> DamagedError:
    return DamagedError(
        _("The database in the data folder is damaged; nothing in it was changed."),
        _("Put a copy of the whole data folder back, or start on another with --data-dir."),
    )
