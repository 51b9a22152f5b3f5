"""Small choices that outlive a restart: one JSON object under a key, for any service."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from services.core.database import Database, metadata

preferences = sa.Table(
    "preferences",
    metadata,
    sa.Column("key", sa.String(200), primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
)


class Preferences:
    """Reads and writes one JSON object a key. Thread-safe; a written value is on disk when `set` returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the object stored under `key`, or None."""
        with self._database.read() as connection:
            value = connection.scalar(sa.select(preferences.c.value).where(preferences.c.key == key))
        return value if isinstance(value, dict) else None

    def set(self, key: str, value: dict[str, Any]) -> None:
        """Store `value` under `key` in place of what was there.

        Raises:
            StorageError: it could not be written; the old value is kept.
        """
        with self._database.write() as connection:
            found = connection.execute(preferences.update().where(preferences.c.key == key).values(value=value))
            if not found.rowcount:
                connection.execute(preferences.insert().values(key=key, value=value))

    def remove(self, key: str) -> None:
        """Delete what is stored under `key`, if anything."""
        with self._database.write() as connection:
            connection.execute(preferences.delete().where(preferences.c.key == key))
