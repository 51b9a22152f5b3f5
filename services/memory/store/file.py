"""The history file as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from services.database import Database
from services.errors import StorageError
from services.memory.points import Points
from services.memory.ring import Rows
from services.memory.store import blocks, journal
from services.memory.store.tables import assign_names, fact, schema, set_fact
from services.memory.tiers import HOURS, Tier
from services.memory.types import COLUMNS
from services.texts import _


class HistoryStore:
    """Reads and writes the file. Every method raises a MillpondError when that cannot be done; nothing is half done."""

    def __init__(self, path: Path, capacity: int) -> None:
        """Open the file and begin a new run; `capacity` is how many seconds the journal keeps."""
        self._capacity = capacity
        # A power cut may cost the last seconds of a curve, so NORMAL is enough: it spares a sync every ten seconds.
        self._database = Database(
            sa.URL.create("sqlite", database=str(path)),
            schema=schema,
            synchronous="NORMAL",
            cache_kb=512,
            connections=2,
            patience=1.0,
        )
        with _trouble():
            self._database.create_tables()
            with self._database.write() as connection:
                self._ids = assign_names(connection)
                self.run = fact(connection, "run") + 1
                set_fact(connection, "run", self.run)
                self.merged = fact(connection, "merged")

    def close(self) -> None:
        self._database.close()

    def rows(self) -> Rows:
        """Return the journal."""
        with _trouble(), self._database.read() as connection:
            return journal.read(connection, self._ids, self._capacity)

    def write(self, rows: Rows, merged: Sequence[tuple[Tier, Points]], merged_to: int) -> None:
        """Put `rows` into the journal and points into their blocks, all or nothing.

        `merged_to` is the number of the first row that is in no block yet.
        """
        with _trouble(), self._database.write() as connection:
            journal.write(connection, rows, self._ids, self._capacity)
            for tier, points in merged:
                blocks.patch(connection, tier, points, self._ids)
            if merged:
                set_fact(connection, "merged", merged_to)

    def read(self, tier: Tier, start: float, end: float, pieces: Sequence[Sequence[int]]) -> Iterator[Points]:
        """Yield the points of a tier with `start <= time <= end`, one piece of the columns after the other.

        A piece holds places in COLUMNS. All pieces are of one state of the file: the same points in each.
        """
        ids = [[self._ids[COLUMNS[column]] for column in piece] for piece in pieces]
        with _trouble(), self._database.read() as connection:
            connection.exec_driver_sql("BEGIN")
            yield from blocks.read(connection, tier, start, end, ids)

    def oldest(self, before: float) -> float | None:
        """Return the time of the oldest point that still counts at `before`, None when there is none."""
        (points,) = self.read(HOURS, before - HOURS.reach, before, [()])
        return float(points.times[0]) if len(points) else None


@contextmanager
def _trouble() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise StorageError(_("The memory history on disk could not be read or written.")) from error
