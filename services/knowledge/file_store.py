"""The store of original files on disk, under random names.

A file is streamed in, hashed on the way and fsynced together with its folder; only then may a row refer to it. A file
that no row refers to is left over from an interrupted upload and is deleted at the next start.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import structlog

from services.core.errors import DamagedError, MillpondError, NotFoundError, StorageError, TooLargeError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.core.private_files import create_file, make_folder
from services.core.settings import Settings

log = structlog.get_logger(__name__)

_MOST_VERIFIED = 1024
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A durable file: its name in the store, its size and the sha256 of its bytes in hex."""

    stored: str
    size_bytes: int
    sha256: str


class IncomingFile:
    """A file being written. A context manager: unless `finish` was reached, nothing is left behind."""

    def __init__(self, store: FileStore, stored: str, limit_bytes: int) -> None:
        self._store = store
        self._stored = stored
        self._limit = limit_bytes
        self._hash = hashlib.sha256()
        self._size = 0
        self._keep = False
        self._path = store.location(stored)
        with disk_errors():
            if not self._path.parent.is_dir():
                make_folder(self._path.parent)
                _sync(self._path.parent.parent)
            self._file: BinaryIO = create_file(self._path, exclusive=True)

    def write(self, data: bytes) -> None:
        """Append `data`.

        Raises:
            TooLargeError: the file grew beyond the limit.
            StorageError: the disk is full or refuses.
        """
        self._size += len(data)
        if self._size > self._limit:
            raise TooLargeError(
                _("The file is larger than {limit} MB and was not accepted.").format(limit=self._limit // MEGABYTE),
                _("Split it, or raise the limit (MILLPOND_UPLOAD_LIMIT_MB)."),
            )
        self._hash.update(data)
        with disk_errors():
            self._file.write(data)

    def finish(self) -> StoredFile:
        """Make the file durable and return its name, size and hash."""
        with disk_errors():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            _sync(self._path.parent)
        self._keep = True
        return StoredFile(self._stored, self._size, self._hash.hexdigest())

    def discard(self) -> None:
        """Mark the file as not needed: it is deleted at the end of the context."""
        self._keep = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Until here `sweep` spares the file, although no row may refer to it yet.
        with suppress(OSError):  # a file that cannot be flushed is deleted anyway
            self._file.close()
        if not self._keep or kind is not None:
            self._store.remove([self._stored])
        self._store.release(self._stored)


class FileStore:
    """The folder of originals. Thread-safe; names are random, so two uploads never collide."""

    def __init__(self, directory: Path, settings: Settings) -> None:
        self._directory = directory
        self._settings = settings
        self._incoming: set[str] = set()
        self._verified: dict[str, tuple[int, int, int]] = {}
        self._lock = threading.Lock()
        with disk_errors():
            make_folder(directory)

    def create(self) -> IncomingFile:
        """Create a file to write to.

        Raises:
            StorageError: less disk space is free than the settings ask for.
        """
        reason = self.shortage()
        if reason:
            raise StorageError(reason, _("Free some disk space, then add the file again."))
        stored = secrets.token_hex(16)
        with self._lock:
            self._incoming.add(stored)
        try:
            return IncomingFile(self, stored, self._settings.upload_limit_bytes)
        except MillpondError:
            self.release(stored)
            raise

    def release(self, stored: str) -> None:
        """End the protection of an incoming file from `sweep`."""
        with self._lock:
            self._incoming.discard(stored)

    def shortage(self) -> str:
        """Return a message when less disk space is free than the reserve, else an empty text."""
        free_mb = shutil.disk_usage(self._directory).free // MEGABYTE
        if free_mb >= self._settings.free_disk_mb:
            return ""
        return _("Only {free} MB of disk space are free; {needed} MB are kept in reserve.").format(
            free=free_mb, needed=self._settings.free_disk_mb
        )

    def location(self, stored: str) -> Path:
        """Return the path for a stored name, whether the file exists or not."""
        return self._directory / stored[:2] / stored

    def path(self, stored: str) -> Path:
        """Return the path of an existing original.

        Raises:
            NotFoundError: it was not kept, or is gone.
        """
        location = self.location(stored)
        if not stored or not location.is_file():
            raise NotFoundError(
                _("The original file does not exist any more."), _("Add the file again to process it again.")
            )
        return location

    def verified(self, stored: str, sha256: str) -> Path:
        """Return the path of an original whose bytes are those that were stored: read once, and again when it changed.

        Raises:
            NotFoundError: it was not kept, or is gone.
            DamagedError: its bytes are others.
            StorageError: it cannot be read.
        """
        path = self.path(stored)
        try:
            found = path.stat()
            state = (found.st_mtime_ns, found.st_size, found.st_ino)
            if self._verified.get(stored) == state:
                return path
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise StorageError(
                _("The original {path} cannot be read: {reason}.").format(path=path, reason=error.strerror),
                _("Check the permissions of the data folder and its files."),
            ) from error
        if digest != sha256:
            raise DamagedError(
                _("The original {path} is damaged; it was left as it is.").format(path=path),
                _("Put the file back from a copy of the data folder, or add the document again."),
            )
        with self._lock:
            if len(self._verified) >= _MOST_VERIFIED:
                self._verified.clear()
            self._verified[stored] = state
        return path

    def remove(self, names: Collection[str]) -> None:
        """Delete originals; missing ones are no error, and one that cannot be deleted is swept at the next start."""
        for name in names:
            try:
                self.location(name).unlink(missing_ok=True)
            except OSError as error:
                log.warning("original not deleted", stored=name, reason=error.strerror)

    def sweep(self, known: Callable[[], Collection[str]]) -> int:
        """Delete every file that is neither known nor incoming; return how many.

        `known` is called after the folder was read: an upload that ends in between is either still incoming or already
        known.
        """
        found = [path.name for path in self._directory.glob("??/*")]
        with self._lock:
            incoming = set(self._incoming)
        keep = incoming.union(known())
        orphans = [name for name in found if name not in keep]
        self.remove(orphans)
        return len(orphans)


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn errors of the disk into `StorageError` with a hint."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_ERRORS and not isinstance(error, PermissionError):
            raise
        raise StorageError(
            _("The file could not be stored: {reason}. Nothing of it was kept.").format(reason=error.strerror),
            _("Free some disk space or check the data folder's permissions, then try again."),
        ) from error


def _sync(folder: Path) -> None:
    """Make new names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
