"""The table of events, and the statements over it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from services.database import Database, metadata
from services.errors import StorageError
from services.reporting import EventKind
from services.texts import _

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("time", sa.Float, nullable=False, index=True),  # seconds since 1970, UTC
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("figures", sa.JSON, nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
)


class EventStore:
    """What has happened, newest `kept` events."""

    def __init__(self, database: Database, kept: int) -> None:
        self._database = database
        self._kept = kept

    def last_id(self) -> int:
        """Return the id of the newest event, 0 without one."""
        with self._database.read() as connection:
            return int(connection.scalar(sa.select(sa.func.max(events.c.id))) or 0)

    def insert(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write events that are in the order of their ids, but none twice, and let go of the oldest.

        Raises:
            StorageError: none of them could be written.
        """
        try:
            with self._database.write() as connection:
                known = set(
                    connection.scalars(sa.select(events.c.id).where(events.c.id.in_([row["id"] for row in rows])))
                )
                fresh = [row for row in rows if row["id"] not in known]
                if fresh:
                    connection.execute(events.insert(), fresh)
                connection.execute(events.delete().where(events.c.id <= rows[-1]["id"] - self._kept))
        except SQLAlchemyError as error:
            raise StorageError(_("The events could not be written.")) from error

    def newest(
        self, start: float, end: float, limit: int, kinds: Collection[EventKind] = tuple(EventKind)
    ) -> Sequence[Mapping[str, Any]]:
        """Return the newest `limit` events of these kinds from `start` to `end`, newest first."""
        query = (
            sa.select(events)
            .where(events.c.time.between(start, end), events.c.kind.in_(kinds))
            .order_by(events.c.time.desc(), events.c.id.desc())
            .limit(limit)
        )
        with self._database.read() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def last(self, kinds: Collection[EventKind] = tuple(EventKind)) -> Mapping[str, Any] | None:
        """Return the event that was written last, of these kinds."""
        query = sa.select(events).where(events.c.kind.in_(kinds)).order_by(events.c.id.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else dict(row)
