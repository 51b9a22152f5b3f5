"""One process per data folder: a lock that the operating system releases when the process ends, in whatever way."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from services.core.errors import ConflictError, StorageError
from services.core.i18n import _
from services.core.private_files import open_descriptor

LOCK_FILE = "millpond.lock"
_POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class LockHolder:
    """The process that holds a data folder; `url` is empty when it does not serve (a command is at work).

    `certificate`: the file with the certificate that it serves with, "" without TLS.
    """

    pid: int
    url: str
    certificate: str = ""


class DataLock:
    """The lock of one data folder (flock(2)).

    The file stays when the process ends; only the lock on it counts, so a kill leaves nothing to clean up. The file
    holds the process id and address of the holder, for others to read.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / LOCK_FILE
        self._descriptor: int | None = None

    def acquire(self, url: str = "", *, certificate: str = "", patience: float = 0.0) -> None:
        """Take the lock and publish `url` and `certificate` in the file; wait up to `patience` seconds for it.

        Raises:
            ConflictError: another process holds the folder; the message names its address.
            StorageError: the folder cannot be written.
        """
        try:
            descriptor = open_descriptor(self._path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise StorageError(
                _("The data folder {path} cannot be written: {reason}.").format(
                    path=self._path.parent, reason=error.strerror
                ),
                _("Check its permissions, or choose another with --data-dir."),
            ) from error
        deadline = time.monotonic() + patience
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise lock_conflict(self._path.parent, self._read())
            time.sleep(_POLL_SECONDS)
        record = json.dumps({"pid": os.getpid(), "url": url, "certificate": certificate}).encode()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, record, 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Release the lock; safe to call twice."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> LockHolder | None:
        """Return the process that holds the folder now, or None."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            return None if _try_lock(descriptor) else self._read()
        finally:
            os.close(descriptor)

    def require_free(self) -> None:
        """Raise what `acquire` would raise if another process holds the folder; otherwise return."""
        holder = self.holder()
        if holder is not None:
            raise lock_conflict(self._path.parent, holder)

    def holder_url(self) -> str | None:
        """Return the address of the process that holds the folder ("" if it does not serve), or None."""
        holder = self.holder()
        return holder.url if holder else None

    def _read(self) -> LockHolder:
        # The holder writes right after locking; a reader in between sees an empty file.
        try:
            record = json.loads(self._path.read_bytes())
            return LockHolder(int(record["pid"]), str(record["url"]), str(record.get("certificate", "")))
        except (OSError, ValueError, KeyError, TypeError):
            return LockHolder(pid=0, url="")


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_conflict(data_dir: Path, holder: LockHolder) -> ConflictError:
    """Return the error for a folder that `holder` has locked."""
    if holder.url:
        return ConflictError(
            _("Millpond already runs on the data folder {path}, at {url} (process {pid}).").format(
                path=data_dir, url=holder.url, pid=holder.pid
            ),
            _("Open that address, or start this one on another folder with --data-dir."),
        )
    return ConflictError(
        _("Another Millpond process ({pid}) is at work on the data folder {path}.").format(
            path=data_dir, pid=holder.pid or _("starting")
        ),
        _("Wait until it has finished, or choose another folder with --data-dir."),
    )
