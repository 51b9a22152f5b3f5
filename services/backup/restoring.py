"""Restores a backup into an empty folder, and into an empty database and place of originals where these are elsewhere.

Whatever goes wrong, folder and place are empty again, and the backup is as it was.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from services.backup.checking import BackupChecker, ReadKey, check_database, file_content
from services.backup.destination import Destination, disk_errors
from services.backup.generations import newest_name
from services.backup.manifest import ManifestFile, ManifestHead, ManifestReader, SignatureKeys
from services.backup.pacing import Pace
from services.core.errors import ConflictError, DamagedError, NotFoundError, StorageError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.core.private_files import create_file, make_folder, sync
from services.core.schema_version import HEAD, SchemaState
from services.core.settings import DATABASE_FILE

# Until everything is there: a start on half a folder finds no database, and refuses it.
_UNFINISHED = f"{DATABASE_FILE}.restoring"
_ORIGINALS = "files"
Place = Callable[[Path, ManifestHead], bool]
"""Brings the database, a file of SQLite that was checked, to where it belongs; returns whether that is the folder."""


class OriginalsTarget(Protocol):
    """Where originals are restored to."""

    def require_empty(self) -> None:
        """Return if there is nothing yet.

        Raises:
            ConflictError: there is.
            StorageError, UnavailableError: nobody can say.
        """

    def put(self, stored: str, content: Iterator[bytes]) -> None:
        """Store an original; `content` raises DamagedError where the backup is damaged.

        Raises:
            StorageError, UnavailableError: it cannot be stored.
        """

    def finish(self) -> None:
        """Make what was put there durable."""

    def undo(self) -> None:
        """Remove what was put there."""


class FolderTarget:
    """Restores originals into a folder that is empty or not there yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def require_empty(self) -> None:
        with disk_errors(self._folder):
            _require_empty(self._folder)

    def put(self, stored: str, content: Iterator[bytes]) -> None:
        target = self._folder / stored[:2] / stored
        with disk_errors(self._folder):
            make_folder(target.parent)
            _write(target, content)

    def finish(self) -> None:
        if self._folder.exists():
            with disk_errors(self._folder):
                _sync_folders(self._folder)

    def undo(self) -> None:
        _empty(self._folder)


def restore(
    source: Destination,
    folder: Path,
    read_key: ReadKey,
    pace: Pace,
    *,
    name: str = "",
    trusted: SignatureKeys | None = None,
    originals: OriginalsTarget | None = None,
    place: Place = lambda _file, _head: True,
) -> ManifestHead:
    """Restore a backup; return what it says of itself, which was found in the database, too.

    Args:
        source: where backups are.
        folder: an empty folder, or one that is not there yet.
        read_key: reads the public key that a backup names.
        pace: how fast it goes.
        name: which backup; "": the newest.
        trusted: whose signatures are accepted; None: that of the key which the backup itself names.
        originals: where originals go; None: into the folder.
        place: where the database goes once everything else is there; it stays in the folder by default.

    Raises:
        ConflictError: the folder, the database or the place of the originals is not empty, or a newer version has made
            the backup.
        NotFoundError: there is no such backup.
        DamagedError: something of it is damaged.
        StorageError: something cannot be read or written.
        UnavailableError: the server of the database or of the originals does not answer.
    """
    name = name or newest_name(source)
    if not name:
        raise NotFoundError(_("There are no backups in {path}.").format(path=source.path))
    head = BackupChecker(source, read_key, pace, trusted).require_signed(name)
    if not SchemaState(head.schema, has_tables=True).known:
        raise ConflictError(
            _(
                "A newer version of Millpond has made the backup {name}: its schema is {schema}, this one's {own}."
            ).format(name=name, schema=head.schema, own=HEAD),
            _("Restore it with that version."),
        )
    originals = originals or FolderTarget(folder / _ORIGINALS)
    with disk_errors(folder):
        _require_empty(folder)
    originals.require_empty()
    with disk_errors(folder):
        make_folder(folder)
        free = shutil.disk_usage(folder).free
    if free < head.size:
        raise StorageError(
            _("{path} has {free:,.0f} MB free, and the backup needs {need:,.0f} MB; nothing was written.").format(
                path=folder, free=free / MEGABYTE, need=head.size / MEGABYTE
            ),
            _("Free some disk space, or name another folder."),
        )
    try:
        _copy(source, folder, name, pace, originals)
        originals.finish()
        database = folder / _UNFINISHED
        check_database(database, head, pace.rest)
        stays = place(database, head)
        with disk_errors(folder):
            if stays:
                database.rename(folder / DATABASE_FILE)
            else:
                database.unlink()
            _sync_folders(folder)
    except BaseException:
        originals.undo()
        _empty(folder)
        raise
    return head


def _require_empty(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise ConflictError(
            _("{path} is not empty; nothing was restored.").format(path=folder),
            _("Name a folder that is empty or not there yet with --data-dir, and move it into its place afterwards."),
        )


def _copy(source: Destination, folder: Path, name: str, pace: Pace, originals: OriginalsTarget) -> None:
    with source.manifest_lines(name) as lines:
        for file in ManifestReader(lines, name).files():
            content = _paced(source, file, pace)
            place, _slash, stored = file.path.rpartition("/")
            try:
                if place.partition("/")[0] == _ORIGINALS:
                    originals.put(stored, content)
                    continue
                target = folder / (_UNFINISHED if file.path == DATABASE_FILE else file.path)
                with disk_errors(folder):
                    make_folder(target.parent)
                    _write(target, content)
            except DamagedError as error:
                raise DamagedError(
                    _("{file} cannot be restored: {reason}. The folder is empty again.").format(
                        file=file.path, reason=error.message
                    ),
                    _("Use another backup: millpond verify says which ones are whole."),
                ) from error


def _paced(source: Destination, file: ManifestFile, pace: Pace) -> Iterator[bytes]:
    for block in file_content(source, file):
        pace.step(len(block))
        yield block


def _write(target: Path, content: Iterator[bytes]) -> None:
    with create_file(target, exclusive=True) as copy:
        for block in content:
            copy.write(block)
        copy.flush()
        os.fsync(copy.fileno())


def _sync_folders(folder: Path) -> None:
    for each in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        sync(each)


def _empty(folder: Path) -> None:
    """Remove what was written to a folder that was empty."""
    with suppress(OSError):
        for each in list(folder.iterdir()):
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each, ignore_errors=True)
            else:
                each.unlink(missing_ok=True)
