"""Which files on the local disk have the bytes that they should have: read once, and again when they changed."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

_MOST_KNOWN = 1024


class CheckedFiles:
    """Remembers what was compared with its hash. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sound: dict[str, tuple[int, int, int]] = {}

    def is_sound(self, path: Path, sha256: str) -> bool:
        """Return whether a file has this hash (in hex).

        Raises:
            OSError: it is gone (FileNotFoundError), or cannot be read.
        """
        state = _state(path)
        if self._sound.get(path.name) == state:
            return True
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                return False
        self._remember(path.name, state)
        return True

    def record(self, path: Path) -> None:
        """Record that a file was compared while it was written."""
        self._remember(path.name, _state(path))

    def _remember(self, name: str, state: tuple[int, int, int]) -> None:
        with self._lock:
            if len(self._sound) >= _MOST_KNOWN:
                self._sound.clear()
            self._sound[name] = state


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino
