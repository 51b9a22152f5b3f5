"""Small choices that outlive a restart: one JSON object under a key, for any service.

Nodes over one database share them; whoever keeps one in memory hears when another node has written it. What belongs to
a process by its nature is kept by each node for itself (`Preferences.own`): the settings of its garbage collector, and
when its memory budget last asked for a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.core.database import Database, metadata
from services.core.database.change_log import Topic, record

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
        self._listeners: dict[str, list[Callable[[], object]]] = {}

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the object stored under `key`, or None."""
        with self._database.read() as connection:
            return _stored(connection, self._kept_as(key))

    def set(self, key: str, value: Mapping[str, Any]) -> None:
        """Store `value` under `key` in place of what was there.

        Raises:
            StorageError: it could not be written; the old value is kept.
        """
        with self._database.write() as connection:
            self._write(connection, key, value)

    def get_or_set(self, key: str, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is stored under `key`; where nothing is, `value` is stored first. Errors as for `set`."""
        with self._database.write() as connection:
            stored = _stored(connection, self._kept_as(key))
            if stored is None:
                self._write(connection, key, value)
        return dict(value) if stored is None else stored

    def update(self, key: str, change: Callable[[dict[str, Any]], bool]) -> bool:
        """Store the object under `key`, `{}` without one, as `change` leaves it; return what that returns.

        False: nothing is stored. Nobody else writes meanwhile. Errors as for `set`.
        """
        with self._database.write() as connection:
            value = _stored(connection, self._kept_as(key)) or {}
            changed = change(value)
            if changed:
                self._write(connection, key, value)
        return changed

    def remove(self, key: str) -> None:
        """Delete what is stored under `key`, if anything."""
        with self._database.write() as connection:
            kept = self._kept_as(key)
            connection.execute(preferences.delete().where(preferences.c.key == kept))
            record(self._database, connection, Topic.SETTINGS, kept)

    def own(self) -> Preferences:
        """Return the preferences that this node keeps for itself; on its own those of all."""
        return _OwnPreferences(self._database) if self._database.node else self

    def on_changed(self, key: str, listener: Callable[[], object]) -> None:
        """Have `listener` called when another node has written what is under `key`, which is read anew then."""
        self._listeners.setdefault(key, []).append(listener)

    def follow(self, keys: Sequence[str]) -> None:
        """Call who keeps in memory what other nodes have written under these keys (`Topic.SETTINGS`)."""
        for key in dict.fromkeys(key for key in keys if isinstance(key, str)):  # the version before told lists, too
            for listener in self._listeners.get(key, ()):
                listener()

    def read_anew(self) -> None:
        """Call everybody who keeps something in memory: this node has missed what others wrote."""
        self.follow([*self._listeners])

    def _write(self, connection: Connection, key: str, value: Mapping[str, Any]) -> None:
        kept, stored = self._kept_as(key), dict(value)
        found = connection.execute(preferences.update().where(preferences.c.key == kept).values(value=stored))
        if not found.rowcount:
            connection.execute(preferences.insert().values(key=kept, value=stored))
        record(self._database, connection, Topic.SETTINGS, kept)

    def _kept_as(self, key: str) -> str:
        return key


class _OwnPreferences(Preferences):
    """Those of one node, under its number; what was stored before there were nodes counts until it stores its own."""

    def get(self, key: str) -> dict[str, Any] | None:
        with self._database.read() as connection:
            return _stored(connection, self._kept_as(key)) or _stored(connection, key)

    def _kept_as(self, key: str) -> str:
        return f"node {self._database.node}: {key}"


def _stored(connection: Connection, key: str) -> dict[str, Any] | None:
    value = connection.scalar(sa.select(preferences.c.value).where(preferences.c.key == key))
    return value if isinstance(value, dict) else None
