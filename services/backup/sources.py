"""What a backup is made of, wherever that is kept: the database as of one moment, and originals by their names."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from services.backup.copied_database import OriginalFile, originals_of
from services.backup.destination import BLOCK_BYTES
from services.backup.manifest import SQLITE
from services.core.database.copy import copy_database, one_state
from services.core.errors import StorageError
from services.core.i18n import _
from services.core.machine import MEGABYTE

_PAGES_AT_ONCE = 256  # 1 MB
Step = Callable[[int], None]
"""Called with how many bytes were read since; it rests, and ends the work by raising."""


class GoneError(Exception):
    """An original is not there."""


class BackupDatabase(Protocol):
    """The main database of a pond."""

    @property
    def engine(self) -> str:
        """What it is: sqlite or postgresql."""

    def exists(self) -> bool:
        """Return whether there is one."""

    def size(self) -> int:
        """Return about how many bytes it has."""

    def originals(self, *, alone: bool) -> list[OriginalFile]:
        """Return the originals that revisions refer to now, each once."""

    def copy(self, target: Path, step: Step, *, alone: bool) -> None:
        """Write one state of it into a file of SQLite.

        Args:
            target: the file. What is there is replaced, or brought up to date where the engine is PostgreSQL: it is a
                copy from before.
            step: called again and again.
            alone: no other process can open the database meanwhile.

        Raises:
            StorageError: it cannot be copied.
            UnavailableError: its server does not answer.
        """


class BackupOriginals(Protocol):
    """Where the originals of a pond are kept."""

    def content(self, stored: str) -> Iterator[bytes]:
        """Yield the content of an original.

        Raises:
            GoneError: it is not there.
            StorageError: it cannot be read.
            UnavailableError: the place does not answer.
        """


class FileDatabase:
    """A database of SQLite."""

    engine = SQLITE

    def __init__(self, path: Path) -> None:
        self._path = path

    def exists(self) -> bool:
        return self._path.exists()

    def size(self) -> int:
        return self._path.stat().st_size

    def originals(self, *, alone: bool) -> list[OriginalFile]:
        with reading_errors(), one_state(self._path, alone=alone) as live:
            return originals_of(live)

    def copy(self, target: Path, step: Step, *, alone: bool) -> None:
        remaining = 0

        def progress(left: int, _all: int) -> None:
            nonlocal remaining
            step(max(0, remaining - left) * 4096 or MEGABYTE)
            remaining = left

        with reading_errors(), one_state(self._path, alone=alone) as source:
            copy_database(source, target, pages=_PAGES_AT_ONCE, progress=progress)


class FolderOriginals:
    """Originals in a folder; a name that is a link is not followed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def content(self, stored: str) -> Iterator[bytes]:
        location = self._folder / stored[:2] / stored
        try:
            descriptor = os.open(location, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise GoneError from error
        except OSError as error:
            raise unreadable(location, error) from error
        with os.fdopen(descriptor, "rb") as file:
            while block := self._block(file.read, location):
                yield block

    @staticmethod
    def _block(read: Callable[[int], bytes], path: Path) -> bytes:
        try:
            return read(BLOCK_BYTES)
        except OSError as error:
            raise unreadable(path, error) from error


@contextmanager
def reading_errors() -> Iterator[None]:
    """Turn errors of SQLite into StorageError."""
    try:
        yield
    except sqlite3.Error as error:
        raise StorageError(
            _("The database cannot be copied: {reason}. Backups from before are whole.").format(reason=error),
            _("Look at the health checks and the log: the database or the disk has a problem."),
        ) from error


def unreadable(path: Path, error: OSError) -> StorageError:
    """Return the error for a file that cannot be read."""
    return StorageError(
        _("{path} cannot be read: {reason}. Backups from before are whole.").format(
            path=path, reason=error.strerror or error
        ),
        _("Check the permissions of the data folder and its files."),
    )
