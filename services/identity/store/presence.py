"""Whether there are accounts, as a database says before it is opened: where the console may listen hangs on it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from services.core.errors import StorageError

_SECONDS = 2.0  # another process may be writing
_SQLITE = "sqlite:///"


def has_accounts(url: str) -> bool:
    """Return whether a database has an account; False where there is none yet, or its file cannot be read.

    Raises:
        UnavailableError: the server of the database does not answer.
    """
    if not url.startswith(_SQLITE):
        return _on_server(url)
    database = Path(url.removeprefix(_SQLITE).partition("?")[0])
    if not database.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=_SECONDS)) as opened:
            return opened.execute("SELECT 1 FROM people LIMIT 1").fetchone() is not None
    except sqlite3.Error:  # a version without accounts; whoever opens the database says what is wrong with it
        return False


def _on_server(url: str) -> bool:
    # The main database is opened with the same libraries right afterwards; beside a file they are not needed for this.
    import sqlalchemy as sa

    from services.core.database.reader import DatabaseReader

    try:
        with DatabaseReader(url).read() as connection:
            return connection.scalar(sa.text("SELECT 1 FROM people LIMIT 1")) is not None
    except StorageError:  # as above
        return False
