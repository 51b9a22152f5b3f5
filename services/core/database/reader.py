"""Reading a database that another process may have open: a server at work, or a folder that nobody serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError

from services.core.errors import MillpondError, StorageError
from services.core.i18n import _


class DatabaseReader:
    """Reads a database: nothing of it is created, changed, checked against its checksums, or locked."""

    def __init__(self, url: str) -> None:
        parsed = sa.make_url(url)
        file = parsed.database
        if parsed.get_backend_name() == "sqlite" and file:
            path = Path(str(file)).absolute()
            log_file = path.with_name(f"{path.name}-wal")
            # Beside a log it is read with the log; without one SQLite would leave an empty log there.
            mode = {"mode": "ro"} if log_file.exists() else {"immutable": "1"}
            parsed = parsed.set(database=f"file:{quote(str(path))}", query={**mode, "uri": "true"})
        self._error_of: Callable[[DatabaseError], MillpondError | None] = lambda _error: None
        if parsed.get_backend_name() == "postgresql":
            from services.core.database.postgres import connect_arguments, error_of

            self._error_of = error_of
            self._engine = sa.create_engine(
                parsed,
                poolclass=sa.NullPool,
                connect_args=connect_arguments(parsed),
                isolation_level="REPEATABLE READ",
            )
        else:
            self._engine = sa.create_engine(parsed, poolclass=sa.NullPool)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection for reading.

        Raises:
            StorageError: there is no such database, or it cannot be read.
            UnavailableError: its server does not answer.
        """
        try:
            with self._engine.connect() as connection:
                yield connection
        except DatabaseError as error:
            meant = self._error_of(error)
            if meant is not None:
                raise meant from error
            raise StorageError(
                _("The database cannot be read: {reason}.").format(reason=error.orig),
                _("Check the path of the data folder, and who may read it."),
            ) from error
