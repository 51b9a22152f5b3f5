"""The copy of the database from before a migration: beside the file, for its owner alone, only the newest one.

It holds what was in the database then, so also what is deleted afterwards. That is why it is removed after some days
(`upgrade_copy_days`); it may be deleted at any time.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

from services.core.database import Database
from services.core.database.copy import copy_database
from services.core.errors import StorageError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.core.private_files import sync

_MARK = ".before-"
_REVISION = r"\w+"  # without what SQLite may put beside a copy that somebody opens: -wal, -shm, -journal
_UNFINISHED = ".part"
_SPARE_BYTES = 16 * MEGABYTE  # for what the migration itself writes


def back_up(database: Database, path: Path, revision: str) -> Path:
    """Copy the database, with its write-ahead log, beside its file; return the copy, which is on disk then.

    Args:
        database: the database.
        path: its file.
        revision: the one that it is brought to next.

    Raises:
        StorageError: there is no room, or the copy cannot be written; nothing is left of it.
    """
    target = path.with_name(f"{path.name}{_MARK}{revision}")
    unfinished = target.with_name(target.name + _UNFINISHED)
    need = _size(path) + _SPARE_BYTES
    free = shutil.disk_usage(path.parent).free
    if free < need:
        reason = _("{free:,.0f} MB are free on the disk, and {need:,.0f} MB are needed")
        raise _not_copied(path, reason.format(free=free / MEGABYTE, need=need / MEGABYTE))
    try:
        with database.read() as connection:
            source: Any = connection.connection.driver_connection
            copy_database(source, unfinished)
        sync(unfinished)
        unfinished.replace(target)
        sync(path.parent)
    except (sqlite3.Error, OSError) as error:
        remove(unfinished)
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise _not_copied(path, reason) from error
    return target


def backups_of(path: Path) -> list[Path]:
    """Return the copies of a database file from before migrations, the newest last."""
    found = [
        each for each in path.parent.glob(f"{path.name}{_MARK}*") if re.fullmatch(_REVISION, each.name.split(_MARK)[-1])
    ]
    return sorted(found, key=_written_at)


def remove_old(path: Path, *, days: float, now: float) -> list[Path]:
    """Remove all copies but the newest, that one after `days`, and unfinished ones; return those that were whole."""
    for unfinished in path.parent.glob(f"{path.name}{_MARK}*{_UNFINISHED}*"):
        remove(unfinished)
    found = backups_of(path)
    old = [*found[:-1], *(each for each in found[-1:] if now - _written_at(each) >= days * 86_400)]
    for each in old:
        remove(each)
    return old


def remove(path: Path) -> None:
    """Remove a copy, and what SQLite may have put beside it."""
    for each in (path, *(path.with_name(f"{path.name}-{end}") for end in ("journal", "wal", "shm"))):
        with suppress(OSError):
            each.unlink(missing_ok=True)


def _size(path: Path) -> int:
    size = 0
    for each in (path, path.with_name(f"{path.name}-wal")):
        with suppress(OSError):
            size += each.stat().st_size
    return size


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # somebody has removed it
        return 0.0


def _not_copied(path: Path, reason: str) -> StorageError:
    return StorageError(
        _(
            "The database {path} is of an older version, and is copied before it is changed; the copy could not be "
            "written: {reason}. Nothing in the database was changed."
        ).format(path=path, reason=reason),
        _("Free some disk space and start again; the version before can go on with the data folder meanwhile."),
    )
