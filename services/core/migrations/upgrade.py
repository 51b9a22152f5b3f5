"""Brings the main database to the schema of this version at a start: makes it, migrates it, or refuses a newer one.

A migration is one transaction: a kill or a full disk leaves the database as it was. Alembic is imported only then.
Nodes of the version before work on meanwhile, if they can work on what comes of it; and a node of this version opens
what a newer one has made, if that has said so (`schema_version.py`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from services.core.database import Database
from services.core.errors import ConflictError, DatabaseAwayError, MillpondError, StorageError
from services.core.i18n import _, listed
from services.core.migrations.backup import back_up, backups_of, remove
from services.core.schema_version import (
    HEAD,
    REVISIONS,
    SchemaState,
    schema_state,
    this_version,
    writer_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.config import Config

log = structlog.get_logger(__name__)

SCRIPTS = Path(__file__).resolve().parent
# How long a migration waits for a table that nodes read, at a time and in all, and how long it lets them pass between.
_LOCK_MILLISECONDS, _BUSY_SECONDS, _PASS_SECONDS = 500, 60.0, 0.5


@dataclass(frozen=True, slots=True)
class SchemaUpgrade:
    """A migration that was done, and the copy from before it; `before` is empty where no revision was recorded."""

    before: str
    after: str
    seconds: float
    backup: Path | None


def open_schema(
    database: Database,
    begin: Callable[[], None] = lambda: None,
    *,
    beside: Callable[[Connection], object] | None = None,
) -> SchemaUpgrade | None:
    """Bring the main database to the schema of this version; return what was done, None where it had it or was new.

    Args:
        database: all modules with tables must have been imported.
        begin: called before a migration, which may take a while.
        beside: given where other nodes may use it meanwhile. Called in the transaction of a migration; raises
            ConflictError where one of them cannot work on what comes of it.

    Raises:
        ConflictError: a newer version has written the database, or `beside` raised it; nothing was changed.
        StorageError: it could not be migrated; it is as it was.
        UnavailableError: its tables are in use all the time; it is as it was.
    """
    state = _known_state(database, ahead=beside is not None)
    if state.is_ahead:
        log.info("schema of the next version, on which this one works as well", revision=state.revision, known=HEAD)
        return None
    if state.revision == HEAD:
        return None
    if not state.has_tables:
        database.create_tables()
        return None
    begin()
    started = time.monotonic()
    log.info("schema of an older version", revision=state.revision, newest=HEAD)
    file = database.path
    backup = back_up(database, file, _next(state.revision)) if file is not None else None
    try:
        _migrate(database, beside or (lambda _connection: None))
    except MillpondError:
        if backup is not None:
            remove(backup)
        raise
    done = SchemaUpgrade(state.revision, HEAD, time.monotonic() - started, backup)
    log.info("schema migrated", revision=HEAD, seconds=round(done.seconds, 2), backup=backup.name if backup else "")
    return done


def needs_upgrade(database: Database) -> bool:
    """Return whether an older version has written the database; nothing is changed.

    Raises:
        ConflictError: a newer one has.
    """
    state = _known_state(database)
    return state.has_tables and state.revision != HEAD


def script_config(connection: Connection, scripts: Path = SCRIPTS) -> Config:
    """Return Alembic's configuration for the scripts, on a connection."""
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s")
    return config


def require_schema(database: Database, connection: Connection) -> None:
    """Return if a node of this version may work on the database as it is now.

    Raises:
        ConflictError: a newer version has changed it so that it may not.
    """
    state = schema_state(connection)
    if not state.known and not state.is_ahead:
        raise _newer(database, state.revision, writer_of(connection, state.revision))


def _known_state(database: Database, *, ahead: bool = False) -> SchemaState:
    """Return the state of a database that this version can use or upgrade; `ahead`: or one that it can work on."""
    with database.read() as connection:
        state = schema_state(connection)
        if not state.known and not (ahead and state.is_ahead):
            raise _newer(database, state.revision, writer_of(connection, state.revision))
    return state


def _next(revision: str) -> str:
    return REVISIONS[REVISIONS.index(revision) + 1] if revision else REVISIONS[0]


def _migrate(database: Database, beside: Callable[[Connection], object]) -> None:
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            _migrate_once(database, beside)
        except DatabaseAwayError:
            if not database.shared or time.monotonic() > deadline:
                raise
            log.info("tables are in use; the migration lets others pass and tries again")
            time.sleep(_PASS_SECONDS)
        else:
            return


def _migrate_once(database: Database, beside: Callable[[Connection], object]) -> None:
    from alembic import command
    from alembic.util import CommandError

    try:
        with database.write() as connection, one_transaction(connection):
            beside(connection)
            command.upgrade(script_config(connection), HEAD)
    except (SQLAlchemyError, CommandError) as error:
        reason = str(getattr(error, "orig", None) or error)
        raise StorageError(
            _(
                "The database could not be brought to the schema of this version: {reason}. It is as it was before."
            ).format(reason=reason),
            _("End other programs that use the data folder and start again, or go on with the version before."),
        ) from error
    finally:
        # Those connections do not check foreign keys.
        database.engine.dispose()


@contextmanager
def one_transaction(connection: Connection) -> Iterator[None]:
    """Begin a transaction that holds statements of the schema, too, and in which tables can be made anew.

    Python's driver begins one before INSERT, UPDATE and DELETE alone. While foreign keys are checked, a table that
    others refer to could not be replaced: its end deletes its rows (https://www.sqlite.org/lang_altertable.html#otheralter).
    """
    if connection.dialect.name != "sqlite":
        # Whoever reads a table waits behind a migration that waits for it: nodes at work are held up so long at most.
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_LOCK_MILLISECONDS}")
        yield
        return
    connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    before = _references_to_nothing(connection)
    yield
    broken = _references_to_nothing(connection) - before
    if broken:
        raise StorageError(
            _("A migration would leave references to nothing ({tables}); the database is as it was before.").format(
                tables=listed(sorted(broken))
            ),
            _("Go on with the version before, and report this."),
        )


def _references_to_nothing(connection: Connection) -> Counter[str]:
    """Return how many rows of which tables refer to rows that are not there."""
    return Counter(str(row[0]) for row in connection.exec_driver_sql("PRAGMA foreign_key_check"))


def _newer(database: Database, revision: str, version: str) -> ConflictError:
    place = database.path or database.engine.url.render_as_string(hide_password=True)
    by = _("Millpond {version}").format(version=version) if version else _("a newer version of Millpond")
    this = this_version()
    copies = backups_of(database.path) if database.path is not None else []
    copy = _("the copy {name}, which is beside it,").format(name=copies[-1].name) if copies else _("a copy from before")
    known = _("This is version {version}").format(version=this) if this else _("This version is older")
    return ConflictError(
        _(
            "The database {path} was written by {writer}: its schema has the revision {revision}. {this}, which knows "
            "those up to {newest}. Nothing was changed."
        ).format(path=place, writer=by, revision=revision, this=known, newest=HEAD),
        _(
            "Start {writer} on it. To go back to this version, put {copy} in its place (docs/upgrades.md), or start on "
            "another data folder with --data-dir."
        ).format(writer=by, copy=copy),
    )
