"""Files that a file brings while it is parsed: each goes to the file store piece by piece, and waits there until the
file that brought it is stored.

Until then no row refers to them: if the file fails, is cancelled, or the process ends, they are deleted.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.knowledge.files.file_store import FileStore
from services.knowledge.files.incoming import IncomingFile
from services.knowledge.files.stored_file import StoredFile


@dataclass(slots=True)
class WaitingAttachment:
    """A file on disk that no row refers to yet: its name as its sender chose it; `keep` once a row does."""

    name: str
    incoming: IncomingFile
    file: StoredFile
    keep: bool = False


class WaitingAttachments:
    """The files that one file brought. Thread-safe: who cancels a job may do so while it is being stored."""

    def __init__(self, files: FileStore) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._waiting: list[WaitingAttachment] = []
        self._current: tuple[str, IncomingFile] | None = None

    def begin(self, name: str) -> None:
        """Begin a file called `name` by its sender.

        Raises:
            StorageError: too little disk space is free.
            FilesUnavailableError: originals cannot be stored at present.
        """
        self._current = name, self._files.create()

    def write(self, data: bytes) -> None:
        """Append to the file.

        Raises:
            StorageError: the disk is full.
            TooLargeError: it is larger than a file may be.
        """
        if self._current is not None:
            self._current[1].write(data)

    def end(self, *, keep: bool) -> None:
        """End the file, or drop it.

        Raises:
            FilesUnavailableError: originals cannot be stored at present.
        """
        if self._current is None:
            return
        name, incoming = self._current
        if keep:
            waiting = WaitingAttachment(name, incoming, incoming.finish())
            with self._lock:
                self._waiting.append(waiting)
        else:
            _release(incoming, keep=False)
        self._current = None

    def hashes(self) -> list[str]:
        """Return the hashes of the complete files."""
        with self._lock:
            return [waiting.file.sha256 for waiting in self._waiting]

    def reset(self) -> None:
        """Drop the file that has begun, and all others; only for the thread that receives them."""
        if self._current is not None:
            _release(self._current[1], keep=False)
            self._current = None
        self.drop()

    def drop(self) -> None:
        """Drop all complete files that nobody has claimed."""
        for waiting in self._claim():
            _release(waiting.incoming, keep=False)

    @contextmanager
    def claimed(self) -> Iterator[list[WaitingAttachment]]:
        """Yield the files; at the end those stay of which `keep` is set. After an error they wait as before."""
        files = self._claim()
        try:
            yield files
        except BaseException:
            with self._lock:
                self._waiting = files
            raise
        for waiting in files:
            _release(waiting.incoming, keep=waiting.keep)

    def _claim(self) -> list[WaitingAttachment]:
        with self._lock:
            waiting, self._waiting = self._waiting, []
            return waiting


def _release(incoming: IncomingFile, *, keep: bool) -> None:
    if not keep:
        incoming.discard()
    incoming.__exit__(None, None, None)
