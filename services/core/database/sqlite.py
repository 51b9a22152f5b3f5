"""SQLite, on one machine: its file, its write-ahead log, the checksums of its pages, what its errors mean.

It runs in WAL mode with synchronous FULL: what a commit acknowledged survives a kill and a power cut
(https://www.sqlite.org/pragma.html#pragma_synchronous). A database of observations may ask for NORMAL, which syncs at
checkpoints only: a power cut may then take the last commits, a kill takes none.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from json import JSONDecodeError
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DatabaseError

from services.core.database.checkpoints import CheckedFile, damaged, forget_checksums
from services.core.database.replicated_log import ReplicatedLog
from services.core.errors import DamagedError, MillpondError, StorageError
from services.core.i18n import _
from services.core.private_files import open_descriptor

log = structlog.get_logger(__name__)

Synchronous = Literal["FULL", "NORMAL"]
# How long emptying the log waits for readers while writers wait for it, in milliseconds.
_LOG_PATIENCE_MS = 100


class SqliteBackend:
    """An SQLite database. Writers queue on the lock of `Database`: SQLite's own busy timeout is never what decides."""

    def __init__(
        self,
        url: sa.URL,
        writers: threading.RLock,
        on_damage: Callable[[DamagedError], object],
        *,
        synchronous: Synchronous,
        cache_kb: int,
        patience: float,
        checked: bool,
        replicated: bool,
    ) -> None:
        """Check the file, and keep the checksums of its pages from now on (with `checked`).

        Raises:
            DamagedError: the file is not as it was left (with `checked`).
            StorageError: it cannot be read (with `checked`).
        """
        self._url = url
        self._writers = writers
        self._on_damage = on_damage
        self._file: CheckedFile | None = None
        self._replicated = ReplicatedLog() if replicated else None
        self._closed = False
        file = url.database
        self.path = Path(str(file)) if _is_path(file) else None
        checked = checked and self.path is not None
        if self.path is not None and checked:
            self._file = CheckedFile(self.path)
        elif self.path is not None:
            forget_checksums(self.path)
        self._pragmas = partial(
            _set_pragmas,
            synchronous=synchronous,
            cache_kb=cache_kb,
            patience=patience,
            checkpoints=not (checked or replicated),
        )

    @property
    def notes(self) -> list[str]:
        return self._file.notes if self._file is not None else []

    def connect(self, connections: int) -> Engine:
        engine = sa.create_engine(self._url, pool_size=connections, max_overflow=2 * connections)
        if self.path is not None:
            _create_private(self.path)
        if self._file is not None:
            self._file.open()
        sa.event.listen(engine, "connect", self._pragmas)
        if self._replicated is not None:
            self._replicated.open(engine, self.path)
        return engine

    def reader(self, engine: Engine) -> Engine:
        return engine

    def aside(self, engine: Engine) -> Engine:
        return engine

    @property
    def node(self) -> int:
        return 0

    def hold(self, *, alone: bool) -> None:
        """Nothing: the data folder is locked."""

    def join(self, node: int, epoch: int) -> None:
        """Nothing: a file is for one process."""

    def require_writable(self) -> None:
        """Nothing: what is wrong with the file is said by writing to it."""

    def ask(self, connection: Connection) -> None:
        connection.exec_driver_sql("SELECT 1")

    def begin_schema(self, connection: Connection) -> None:
        # Python's driver begins a transaction before INSERT, UPDATE and DELETE alone: a kill between a table and its
        # index would leave the table without it.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def begin_write(self, connection: Connection, *, joining: bool = False) -> None:
        """Nothing: the lock of this process is held, and no other process has the file."""

    def exclude(self, connection: Connection, name: str) -> None:
        """Nothing: no other process has the file open."""

    def after_write(self) -> None:
        """Move the log into the file if it has become long; the commit before stands, whatever happens here."""
        log_file = self._file or self._replicated
        if log_file is None:
            return
        try:
            log_file.after_write()
        except (sqlite3.Error, OSError) as error:
            self._not_moved(error)

    def empty_log(self, engine: Engine) -> bool:
        """Move what is in the log into the file, and empty it; it cannot be while somebody reads an older state."""
        if self._replicated is not None:
            return True  # it is Litestream's
        if self._file is not None:
            with self._writers:
                return self._closed or self._empty_checked_log(self._file)
        with engine.connect() as connection:
            # Most is moved without keeping writers waiting.
            connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
            with self._writers:
                before = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
                connection.exec_driver_sql(f"PRAGMA busy_timeout={_LOG_PATIENCE_MS}")
                try:
                    busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar()
                finally:
                    connection.exec_driver_sql(f"PRAGMA busy_timeout={before}")
            return not busy

    def shrink(self, engine: Engine) -> int:
        """What idle connections cache (pages, statements) they read from the file again."""
        with ExitStack() as stack:
            idle = [
                stack.enter_context(engine.connect())
                for _number in range(engine.pool.checkedin())  # type: ignore[attr-defined]
            ]
            for connection in idle:
                connection.exec_driver_sql("PRAGMA shrink_memory")
        return len(idle)

    def check_some(self, pages: int) -> None:
        file = self._file
        if file is None or self._closed:
            return
        suspects = file.check_some(pages).damaged
        if not suspects:
            return
        with self._writers:
            found = file.recheck(suspects) if not self._closed else ()
        if found:
            self._on_damage(file.damage(found))

    def error_of(self, error: DatabaseError | JSONDecodeError) -> MillpondError | None:
        if isinstance(error, JSONDecodeError):
            return self._damage()
        if _is_of_the_disk(error):
            return StorageError(
                _("The database could not be written; what was stored before is kept."),
                _("Free some disk space or check the data folder's permissions, then try again."),
            )
        return self._damage() if _says_damage(error.orig) else None

    def close(self, engine: Engine) -> bool:
        file, closed, self._closed = self._file, self._closed, self._file is not None
        complete = False
        if file is not None and not closed:
            complete = self._empty_checked_log(file)
        engine.dispose()
        if file is not None and not closed:
            file.close(complete=complete)
        return self._closed

    def _empty_checked_log(self, file: CheckedFile) -> bool:
        """Move the log into the file and empty it; return whether that was possible."""
        try:
            return file.copy_log(empty=True, patience_ms=_LOG_PATIENCE_MS)
        except (sqlite3.Error, OSError) as error:
            self._not_moved(error)
            return False

    def _not_moved(self, error: sqlite3.Error | OSError) -> None:
        log.warning("log of the database not moved", reason=str(error))
        if isinstance(error, sqlite3.Error) and _says_damage(error):
            self._on_damage(self._damage())

    def _damage(self) -> DamagedError:
        if self._file is not None:
            return damaged(self._file.path, _("SQLite cannot read a part of it."))
        return DamagedError(
            _("The database in the data folder is damaged; nothing in it was changed."),
            _("Put a copy of the whole data folder back, or start on another with --data-dir."),
        )


def _create_private(path: Path) -> None:
    """Create the file so that nobody else can read it; SQLite gives its journals the same permissions."""
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


def _is_of_the_disk(error: DatabaseError) -> bool:
    text = str(error.orig or "").lower()
    return any(sign in text for sign in ("disk is full", "disk i/o error", "readonly database", "unable to open"))


def _says_damage(error: BaseException | None) -> bool:
    text = str(error).lower()
    return any(sign in text for sign in ("not a database", "malformed", "could not decode", "fts5: corruption"))
