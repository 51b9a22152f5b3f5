"""Copies of an SQLite database that is in use, made by SQLite itself (https://www.sqlite.org/backup.html)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from services.core.errors import ConflictError
from services.core.i18n import _
from services.core.private_files import create_file

PAGES_AT_ONCE = 2048  # 8 MB; other threads run in between


def copy_database(
    source: sqlite3.Connection,
    target: Path,
    *,
    pages: int = PAGES_AT_ONCE,
    progress: Callable[[int, int], None] = lambda _remaining, _total: None,
) -> None:
    """Copy a database, with what is in its write-ahead log, into a private file.

    Args:
        source: the database.
        target: the file; what is there is replaced.
        pages: how many are copied between two calls of `progress`.
        progress: called with the number of pages that remain and of all; what it raises ends the copy.

    Raises:
        sqlite3.Error, OSError: it cannot be read or written; a part of the copy may be left.
    """
    create_file(target).close()
    with closing(sqlite3.connect(target)) as copy:
        source.backup(copy, pages=pages, progress=lambda _status, remaining, total: progress(remaining, total))
        # It stands alone, without a log beside it.
        copy.execute("PRAGMA journal_mode=DELETE").fetchall()


@contextmanager
def one_state(path: Path, *, alone: bool) -> Iterator[sqlite3.Connection]:
    """Open a database for reading and see one state of it to the end, while others write.

    Args:
        path: its file.
        alone: nobody else can open it meanwhile: it is read also without the log that a process at work has.

    Raises:
        ConflictError: it is just being opened or closed by another process.
        sqlite3.Error: it cannot be read.
    """
    if path.with_name(f"{path.name}-wal").exists():
        mode = "mode=ro"
    elif alone:
        mode = "immutable=1"
    else:
        raise ConflictError(
            _("The database {path} is just being opened or closed; nothing was copied.").format(path=path),
            _("Try again in a moment."),
        )
    address = f"file:{quote(str(path.absolute()))}?{mode}"
    with closing(sqlite3.connect(address, uri=True, timeout=10.0, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        # From here on the state is that of now: a copy of it does not begin anew when somebody writes.
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        yield connection
