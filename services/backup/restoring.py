"""Restores a backup into an empty folder; whatever goes wrong, the folder is empty again, and the backup as it was."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from services.backup.checking import BackupChecker, ReadKey, check_database, file_content
from services.backup.destination import Destination, disk_errors
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


def restore(
    source: Destination,
    folder: Path,
    read_key: ReadKey,
    pace: Pace,
    *,
    name: str = "",
    trusted: SignatureKeys | None = None,
) -> ManifestHead:
    """Restore a backup; return what it says of itself, which was found in the database, too.

    Args:
        source: where backups are.
        folder: an empty folder, or one that is not there yet.
        read_key: reads the public key that a backup names.
        pace: how fast it goes.
        name: which backup; "": the newest.
        trusted: whose signatures are accepted; None: that of the key which the backup itself names.

    Raises:
        ConflictError: the folder is not empty, or a newer version has made the backup.
        NotFoundError: there is no such backup.
        DamagedError: something of it is damaged.
        StorageError: something cannot be read or written.
    """
    names = source.generations()
    if not name and not names:
        raise NotFoundError(_("There are no backups in {path}.").format(path=source.path))
    name = name or names[-1]
    head = BackupChecker(source, read_key, pace, trusted).require_signed(name)
    if not SchemaState(head.schema, has_tables=True).known:
        raise ConflictError(
            _(
                "A newer version of Millpond has made the backup {name}: its schema is {schema}, this one's {own}."
            ).format(name=name, schema=head.schema, own=HEAD),
            _("Restore it with that version."),
        )
    with disk_errors(folder):
        _require_empty(folder)
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
        _copy(source, folder, name, pace)
        check_database(folder / _UNFINISHED, head, pace.rest)
        with disk_errors(folder):
            (folder / _UNFINISHED).rename(folder / DATABASE_FILE)
            _sync_folders(folder)
    except BaseException:
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


def _copy(source: Destination, folder: Path, name: str, pace: Pace) -> None:
    with source.manifest_lines(name) as lines:
        for file in ManifestReader(lines, name).files():
            target = folder / (_UNFINISHED if file.path == DATABASE_FILE else file.path)
            try:
                with disk_errors(folder):
                    make_folder(target.parent)
                    _copy_file(source, file, target, pace)
            except DamagedError as error:
                raise DamagedError(
                    _("{file} cannot be restored: {reason}. The folder is empty again.").format(
                        file=file.path, reason=error.message
                    ),
                    _("Use another backup: millpond verify says which ones are whole."),
                ) from error


def _copy_file(source: Destination, file: ManifestFile, target: Path, pace: Pace) -> None:
    with create_file(target, exclusive=True) as copy:
        for block in file_content(source, file):
            pace.step(len(block))
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
