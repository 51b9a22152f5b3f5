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
    TakenOverError,
    UnavailableError,
)
from services.core.i18n import _

log = structlog.get_logger(__name__)

# A node that is cut off finds out within these seconds, and asks again
# (https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-PARAMKEYWORDS).
_CONNECT_SECONDS, _SILENT_SECONDS = 3, 5
# So long the others wait for a writer that was stopped or cut off: less than until its node is taken over.
_IDLE_SECONDS = 3
# A node that stops in the middle of what it does exclusively is taken over well before this time is up.
_EXCLUSIVE_SECONDS = 15
# The two keys of the lock: ours, and the schema's name, so that two ponds of one database do not wait for each other.
_LOCK_WRITERS = "SELECT pg_advisory_xact_lock(1836674160, hashtext(current_schema()))"
# Nodes hold another one together; who changes the pond as a whole holds it alone.
_HOLD_ALONE = "SELECT pg_try_advisory_lock(1836674161, hashtext(current_schema()))"
_HOLD_WITH_OTHERS = "SELECT pg_try_advisory_lock_shared(1836674161, hashtext(current_schema()))"
_LOCK_NAMED = "SELECT pg_advisory_xact_lock(1836674162, hashtext(current_schema() || ' ' || %s))"
_IS_MEMBER = "SELECT 1 FROM nodes WHERE id = %s AND epoch = %s"
# After a kill the server notices within moments that the session has ended.
_RELEASE_SECONDS, _ASK_SECONDS = 3.0, 0.1


class PostgresBackend:
    """A PostgreSQL database; the writers' patience is in seconds."""

    path: Path | None = None

    def __init__(self, url: sa.URL, *, patience: float) -> None:
        self._url = url
        self._patience = patience
        self._holder: Connection | None = None
        self._held: bool | None = None  # whether others are kept out, or those that want to be alone; None: nobody
        self._taken = False  # whether one came in while our session was lost
        self._member: tuple[int, int] | None = None  # node and epoch
        self._aside: Engine | None = None

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

    def aside(self, engine: Engine) -> Engine:  # noqa: ARG002 - a pool may be used up by those who wait
        if self._aside is None:
            self._aside = sa.create_engine(self._url, pool_size=1, connect_args=connect_arguments(self._url))
        return self._aside

    @property
    def node(self) -> int:
        return self._member[0] if self._member is not None else 0

    def hold(self, *, alone: bool) -> None:
        """Hold a lock of the database in a session of its own, which ends with the process.

        Raises:
            ConflictError: another process holds it.
            UnavailableError: the server does not answer.
        """
        engine = sa.create_engine(self._url, poolclass=sa.NullPool, connect_args=connect_arguments(self._url))
        deadline = time.monotonic() + _RELEASE_SECONDS
        try:
            holder = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            while not holder.exec_driver_sql(_HOLD_ALONE if alone else _HOLD_WITH_OTHERS).scalar():
                if time.monotonic() > deadline:
                    holder.close()
                    raise _in_use() if alone else _held_alone()
                time.sleep(_ASK_SECONDS)
        except DatabaseError as error:
            meant = error_of(error)
            if meant is not None:
                raise meant from error
            raise
        self._holder, self._held = holder, alone

    def join(self, node: int, epoch: int) -> None:
        self._member = (node, epoch)

    def require_writable(self) -> None:
        if self._taken:
            raise UnavailableError(
                _("Another Millpond has taken the database over; nothing was changed."), _("Restart this one.")
            )

    def begin_schema(self, connection: Connection) -> None:
        """DDL is a part of any transaction (https://wiki.postgresql.org/wiki/Transactional_DDL_in_PostgreSQL)."""

    def begin_write(self, connection: Connection, *, joining: bool = False) -> None:
        self.require_writable()
        # The lock comes first: what is read after it has all that was written before it. A writer that falls silent,
        # stopped or cut off, must not hold it. Three statements in one message.
        connection.exec_driver_sql(
            f"SET LOCAL lock_timeout = {int(1000 * self._patience)};"
            f"SET LOCAL idle_in_transaction_session_timeout = {1000 * _IDLE_SECONDS};"
            f"{_LOCK_WRITERS}"
        )
        if not joining:
            self._require_epoch(connection)

    def ask(self, connection: Connection) -> None:
        connection.exec_driver_sql("SELECT 1")
        self._require_epoch(connection)

    def _require_epoch(self, connection: Connection) -> None:
        member = self._member
        if member is not None and connection.exec_driver_sql(_IS_MEMBER, member).first() is None:
            raise TakenOverError(
                _("Another node has taken over what this one did, because it was silent; nothing was changed."),
                _("Try again in a moment."),
            )

    def exclude(self, connection: Connection, name: str) -> None:
        connection.exec_driver_sql(
            f"SET LOCAL lock_timeout = {int(1000 * self._patience)};"
            f"SET LOCAL idle_in_transaction_session_timeout = {1000 * _EXCLUSIVE_SECONDS}"
        )
        connection.exec_driver_sql(_LOCK_NAMED, (name,))

    def after_write(self) -> None:
        """Nothing: the server writes its files."""

    def empty_log(self, engine: Engine) -> bool:  # noqa: ARG002 - the server keeps its log, for as long as it needs it
        return True

    def shrink(self, engine: Engine) -> int:  # noqa: ARG002 - pages are cached in the server
        return 0

    def check_some(self, pages: int) -> None:  # noqa: ARG002 - the server checks what it reads
        """Take the lock again where a switch-over or a restart of the server has ended the session that holds it."""
        if self._held is None or self._taken:
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
            self.hold(alone=self._held)
        except UnavailableError:
            return  # it is asked again in a moment
        except ConflictError:
            self._taken = True
            log.exception("the database was taken over by another process")

    def error_of(self, error: DatabaseError | JSONDecodeError) -> MillpondError | None:
        return None if isinstance(error, JSONDecodeError) else error_of(error)

    def close(self, engine: Engine) -> bool:
        holder, self._holder, self._held, self._member = self._holder, None, None, None
        if holder is not None:
            holder.close()
        engine.dispose()
        if self._aside is not None:
            self._aside.dispose()
        return True


def _in_use() -> MillpondError:
    return ConflictError(
        _("Another Millpond uses the database; nothing was changed."),
        _("Stop it first, or name another database or schema with MILLPOND_DATABASE_URL."),
    )


def _held_alone() -> MillpondError:
    return ConflictError(
        _("The database is being changed as a whole by another Millpond; nothing was changed."),
        _("Start again when that has ended."),
    )


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
