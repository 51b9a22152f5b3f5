"""What a database says of itself: which originals it refers to, counts, its schema, and whether it is sound.

It is asked of the copy that a backup has, not of what is at work, and of tables as any version may have made them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.core.errors import DamagedError, MillpondError
from services.core.i18n import _

COUNTS = {
    "documents": "SELECT count(*) FROM documents"
    " WHERE newest_revision_id IS NOT NULL OR active_revision_id IS NOT NULL",  # the others are being deleted
    "revisions": "SELECT count(*) FROM revisions",
    "chunks": "SELECT count(*) FROM chunks",
    "conversations": "SELECT count(*) FROM conversations",
    "people": "SELECT count(*) FROM people",
}
# Either database takes it.
ORIGINALS = "SELECT DISTINCT stored, size_bytes, sha256 FROM revisions WHERE stored != '' ORDER BY stored"
_STEPS_PER_CALL = 20_000  # of SQLite's machine, some milliseconds


@dataclass(frozen=True, slots=True)
class OriginalFile:
    """An original that revisions refer to: its name in the file store, its size and hash."""

    stored: str
    size: int
    sha256: str

    @property
    def path(self) -> str:
        """Where it is in the data folder."""
        return f"files/{self.stored[:2]}/{self.stored}"


@contextmanager
def opened_copy(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database that nobody changes; nothing is written beside it."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as connection:
        yield connection


def originals_of(connection: sqlite3.Connection) -> list[OriginalFile]:
    """Return the originals that revisions refer to, each once."""
    rows = connection.execute(ORIGINALS)
    return [OriginalFile(str(stored), int(size), str(sha256)) for stored, size, sha256 in rows]


def counts_of(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the counts that a manifest has; 0 of what the version that made the database did not have."""
    tables = {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    return {
        name: int(connection.execute(query).fetchone()[0]) if name in tables else 0 for name, query in COUNTS.items()
    }


def schema_of(connection: sqlite3.Connection) -> str:
    """Return the revision of the schema, "" where none is recorded."""
    try:
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:
        return ""
    return str(found[0]) if found else ""


def require_sound(connection: sqlite3.Connection, rest: Callable[[], None]) -> None:
    """Have SQLite check a database (quick_check); `rest` is called again and again, and may end it by raising.

    Raises:
        DamagedError: it is damaged.
    """
    failure: list[MillpondError] = []

    def step() -> int:
        try:
            rest()
        except MillpondError as error:
            failure.append(error)
            return 1
        return 0

    connection.set_progress_handler(step, _STEPS_PER_CALL)
    try:
        found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.DatabaseError as error:
        if failure:
            raise failure[0] from error
        found = [str(error)]
    finally:
        connection.set_progress_handler(None, 0)
    if found != ["ok"]:
        raise DamagedError(_("SQLite finds the database damaged: {reason}.").format(reason="; ".join(found)))
