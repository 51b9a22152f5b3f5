"""Files and folders that nobody else on the machine may read: all that Millpond writes in its data folder.

The permissions are decided here alone, whatever the umask: 0600 for files, 0700 for folders. `mend` brings what older
versions, a restored backup or another program left in the folder to the same.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

FILE_MODE = 0o600
FOLDER_MODE = 0o700
_UNFINISHED = ".new"  # ends the name of a file until it is whole


def create_file(path: Path, *, exclusive: bool = False) -> BinaryIO:
    """Open a file for writing, empty; with `exclusive` it must not be there yet.

    Raises:
        OSError: it cannot be created.
    """
    descriptor = open_descriptor(path, os.O_WRONLY | os.O_CREAT | (os.O_EXCL if exclusive else os.O_TRUNC))
    return os.fdopen(descriptor, "wb")


def write_whole(path: Path, data: bytes, *, exclusive: bool = False) -> None:
    """Write a file so that it is there whole or not at all, on disk when this returns.

    What was there is replaced; with `exclusive` nothing may be there yet.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    unfinished = path.with_name(f"{path.name}{_UNFINISHED}")
    try:
        with create_file(unfinished) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)  # a full disk has no room for half of it
        raise
    if exclusive:
        try:
            os.link(unfinished, path)
        finally:
            unfinished.unlink()
    else:
        unfinished.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Make the content of a file, or the names in a folder, durable.

    Raises:
        OSError: the system cannot.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unfinished(folder: Path) -> None:
    """Delete what `write_whole` left in a folder when the process was killed; nobody may be writing there."""
    for left in folder.glob(f"*{_UNFINISHED}"):
        with suppress(OSError):  # the next that is written takes its place
            left.unlink()


def open_descriptor(path: Path | str, flags: int) -> int:
    """Open a file as `os.open` does, one that is created as a private one; return its descriptor."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, FILE_MODE)
    try:
        if os.name == "posix" and stat.S_IMODE(os.fstat(descriptor).st_mode) != FILE_MODE:
            os.fchmod(descriptor, FILE_MODE)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def make_folder(path: Path) -> None:
    """Create a folder and those above it, where they are missing; those that are there stay as they are.

    Raises:
        OSError: it cannot be created.
    """
    missing = []
    while not path.is_dir():
        missing.append(path)
        if path.parent == path:
            break
        path = path.parent
    for each in reversed(missing):
        try:
            each.mkdir(mode=FOLDER_MODE)
        except FileExistsError:
            if not each.is_dir():  # a file has its name; else somebody else was quicker
                raise
        else:
            each.chmod(FOLDER_MODE)


def mend(folder: Path) -> int:
    """Give the folder and everything in it private permissions; return how many had others.

    Links are not followed; what belongs to somebody else is left as it is. About 2 microseconds a file.
    """
    changed = int(_mend_one(folder, folder.lstat()))
    waiting = [folder]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with suppress(OSError):  # it was removed meanwhile
                    changed += _mend_one(Path(entry.path), entry.stat(follow_symlinks=False))
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
    return changed


def _mend_one(path: Path, state: os.stat_result) -> bool:
    if stat.S_ISDIR(state.st_mode):
        mode = FOLDER_MODE
    elif stat.S_ISREG(state.st_mode):
        mode = FILE_MODE
    else:
        return False
    if stat.S_IMODE(state.st_mode) == mode:
        return False
    with suppress(PermissionError):
        path.chmod(mode)
        return True
    return False
