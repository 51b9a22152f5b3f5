"""Originals from S3 on the local disk: some megabytes of them, those that were used last."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from services.core.private_files import make_folder
from services.knowledge.files.checked_files import CheckedFiles

_GRACE_SECONDS = 60.0  # for who opens a file a moment after it was found


class OriginalCache:
    """The files of a folder, at most `most` bytes of them; those in use stay, however many. Thread-safe.

    The time of its last use is a file's time of access, so that the order outlives a restart.
    """

    def __init__(self, folder: Path, most: int, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._most = most
        self._clock = clock
        self._checked = CheckedFiles()
        self._lock = threading.Lock()
        self._uses: dict[str, int] = {}
        self._bytes = 0
        self._files: OrderedDict[str, tuple[int, float]] = OrderedDict()  # bytes and last use, by name
        make_folder(folder)
        found = [(path, path.stat()) for path in folder.iterdir()]
        for path, state in sorted(found, key=lambda each: each[1].st_atime):
            self._files[path.name] = (state.st_size, state.st_atime)
            self._bytes += state.st_size
        self._make_room()

    @property
    def size(self) -> int:
        """How many bytes of files there are."""
        return self._bytes

    def names(self) -> list[str]:
        """Return the names of all files."""
        with self._lock:
            return list(self._files)

    @contextmanager
    def using(self, name: str) -> Iterator[None]:
        """Keep a file, once it is there, until the end of the context."""
        with self._lock:
            self._uses[name] = self._uses.get(name, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                self._uses[name] -= 1
                if not self._uses[name]:
                    del self._uses[name]
            self._make_room()

    def sound(self, name: str, sha256: str) -> Path | None:
        """Return the path of a file whose bytes have this hash; one that has another is removed.

        Raises:
            OSError: it cannot be read.
        """
        path = self._folder / name
        try:
            if self._checked.is_sound(path, sha256):
                self._touch(path)
                return path
        except FileNotFoundError:
            return None
        self.remove(name)
        return None

    def adopt(self, path: Path, name: str) -> Path:
        """Take a file in whose bytes were compared while they were written; return its path."""
        target = self._folder / name
        path.replace(target)
        self._checked.record(target)
        self._touch(target)
        self._make_room()
        return target

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is no error."""
        with self._lock:
            self._bytes -= self._files.pop(name, (0, 0.0))[0]
            with suppress(OSError):
                (self._folder / name).unlink(missing_ok=True)

    def _touch(self, path: Path) -> None:
        """Record that a file is used."""
        state, now = path.stat(), self._clock()
        with suppress(OSError):  # then the order is lost with a restart
            os.utime(path, ns=(int(now * 1e9), state.st_mtime_ns))
        with self._lock:
            self._bytes += state.st_size - self._files.get(path.name, (0, 0.0))[0]
            self._files[path.name] = (state.st_size, now)
            self._files.move_to_end(path.name)

    def _make_room(self) -> None:
        """Remove what was not used for longest until the rest fits."""
        with self._lock:
            now = self._clock()
            for name, (size, used) in list(self._files.items()):
                if self._bytes <= self._most:
                    return
                if name in self._uses or 0 <= now - used < _GRACE_SECONDS:
                    continue
                with suppress(OSError):
                    (self._folder / name).unlink(missing_ok=True)
                    del self._files[name]
                    self._bytes -= size
