"""PostgreSQL, for several nodes: how it is connected to, who may write, what its errors mean.

Writers of all nodes queue on one advisory lock, as those of one process do: what was written for one writer at a time
is true for several nodes. Reads see one state each (REPEATABLE READ), beside any writer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from json import JSONDecodeError
from pathlib import Path
from typing import Final

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DatabaseError, DataError

from services.core.errors import (
    BadInputError,
    ConflictError,
    DamagedError,
    DatabaseAwayError,
    MillpondError,
    StorageError,
    UnavailableError,
)
from services.core.i18n import _

log = structlog.get_logger(__name__)

# A node that is cut off finds out within these seconds, and asks again
# (https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-PARAMKEYWORDS).
_CONNECT_SECONDS, _SILENT_SECONDS = 3, 5
# The two keys of the lock: ours, and the schema's name, so that two ponds of one database do not wait for each other.
_LOCK_WRITERS = "SELECT pg_advisory_xact_lock(1836674160, hashtext(current_schema()))"
_HOLD = "SELECT pg_try_advisory_lock(1836674161, hashtext(current_schema()))"
# After a kill the server notices within moments that the session has ended.
_RELEASE_SECONDS, _ASK_SECONDS = 3.0, 0.1


class PostgresBackend:
    """A PostgreSQL database; the writers' patience is in seconds."""

    path: Path | None = None

    def __init__(self, url: sa.URL, *, patience: float) -> None:
        self._url = url
        self._patience = patience
        self._holder: Connection | None = None
        self._alone = False  # whether other processes are to be kept out
        self._taken = False  # whether one came in while our session was lost

    @property
    def notes(self) -> list[str]:
        return []

    def connect(self, connections: int) -> Engine:
        return sa.create_engine(
            self._url,
            pool_size=connections,
            max_overflow=2 * connections,
            pool_use_lifo=True,
            connect_args=connect_arguments(self._url),
        )

    def reader(self, engine: Engine) -> Engine:
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def hold_alone(self) -> None:
        """Hold a lock of the database in a session of its own, which ends with the process.

        Raises:
            ConflictError: another process holds it.
            UnavailableError: the server does not answer.
        """
        engine = sa.create_engine(self._url, poolclass=sa.NullPool, connect_args=connect_arguments(self._url))
        deadline = time.monotonic() + _RELEASE_SECONDS
        try:
            holder = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            while not holder.exec_driver_sql(_HOLD).scalar():
                if time.monotonic() > deadline:
                    holder.close()
                    raise ConflictError(
                        _("Another Millpond uses the database; nothing was changed."),
                        _("Stop it first, or name another database or schema with MILLPOND_DATABASE_URL."),
                    )
                time.sleep(_ASK_SECONDS)
        except DatabaseError as error:
            meant = error_of(error)
            if meant is not None:
                raise meant from error
            raise
        self._holder, self._alone = holder, True

    def require_writable(self) -> None:
        if self._taken:
            raise UnavailableError(
                _("Another Millpond has taken the database over; nothing was changed."), _("Restart this one.")
            )

    def begin_schema(self, connection: Connection) -> None:
        """DDL is a part of any transaction (https://wiki.postgresql.org/wiki/Transactional_DDL_in_PostgreSQL)."""

    def begin_write(self, connection: Connection) -> None:
        self.require_writable()
        # The lock comes first: what is read after it has all that was written before it. A writer that falls silent,
        # stopped or cut off, must not hold it. Three statements in one message.
        connection.exec_driver_sql(
            f"SET LOCAL lock_timeout = {int(1000 * self._patience)};"
            f"SET LOCAL idle_in_transaction_session_timeout = {1000 * _SILENT_SECONDS};"
            f"{_LOCK_WRITERS}"
        )

    def after_write(self) -> None:
        """Nothing: the server writes its files."""

    def empty_log(self, engine: Engine) -> bool:  # noqa: ARG002 - the server keeps its log, for as long as it needs it
        return True

    def shrink(self, engine: Engine) -> int:  # noqa: ARG002 - pages are cached in the server
        return 0

    def check_some(self, pages: int) -> None:  # noqa: ARG002 - the server checks what it reads
        """Take the lock again where a switch-over or a restart of the server has ended the session that holds it."""
        if not self._alone or self._taken:
            return
        if self._holder is not None:
            try:
                self._holder.exec_driver_sql("SELECT 1")
            except DatabaseError as error:
                log.warning("the session that keeps others out of the database has ended", reason=str(error.orig))
                self._holder.close()
                self._holder = None
            else:
                return
        try:
            self.hold_alone()
        except UnavailableError:
            return  # it is asked again in a moment
        except ConflictError:
            self._taken = True
            log.exception("the database was taken over by another process")

    def error_of(self, error: DatabaseError | JSONDecodeError) -> MillpondError | None:
        return None if isinstance(error, JSONDecodeError) else error_of(error)

    def close(self, engine: Engine) -> bool:
        holder, self._holder, self._alone = self._holder, None, False
        if holder is not None:
            holder.close()
        engine.dispose()
        return True


def connect_arguments(url: sa.URL) -> dict[str, object]:
    """Return how to connect, but for what the URL says itself."""
    arguments: dict[str, object] = {
        "connect_timeout": _CONNECT_SECONDS,
        "keepalives_idle": _SILENT_SECONDS,
        "keepalives_interval": 1,
        "keepalives_count": 3,
        "tcp_user_timeout": 1000 * _SILENT_SECONDS,
        "application_name": "millpond",
    }
    return {name: value for name, value in arguments.items() if name not in url.query}


def error_of(error: DatabaseError) -> MillpondError | None:
    """Return what an error of the driver means to a user; None where it is a defect of ours."""
    if isinstance(error, DataError):  # a zero byte, or a text that is too long for its column
        return _unwritable()
    code = str(getattr(error.orig, "sqlstate", None) or "")
    for codes, meant in _MEANINGS:
        if code.startswith(codes):
            return meant()
    return _away() if error.connection_invalidated or not code else None


def _damaged() -> MillpondError:
    return DamagedError(
        _("PostgreSQL finds a part of the database damaged; nothing in it was changed."),
        _("Restore it from a backup, or switch over to a replica."),
    )


def _full() -> MillpondError:
    return StorageError(
        _("The database could not be written; what was stored before is kept."),
        _("Free some disk space on the database's machine, then try again."),
    )


def _unwritable() -> MillpondError:
    return BadInputError(
        _("A text is too long or has characters that cannot be stored; nothing was changed."),
        _("Shorten it, or take them out, and try again."),
    )


def _busy() -> MillpondError:
    return DatabaseAwayError(_("The database is busy; nothing was changed."), _("Try again in a moment."))


def _away() -> MillpondError:
    return DatabaseAwayError(
        _("The database does not answer; what was stored before is kept."), _("Try again in a moment.")
    )


# By SQLSTATE (https://www.postgresql.org/docs/18/errcodes-appendix.html); its first two characters are the class.
_MEANINGS: Final[tuple[tuple[tuple[str, ...], Callable[[], MillpondError]], ...]] = (
    (("XX001", "XX002"), _damaged),
    (("53100", "58030"), _full),
    (("55P03", "57014", "40001", "40P01", "53300"), _busy),
    # Connections that fail or are ended, a server that starts, ends, or follows another one.
    (("08", "57P", "25006"), _away),
)
