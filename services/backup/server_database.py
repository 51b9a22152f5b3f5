"""A database of PostgreSQL as a backup reads it: in one transaction, into a file of SQLite.

SQLAlchemy's dialects are imported here: only a pond on PostgreSQL needs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from services.backup.copied_database import ORIGINALS, OriginalFile
from services.backup.manifest import POSTGRESQL
from services.backup.sources import Step
from services.core.database import Database
from services.core.database.mirror import make_standalone, mirror_tables, server_bytes
from services.core.errors import ConflictError
from services.core.i18n import _
from services.core.schema_version import HEAD, schema_state


class ServerDatabase:
    """A database by its URL; all modules with tables must have been imported. It is connected to while it is read."""

    engine = POSTGRESQL

    def __init__(self, url: str) -> None:
        self._url = url

    def exists(self) -> bool:
        """Return whether there is a pond in it."""
        with self._opened() as database, database.read() as connection:
            return schema_state(connection).has_tables

    def size(self) -> int:
        with self._opened() as database:
            return server_bytes(database)

    def originals(self, *, alone: bool) -> list[OriginalFile]:  # noqa: ARG002 - beside any writer
        with self._opened() as database, database.read() as connection:
            rows = connection.exec_driver_sql(ORIGINALS).all()
        return [OriginalFile(str(stored), int(size), str(sha256)) for stored, size, sha256 in rows]

    def copy(self, target: Path, step: Step, *, alone: bool) -> None:  # noqa: ARG002 - as above
        with (
            self._opened() as database,
            closing(Database(f"sqlite:///{target}", synchronous="NORMAL", connections=1)) as copy,
        ):
            with database.read() as connection:
                schema = schema_state(connection).revision
            if schema != HEAD:
                raise ConflictError(
                    _("The database has the schema {schema}, and this version knows {own}; nothing was copied.").format(
                        schema=schema or "-", own=HEAD
                    ),
                    _("Back it up with the version of Millpond that serves it."),
                )
            copy.create_tables()
            mirror_tables(database, copy, step)
            make_standalone(copy)

    @contextmanager
    def _opened(self) -> Iterator[Database]:
        """Connect to it, as no node: nothing is written."""
        with closing(Database(self._url, connections=1)) as database:
            yield database
