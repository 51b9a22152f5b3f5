"""SQLite's write-ahead log where Litestream copies it (https://litestream.io): Litestream makes the checkpoints.

It holds a transaction open so that nobody else empties the log before it has read it. Checkpoints that others make
change pages without their checksums (`page_checksums.py`): there are none then.
"""

from __future__ import annotations

from pathlib import Path

import structlog
from sqlalchemy.engine import Engine

from services.core.machine import MEGABYTE

log = structlog.get_logger(__name__)

# Beyond this Litestream has not been at work for long: it checkpoints after 4 MB, or each minute.
LONG_BYTES = 256 * MEGABYTE


class ReplicatedLog:
    """Moves the log into the file only where it has become very long, as Litestream is not there.

    Litestream notices that the log began anew without it, and copies the whole database then.
    """

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._path: Path | None = None
        self._next = LONG_BYTES

    def open(self, engine: Engine, path: Path | None) -> None:
        """Begin to watch the log of a database."""
        self._engine, self._path = engine, path and path.with_name(f"{path.name}-wal")

    def after_write(self) -> None:
        """Move the log into the file if it has become very long; nobody else writes meanwhile.

        Raises:
            OSError, sqlite3.Error: it cannot be read or moved.
        """
        if self._engine is None or self._path is None:
            return
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return
        if size < self._next:
            return
        log.warning("the log of the database has become long; is Litestream at work?", size_bytes=size)
        connection = self._engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute("PRAGMA busy_timeout=0").fetchall()
            busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        finally:
            connection.invalidate()  # it has another time limit than the others
        self._next = size + LONG_BYTES if busy else LONG_BYTES
