"""Keys that Millpond makes for itself and keeps in the preferences: the same at all nodes, and after a restart."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from services.core.database import Database
from services.core.preferences import Preferences

_BYTES = 32


class KeptKey:
    """A key by its name, made when it is first needed. Thread-safe."""

    def __init__(self, preferences: Preferences, name: str) -> None:
        self._preferences = preferences
        self._name = name
        self._key = b""

    def read(self) -> bytes:
        """Return it.

        Raises:
            StorageError: it cannot be stored.
        """
        if not self._key:
            stored = self._preferences.get(self._name)
            if stored is None:  # another node may be making it as well
                stored = self._preferences.get_or_set(self._name, {"key": secrets.token_hex(_BYTES)})
            self._key = bytes.fromhex(stored["key"])
        return self._key


def key_of_nodes(database: Database, preferences: Preferences, name: str) -> Callable[[], bytes]:
    """Return what returns a key: at several nodes the same, else this process's own, which ends with it."""
    if database.node:
        return KeptKey(preferences, name).read
    own = secrets.token_bytes(_BYTES)
    return lambda: own
