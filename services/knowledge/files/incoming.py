"""A file on its way into the store: written to the local disk piece by piece, hashed on the way, then accepted."""

from __future__ import annotations

import errno
import hashlib
import secrets
import shutil
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from services.core.errors import MillpondError, StorageError, TooLargeError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.core.private_files import create_file, make_folder
from services.core.settings import Settings
from services.knowledge.files.stored_file import StoredFile

FOLDER = "incoming"
NAMES_AT_ONCE = 500
Known = Callable[[Collection[str]], Collection[str]]
"""Returns those of some names that are known."""
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG})


class IncomingFile:
    """A file being written. A context manager: unless `finish` was reached, nothing is left behind."""

    def __init__(self, incoming: IncomingFolder, path: Path) -> None:
        self._incoming = incoming
        self._path = path
        self._hash = hashlib.sha256()
        self._size = 0
        self._stored = ""
        self._keep = False
        with disk_errors():
            self._file: BinaryIO = create_file(path, exclusive=True)

    def write(self, data: bytes) -> None:
        """Append `data`.

        Raises:
            TooLargeError: the file grew beyond the limit.
            StorageError: the disk is full or refuses.
        """
        self._size += len(data)
        if self._size > self._incoming.limit:
            raise TooLargeError(
                _("The file is larger than {limit} MB and was not accepted.").format(
                    limit=self._incoming.limit // MEGABYTE
                ),
                _("Split it, or raise the limit (MILLPOND_UPLOAD_LIMIT_MB)."),
            )
        self._hash.update(data)
        with disk_errors():
            self._file.write(data)

    def finish(self) -> StoredFile:
        """Make the file durable in the store and return its name, size and hash.

        Raises:
            StorageError: the disk is full or refuses.
            FilesUnavailableError: originals cannot be stored at present; nothing of it was kept.
        """
        with disk_errors():
            self._file.flush()
            self._stored = self._incoming.receiver.receive(self._path, self._file, self._hash.hexdigest())
            self._file.close()
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
        with suppress(OSError):  # where it was stored, it is no longer there
            self._path.unlink(missing_ok=True)
        if self._stored and (not self._keep or kind is not None):
            self._incoming.receiver.remove([self._stored])
        self._incoming.release(self._path.name, self._stored)


class Receiver(Protocol):
    """Who a whole file goes to."""

    def receive(self, path: Path, file: BinaryIO, sha256: str) -> str:
        """Make a file durable; return its name in the store, protected from a sweep.

        Raises:
            FilesUnavailableError: it cannot be stored at present.
        """

    def remove(self, names: Collection[str]) -> None:
        """Delete files that were stored."""


class IncomingFolder:
    """The folder in which files arrive, and which of them are arriving. Thread-safe."""

    def __init__(self, folder: Path, settings: Settings, receiver: Receiver) -> None:
        self.folder = folder
        self.limit = settings.upload_limit_bytes
        self.receiver = receiver
        self._settings = settings
        self._lock = threading.Lock()
        self._names: set[str] = set()

    def create(self) -> IncomingFile:
        """Create a file to write to.

        Raises:
            StorageError: less disk space is free than the settings ask for.
        """
        if reason := self.shortage():
            raise StorageError(reason, _("Free some disk space, then add the file again."))
        name = secrets.token_hex(16)
        self.protect(name)
        try:
            with disk_errors():
                make_folder(self.folder)
            return IncomingFile(self, self.folder / name)
        except MillpondError:
            self.release(name)
            raise

    def shortage(self) -> str:
        """Return a message when less disk space is free than the reserve, else an empty text."""
        free_mb = shutil.disk_usage(self.folder.parent).free // MEGABYTE
        if free_mb >= self._settings.free_disk_mb:
            return ""
        return _("Only {free} MB of disk space are free; {needed} MB are kept in reserve.").format(
            free=free_mb, needed=self._settings.free_disk_mb
        )

    def arriving(self) -> set[str]:
        """Return the names of files that are arriving, and of stored ones to which no row may refer yet."""
        with self._lock:
            return set(self._names)

    def protect(self, name: str) -> None:
        """Have `sweep` spare a name."""
        with self._lock:
            self._names.add(name)

    def release(self, *names: str) -> None:
        """End the protection of names from `sweep`."""
        with self._lock:
            self._names.difference_update(names)

    def unknown(self, names: Iterable[str], known: Known) -> Iterator[list[str]]:
        """Yield those of some names that nobody knows, and that are not just coming in."""
        left = iter(names)
        while some := list(islice(left, NAMES_AT_ONCE)):
            keep = self.arriving().union(known(some))
            if orphans := [name for name in some if name not in keep]:
                yield orphans

    def remove_left(self, older_than: float | None = None) -> int:
        """Delete files that nobody is writing, of those only older ones than `older_than` (seconds since 1970); return
        how many.
        """
        found = list(self.folder.glob("*"))
        arriving, removed = self.arriving(), 0
        for path in found:
            with suppress(OSError):
                if path.name not in arriving and (older_than is None or path.stat().st_mtime < older_than):
                    path.unlink()
                    removed += 1
        return removed


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
