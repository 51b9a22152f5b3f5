"""Originals in a bucket of an S3 server, with a bounded cache of them on the local disk.

An upload is written to the local disk, hashed, and put into the bucket; only then it has a name. What is deleted goes
in the background, as whoever deletes holds up all others who write.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import structlog

from services.core.errors import DamagedError, MillpondError, StorageError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.core.private_files import create_file, make_folder
from services.core.settings import Settings
from services.core.thread_priority import start_low_priority_thread
from services.knowledge.files.file_store import OWNER, SPARED_SECONDS
from services.knowledge.files.folder_store import gone
from services.knowledge.files.incoming import FOLDER, NAMES_AT_ONCE, IncomingFile, IncomingFolder, Known, disk_errors
from services.knowledge.files.original_cache import OriginalCache
from services.knowledge.files.s3_bucket import S3Bucket
from services.knowledge.files.stored_file import is_name, new_name, place

log = structlog.get_logger(__name__)

_PROBE_SECONDS = 2.0
_CLOSE_SECONDS = 5.0
_MOST_WAITING = 100_000  # names to delete, 10 MB; what is beyond is swept


class S3FileStore:
    """Originals in a bucket. Thread-safe; `start` begins what runs in the background."""

    shared = remote = True

    def __init__(self, bucket: S3Bucket, settings: Settings) -> None:
        folder = settings.data_dir / "originals"
        self._bucket = bucket
        with disk_errors():
            make_folder(folder)
            self._cache = OriginalCache(folder / "cache", settings.files_cache_mb * MEGABYTE)
        self._incoming = IncomingFolder(folder / FOLDER, settings, self)
        self._incoming.remove_left()  # nobody else writes into the data folder
        self._fetching: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._unneeded: deque[str] = deque(maxlen=_MOST_WAITING)
        self._thread: threading.Thread | None = None
        bucket.outage.on_begin(self._news.set)

    def start(self) -> None:
        """Begin to delete what is not needed, and to ask a server that did not answer."""
        self._thread = start_low_priority_thread("originals-s3", self._run)

    def create(self) -> IncomingFile:
        self._bucket.outage.require_none()
        return self._incoming.create()

    def receive(self, path: Path, file: BinaryIO, sha256: str) -> str:  # noqa: ARG002 - it need not be durable here
        stored = new_name(sha256)
        self._incoming.protect(stored)
        try:
            self._bucket.put(place(stored), path)
        except MillpondError:
            self.remove([stored])  # who did not answer may have stored it
            self._incoming.release(stored)
            raise
        with suppress(OSError), self._cache.using(stored):  # else it is fetched
            self._cache.adopt(path, stored)
        return stored

    def shortage(self) -> str:
        return self._incoming.shortage()

    def outage(self) -> str:
        return self._bucket.outage.reason()

    def exists(self, stored: str) -> bool:
        return bool(stored) and self._bucket.exists(place(stored))

    @contextmanager
    def opened(self, stored: str, sha256: str) -> Iterator[Path]:
        if not stored:
            raise gone()
        with self._cache.using(stored):
            yield self._local(stored, sha256)

    def read(self, stored: str, offset: int, most: int) -> bytes:
        return self._bucket.get_some(place(stored), offset, most)

    def remove(self, names: Collection[str]) -> None:
        for name in names:
            self._cache.remove(name)
            self._unneeded.append(name)
        self._news.set()

    def drop_copies(self, names: Collection[str]) -> None:
        for name in names:
            self._cache.remove(name)

    def sweep(self, known: Known) -> int:
        limit = self._bucket.now() - SPARED_SECONDS
        removed = 0
        for page in self._bucket.pages():
            # What is not of our form is somebody else's.
            names = [name for key, stored_at in page if stored_at < limit and (name := _name_of(key))]
            for orphans in self._incoming.unknown(names, known):
                self._bucket.delete([place(name) for name in orphans])
                removed += len(orphans)
        # Copies of what was deleted by another node, or just now.
        for orphans in self._incoming.unknown(self._cache.names(), known):
            for name in orphans:
                self._cache.remove(name)
        return removed

    def owner(self, pond: str) -> str:
        self._bucket.put_first(OWNER, pond.encode())
        return self._bucket.get_some(OWNER, 0, 100).decode(errors="replace").strip()

    def close(self) -> None:
        self._stopping.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)

    # Reading

    def _local(self, stored: str, sha256: str) -> Path:
        """Return the path of a local copy, fetched where there is none; one thread fetches, others wait for it."""
        with self._lock:
            fetching = self._fetching.setdefault(stored, threading.Lock())
        with fetching:
            try:
                found = self._cache.sound(stored, sha256)
            except OSError as error:
                raise StorageError(
                    _("The copy of an original on the local disk cannot be read: {reason}.").format(
                        reason=error.strerror
                    ),
                    _("Check the permissions of the data folder and its files."),
                ) from error
            try:
                return found or self._fetch(stored, sha256)
            finally:
                with self._lock:
                    self._fetching.pop(stored, None)

    def _fetch(self, stored: str, sha256: str) -> Path:
        if reason := self.shortage():
            raise StorageError(reason, _("Free some disk space: originals from S3 need some while they are used."))
        path = self._incoming.folder / f"fetched-{secrets.token_hex(8)}"
        digest = hashlib.sha256()
        try:
            with disk_errors(), self._new_file(path) as file:

                def write(piece: bytes) -> None:
                    digest.update(piece)
                    file.write(piece)

                self._bucket.get(place(stored), write)
            if digest.hexdigest() != sha256:
                raise DamagedError(
                    _("The original {file} is damaged; it was left as it is.").format(file=stored),
                    _("Put the object back from a copy of the bucket, or add the document again."),
                )
            with disk_errors():
                return self._cache.adopt(path, stored)
        except FileNotFoundError as error:
            raise gone() from error
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _new_file(self, path: Path) -> BinaryIO:
        make_folder(path.parent)
        return create_file(path, exclusive=True)

    # In the background

    def _run(self) -> None:
        probed = False
        while not self._stopping.is_set():
            if not probed or self.outage():
                probed = True
                self._bucket.probe()
            if not self.outage():
                self._delete_unneeded()
            waiting = self.outage() or self._unneeded
            self._news.wait(_PROBE_SECONDS if waiting else None)
            self._news.clear()
        if not self.outage():
            self._delete_unneeded()

    def _delete_unneeded(self) -> None:
        while self._unneeded:
            names = [self._unneeded.popleft() for _number in range(min(len(self._unneeded), NAMES_AT_ONCE))]
            try:
                self._bucket.delete([place(name) for name in names])
            except MillpondError as error:
                self._unneeded.extendleft(reversed(names))
                log.warning("originals not deleted", count=len(self._unneeded), reason=str(error))
                return


def _name_of(key: str) -> str:
    """Return the stored name of an object's key, "" of what is no original."""
    name = key.rpartition("/")[2]
    return name if is_name(name) and key == place(name) else ""
