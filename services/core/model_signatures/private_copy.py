"""A private copy of a model: what is verified is what is loaded, whoever writes to the original meanwhile.

Copies are in the data folder, which nobody else can read or write. File systems that share blocks (Btrfs, XFS) copy
without taking room. A lock on its folder tells that a copy is in use; what a killed process left, the next one removes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from services.core.errors import DamagedError, StorageError, TooLargeError, UnavailableError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.core.private_files import create_file, make_folder

FOLDER = "verified-models"
MOST_FILES = 10_000
_MOST_LEVELS = 16
_PIECE_BYTES = 64 * MEGABYTE
# What `copy_file_range` answers where it cannot copy between these file systems.
_NOT_BETWEEN = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


class PrivateCopy:
    """A copy of a file, or of a folder with all in it; `path` has the name of the original."""

    def __init__(self, data_folder: Path, source: Path, *, without: frozenset[str], spare_bytes: int) -> None:
        """Copy `source`.

        Args:
            data_folder: where copies are kept.
            source: file or folder; links are followed, the copy has none.
            without: names at the top of a folder that are not copied.
            spare_bytes: must be free on the disk beside the copy.

        Raises:
            UnavailableError: a file cannot be read.
            TooLargeError: the folder holds too many files to be a model.
            DamagedError: the folder holds something that is neither file nor folder.
            StorageError: there is no room, or the disk refused; nothing is left of the copy.
        """
        root = data_folder / FOLDER
        try:
            make_folder(root)
            remove_left_over(root)
            self.folder = Path(tempfile.mkdtemp(dir=root))
            self._lock: int | None = _locked(self.folder)
        except OSError as error:
            raise _not_written(root, error) from error
        self.path = self.folder / source.name
        try:
            files = [Path()] if source.is_file() else list(_files(source, Path(), without, ()))
            _require_room(root, source, files, spare_bytes)
            for each in files:
                self._copy(source / each, self.path / each)
            self._stamps = self._read_stamps()
        except BaseException:
            self.close()
            raise

    def check(self) -> None:
        """Refuse a copy that was changed since it was made or pruned.

        Raises:
            DamagedError: it was.
        """
        try:
            same = self._read_stamps() == self._stamps
        except OSError:
            same = False
        if not same:
            raise DamagedError(
                _("The verified copy of the model {name} was changed; it is not loaded.").format(name=self.path.name),
                _("Nothing but Millpond may write to {path}. Start Millpond again.").format(path=self.folder),
            )

    def keep_only(self, signed: frozenset[str]) -> None:
        """Remove the files of a folder that no signature covers: what the signer left out is not loaded either."""
        for file in self._all_files():
            if str(file.relative_to(self.path)) not in signed:
                file.unlink()
        self._stamps = self._read_stamps()

    def add(self, source: Path, name: str, most_bytes: int) -> Path:
        """Copy another file beside the model, under `name`.

        Raises:
            TooLargeError: it is larger than `most_bytes`.
            UnavailableError: it cannot be read.
        """
        size = source.stat().st_size if source.exists() else 0
        if size > most_bytes:
            raise TooLargeError(
                _("The file {name} is too large: {size:,.0f} MB.").format(name=source.name, size=size / MEGABYTE)
            )
        target = self.folder / name
        self._copy(source, target)
        return target

    def close(self) -> None:
        """Remove the copy; safe to call twice."""
        if self._lock is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            os.close(self._lock)
            self._lock = None

    def _all_files(self) -> list[Path]:
        if self.path.is_file():
            return [self.path]
        return sorted(path for path in self.path.rglob("*") if not path.is_dir())

    def _read_stamps(self) -> dict[str, tuple[int, ...]]:
        """Return what changes with each file; the time of the last change of an inode cannot be set back."""
        return {str(file): stamp(file.lstat()) for file in self._all_files()}

    def _copy(self, source: Path, target: Path) -> None:
        try:
            descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise UnavailableError(
                _("The file {path} cannot be read: {reason}.").format(path=source, reason=error.strerror),
                _("Give the user who runs Millpond the right to read it."),
            ) from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _no_file(source)
            make_folder(target.parent)
            with create_file(target, exclusive=True) as copy:
                _copy_bytes(descriptor, copy.fileno())
        except OSError as error:
            raise _not_written(target, error) from error
        finally:
            os.close(descriptor)


def stamp(state: os.stat_result) -> tuple[int, ...]:
    """Return what tells whether a file is still the one that it was."""
    return (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns, stat.S_IFMT(state.st_mode))


def stamps(source: Path, without: frozenset[str]) -> dict[str, tuple[int, ...]]:
    """Return the stamps of a file, or of all that is copied of a folder, by their path in it.

    Raises:
        OSError: one of them is gone.
        MillpondError: the folder cannot be copied.
    """
    if source.is_file():
        return {"": stamp(source.stat())}
    return {str(file): stamp((source / file).stat()) for file in _files(source, Path(), without, ())}


def remove_left_over(root: Path) -> None:
    """Remove the copies whose process has ended."""
    for folder in root.iterdir():
        with suppress(OSError):  # it is in use, or another process was quicker
            os.close(_locked(folder))
            shutil.rmtree(folder, ignore_errors=True)


def _locked(folder: Path) -> int:
    """Return the descriptor that holds the lock of a folder.

    Raises:
        OSError: another process holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _files(source: Path, inner: Path, without: frozenset[str], above: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    """Yield the paths of all files in a folder, relative to it."""
    try:
        state = (source / inner).stat()
        with os.scandir(source / inner) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UnavailableError(
            _("The folder {path} cannot be read: {reason}.").format(path=source / inner, reason=error.strerror),
            _("Give the user who runs Millpond the right to read it."),
        ) from error
    place = (state.st_dev, state.st_ino)
    if place in above or len(above) > _MOST_LEVELS or len(listed) > MOST_FILES:
        raise TooLargeError(
            _("The folder {path} holds itself, or too much to be a model.").format(path=source / inner),
            _("Name a folder that holds the files of one model."),
        )
    count = 0
    for entry in listed:
        if entry.name in without and not above:
            continue
        if entry.is_dir():
            yield from _files(source, inner / entry.name, without, (*above, place))
        elif entry.is_file():
            count += 1
            yield inner / entry.name
        else:
            raise _no_file(source / inner / entry.name)


def _copy_bytes(source: int, target: int) -> None:
    copied = 0
    try:
        while number := os.copy_file_range(source, target, _PIECE_BYTES):
            copied += number
    except OSError as error:
        if copied or error.errno not in _NOT_BETWEEN:
            raise
        while piece := os.read(source, MEGABYTE):
            left = memoryview(piece)
            while left:
                left = left[os.write(target, left) :]


def _require_room(root: Path, source: Path, files: list[Path], spare_bytes: int) -> None:
    need = sum((source / each).stat().st_size for each in files)
    free = shutil.disk_usage(root).free
    if free < need + spare_bytes:
        raise StorageError(
            _(
                "The model {name} is copied before its signature is checked, which takes {need:,.0f} MB; "
                "{free:,.0f} MB are free."
            ).format(name=source.name, need=need / MEGABYTE, free=free / MEGABYTE),
            _("Free some disk space in {path}.").format(path=root),
        )


def _no_file(path: Path) -> DamagedError:
    return DamagedError(
        _("{path} is neither a file nor a folder, which a model does not hold.").format(path=path),
        _("Remove it from the model's folder."),
    )


def _not_written(path: Path, error: OSError) -> StorageError:
    return StorageError(
        _("The private copy of the model cannot be written to {path}: {reason}.").format(
            path=path, reason=error.strerror
        ),
        _("Free some disk space in the data folder."),
    )
