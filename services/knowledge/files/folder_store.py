"""Originals in a folder: of the data folder, or one that several nodes share."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import structlog

from services.core.errors import DamagedError, NotFoundError, StorageError
from services.core.i18n import _
from services.core.private_files import make_folder, sync, write_whole
from services.core.settings import Settings
from services.knowledge.files.checked_files import CheckedFiles
from services.knowledge.files.file_store import OWNER, SPARED_SECONDS
from services.knowledge.files.incoming import FOLDER, IncomingFile, IncomingFolder, Known, disk_errors
from services.knowledge.files.stored_file import new_name, place

log = structlog.get_logger(__name__)


class FolderStore:
    """The folder of originals; `shared`: other nodes may store files there, too."""

    remote = False

    def __init__(self, directory: Path, settings: Settings, *, shared: bool = False) -> None:
        self.shared = shared
        self._directory = directory
        self._checked = CheckedFiles()
        self._incoming = IncomingFolder(directory / FOLDER, settings, self)
        with disk_errors():
            make_folder(directory)

    def create(self) -> IncomingFile:
        return self._incoming.create()

    def receive(self, path: Path, file: BinaryIO, sha256: str) -> str:
        os.fsync(file.fileno())
        stored = new_name(sha256)
        self._incoming.protect(stored)
        target = self.location(stored)
        if not target.parent.is_dir():
            make_folder(target.parent)
            sync(self._directory)
        try:
            path.rename(target)
            sync(target.parent)
        except OSError:
            self.remove([stored])
            self._incoming.release(stored)
            raise
        return stored

    def shortage(self) -> str:
        return self._incoming.shortage()

    def outage(self) -> str:  # a folder that is away is an error of the disk
        return ""

    def location(self, stored: str) -> Path:
        """Return the path for a stored name, whether the file exists or not."""
        return self._directory / place(stored)

    def exists(self, stored: str) -> bool:
        return bool(stored) and self.location(stored).is_file()

    @contextmanager
    def opened(self, stored: str, sha256: str) -> Iterator[Path]:
        if not self.exists(stored):
            raise gone()
        path = self.location(stored)
        try:
            sound = self._checked.is_sound(path, sha256)
        except OSError as error:
            raise StorageError(
                _("The original {path} cannot be read: {reason}.").format(path=path, reason=error.strerror),
                _("Check the permissions of the data folder and its files."),
            ) from error
        if not sound:
            raise DamagedError(
                _("The original {path} is damaged; it was left as it is.").format(path=path),
                _("Put the file back from a copy of the data folder, or add the document again."),
            )
        yield path

    def read(self, stored: str, offset: int, most: int) -> bytes:
        with self.location(stored).open("rb") as file:
            file.seek(offset)
            return file.read(most)

    def drop_copies(self, names: Collection[str]) -> None:
        """Nothing: there are none."""

    def remove(self, names: Collection[str]) -> None:
        for name in names:
            try:
                self.location(name).unlink(missing_ok=True)
            except OSError as error:
                log.warning("original not deleted", stored=name, reason=error.strerror)

    def sweep(self, known: Known) -> int:
        limit = self._now() - SPARED_SECONDS if self.shared else None
        removed = self._incoming.remove_left(limit)
        for orphans in self._incoming.unknown(self._names(limit), known):
            self.remove(orphans)
            removed += len(orphans)
        return removed

    def owner(self, pond: str) -> str:
        path = self._directory / OWNER
        with disk_errors():
            if not path.exists():
                with suppress(FileExistsError):  # another node was quicker
                    write_whole(path, pond.encode(), exclusive=True)
            return path.read_text().strip()

    def close(self) -> None:
        """Nothing runs in the background."""

    def _names(self, older_than: float | None) -> Iterator[str]:
        for path in self._directory.glob("??/*"):
            try:
                if older_than is None or path.stat().st_mtime < older_than:
                    yield path.name
            except FileNotFoundError:  # another node was quicker
                continue

    def _now(self) -> float:
        """Return the time by the clock of the disk, which may be another machine's."""
        os.utime(self._directory)
        return self._directory.stat().st_mtime


def gone() -> NotFoundError:
    """Return the error for an original that was not kept, or is gone."""
    return NotFoundError(_("The original file does not exist any more."), _("Add the file again to process it again."))
