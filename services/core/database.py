"""The database: one engine, one schema, transactions.

Only `store` modules import SQLAlchemy beside this one. SQLite runs in WAL mode with synchronous FULL: what a commit
acknowledged survives a kill and a power cut (https://www.sqlite.org/pragma.html#pragma_synchronous). A database of
observations may ask for NORMAL, which syncs at checkpoints only: a power cut may then take the last commits, a kill
takes none.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from json import JSONDecodeError
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DatabaseError

from services.core.checkpoints import CheckedFile, damaged, forget_checksums
from services.core.errors import DamagedError, StorageError, UnavailableError
from services.core.i18n import _
from services.core.private_files import open_descriptor
from services.core.schema_version import record_created

log = structlog.get_logger(__name__)

metadata = sa.MetaData()
_REMOVED = "millpond removed"
_BOOKKEEPING = ("UPDATE counters", "DELETE FROM counters")  # numbers only
# How long emptying the log waits for readers while writers wait for it, in milliseconds.
_LOG_PATIENCE_MS = 100


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
        checked: bool = False,
    ) -> None:
        """Connect to `url`.

        Args:
            url: SQLAlchemy URL.
            schema: the tables that `create_tables` makes.
            synchronous: SQLite's promise for a power cut, see above.
            cache_kb: SQLite's page cache for each connection, in KB.
            connections: kept open; three times as many may be open at once.
            patience: how long SQLite waits for another process that holds the file, in seconds.
            checked: the file's pages have checksums, which are checked now and kept from now on; this process alone may
                have it open. For SQLite's files only.

        Raises:
            DamagedError: the file is not as it was left (with `checked`).
            StorageError: it cannot be read (with `checked`).
        """
        self._schema = schema
        self.engine: Engine = sa.create_engine(url, pool_size=connections, max_overflow=2 * connections)
        self._write_lock = threading.RLock()
        self._closed = False
        self._file: CheckedFile | None = None
        self.damage: DamagedError | None = None
        self._on_damage: list[Callable[[DamagedError], None]] = []
        if self.engine.dialect.name == "sqlite":
            file = self.engine.url.database
            checked = checked and _is_path(file)
            if checked:
                self._file = CheckedFile(Path(str(file)))
            elif _is_path(file):
                forget_checksums(Path(str(file)))
            _create_private(file)
            if self._file is not None:
                self._file.open()
            pragmas = partial(
                _set_pragmas, synchronous=synchronous, cache_kb=cache_kb, patience=patience, checkpoints=not checked
            )
            sa.event.listen(self.engine, "connect", pragmas)
        self._local = threading.local()  # the connection that `reading` has this thread share
        self._on_removal: list[Callable[[], None]] = []
        self._writer = 0  # the thread whose transaction is in progress, and what it does before it commits
        self._at_commit: list[Callable[[Connection], object]] = []
        self._at_end: list[Callable[[], object]] = []
        sa.event.listen(self.engine, "after_cursor_execute", _watch_removals)

    @property
    def path(self) -> Path | None:
        """The file of SQLite; None for another database, and for one in RAM."""
        file = self.engine.url.database
        return Path(str(file)) if self.engine.dialect.name == "sqlite" and _is_path(file) else None

    def create_tables(self) -> None:
        """Create what is missing of the tables, columns and indexes that `store` modules declared on the schema.

        The main database of an older version is migrated instead (`services.core.migrations`).
        """
        with self.write() as connection:
            if self.engine.dialect.name == "sqlite":
                # Python's driver begins a transaction before INSERT, UPDATE and DELETE alone: a kill between a table
                # and its index would leave the table without it.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            self._schema.create_all(connection)
            _add_missing_columns(connection, self._schema)
            for table in self._schema.sorted_tables:
                for index in table.indexes:
                    index.create(connection, checkfirst=True)
            if self._schema is metadata:
                record_created(connection)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection for reading; it sees one consistent state.

        Raises:
            DamagedError: as for `write`.
        """
        shared: Connection | None = getattr(self._local, "reading", None)
        if shared is not None:
            yield shared
            return
        self._refuse_if_closed()
        try:
            with self.engine.connect() as connection:
                yield connection
        except (DatabaseError, JSONDecodeError) as error:
            if _is_damage(error):
                raise self._found_damaged() from error
            raise

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Have every `read` of this thread inside of it use one connection: for work that asks many short questions."""
        with self.read() as connection:
            outer = getattr(self._local, "reading", None)
            self._local.reading = connection
            try:
                yield
            finally:
                self._local.reading = outer

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that commits at the end, or leaves everything as it was.

        Raises:
            StorageError: the disk is full or the database file cannot be written.
            DamagedError: the file is not a database, or no longer a sound one.
        """
        with self._write_lock:
            self._refuse_if_closed()
            try:
                with self.engine.begin() as connection:
                    self._writer = threading.get_ident()
                    yield connection
                    for call in self._at_commit:
                        call(connection)
                    removed = connection.info.pop(_REMOVED, False)
            except (DatabaseError, JSONDecodeError) as error:
                if _is_disk_error(error):
                    raise StorageError(
                        _("The database could not be written; what was stored before is kept."),
                        _("Free some disk space or check the data folder's permissions, then try again."),
                    ) from error
                if _is_damage(error):
                    raise self._found_damaged() from error
                raise
            finally:
                ended, self._at_end = self._at_end, []
                self._writer, self._at_commit = 0, []
                for end in ended:
                    end()
            self._copy_log_in_time()
        if removed:
            for listener in self._on_removal:
                listener()

    def at_commit(self, call: Callable[[Connection], object]) -> bool:
        """Have the transaction that this thread has begun with `write` end with `call`; return whether there is one.

        What `call` writes is committed with it, or not at all; what it raises undoes the transaction.
        """
        if self._writer != threading.get_ident():
            return False
        self._at_commit.append(call)
        return True

    def at_end(self, call: Callable[[], object]) -> bool:
        """Have `call` come after that transaction, committed or not; return whether there is one. It must not raise."""
        if self._writer != threading.get_ident():
            return False
        self._at_end.append(call)
        return True

    def on_removal(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each transaction that deleted or replaced something; it must not wait."""
        self._on_removal.append(listener)

    def empty_log(self) -> bool:
        """Move what is in SQLite's write-ahead log into the file, and empty the log; return whether that was possible.

        It is not while somebody reads an older state from the log.
        """
        if self.engine.dialect.name != "sqlite":
            return True
        if self._file is not None:
            with self._write_lock:
                return self._closed or self._empty_checked_log(self._file)
        with self.engine.connect() as connection:
            # Most is moved without keeping writers waiting.
            connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
            with self._write_lock:
                before = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
                connection.exec_driver_sql(f"PRAGMA busy_timeout={_LOG_PATIENCE_MS}")
                try:
                    busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar()
                finally:
                    connection.exec_driver_sql(f"PRAGMA busy_timeout={before}")
            return not busy

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

    @property
    def notes(self) -> list[str]:
        """What the check at the start found, in words, though nothing was lost."""
        return self._file.notes if self._file is not None else []

    def on_damage(self, listener: Callable[[DamagedError], None]) -> None:
        """Call `listener` once if the file is found damaged from now on."""
        self._on_damage.append(listener)

    def check_some(self, pages: int) -> None:
        """Check the next `pages` pages of the file by their checksums; what is damaged goes to `on_damage`."""
        file = self._file
        if file is None or self._closed or self.damage is not None:
            return
        suspects = file.check_some(pages).damaged
        if not suspects:
            return
        with self._write_lock:
            found = file.recheck(suspects) if not self._closed else ()
        if found:
            self._found_damaged(file.damage(found))

    def close(self) -> None:
        """Close all pooled connections."""
        with self._write_lock:
            file, closed, self._closed = self._file, self._closed, self._file is not None
            complete = False
            if file is not None and not closed:
                complete = self._empty_checked_log(file)
            self.engine.dispose()
            if file is not None and not closed:
                file.close(complete=complete)

    def _empty_checked_log(self, file: CheckedFile) -> bool:
        """Move the log into the file and empty it; return whether that was possible."""
        try:
            return file.copy_log(empty=True, patience_ms=_LOG_PATIENCE_MS)
        except (sqlite3.Error, OSError) as error:
            self._not_moved(error)
            return False

    def _copy_log_in_time(self) -> None:
        """Move the log into the file if it has become long; the commit before stands, whatever happens here."""
        if self._file is None:
            return
        try:
            self._file.after_write()
        except (sqlite3.Error, OSError) as error:
            self._not_moved(error)

    def _not_moved(self, error: sqlite3.Error | OSError) -> None:
        log.warning("log of the database not moved", reason=str(error))
        if isinstance(error, sqlite3.Error) and _says_damage(error):
            self._found_damaged()

    def _found_damaged(self, error: DamagedError | None = None) -> DamagedError:
        """Return what says that the file is damaged; the first time, the listeners get it."""
        if error is None:
            error = damaged(self._file.path, _("SQLite cannot read a part of it.")) if self._file else _damaged()
        if self.damage is None:
            self.damage = error
            log.error("database damaged", message=error.message)
            for listener in self._on_damage:
                listener(error)
        return error

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise UnavailableError(_("Millpond is being closed."), _("Start it again afterwards."))


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
    if path and _is_path(path):
        with suppress(OSError):  # SQLite will say what is wrong
            os.close(open_descriptor(path, os.O_RDWR | os.O_CREAT))


def _is_path(database: str | None) -> bool:
    return bool(database) and database != ":memory:" and not str(database).startswith("file:")


def _set_pragmas(
    connection: Any, _record: object, *, synchronous: str, cache_kb: int, patience: float, checkpoints: bool
) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        f"synchronous={synchronous}",
        "foreign_keys=ON",
        f"busy_timeout={int(1000 * patience)}",
        f"cache_size=-{cache_kb}",
        "temp_store=FILE",
        # What is deleted is overwritten with zeros; some builds of SQLite do so anyway, others do not.
        "secure_delete=ON",
        f"wal_autocheckpoint={1000 if checkpoints else 0}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _watch_removals(connection: Connection, cursor: Any, statement: str, *_more: object) -> None:
    """Note on the connection that its transaction deletes or replaces something."""
    if statement.startswith(("DELETE", "UPDATE")) and not statement.startswith(_BOOKKEEPING) and cursor.rowcount:
        connection.info[_REMOVED] = True


def _is_disk_error(error: Exception) -> bool:
    text = str(getattr(error, "orig", "")).lower()
    return any(sign in text for sign in ("disk is full", "disk i/o error", "readonly database", "unable to open"))


def _is_damage(error: DatabaseError | JSONDecodeError) -> bool:
    return isinstance(error, JSONDecodeError) or _says_damage(error.orig)


def _says_damage(error: BaseException | None) -> bool:
    text = str(error).lower()
    return any(sign in text for sign in ("not a database", "malformed", "could not decode", "fts5: corruption"))


def _damaged() -> DamagedError:
    return DamagedError(
        _("The database in the data folder is damaged; nothing in it was changed."),
        _("Put a copy of the whole data folder back, or start on another with --data-dir."),
    )
