"""The folder that backups are written to: blobs by their hash, manifests by their backup's name.

Everything is opened from the folder down without following a link, so that nothing outside of it is read or written.
What is written has a temporary name until it is on disk.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Self

from services.core.errors import BadInputError, ConflictError, DamagedError, NotFoundError, StorageError
from services.core.i18n import _
from services.core.private_files import FILE_MODE, FOLDER_MODE, make_folder

GENERATIONS, BLOBS, UNFINISHED, LOCK = "generations", "blobs", "unfinished", "lock"
BLOCK_BYTES = 1 << 18
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
_SHARD = re.compile("[0-9a-f]{2}")
# What a new file system has, which may be given to backups whole.
_EMPTY = frozenset({"lost+found"})


class Destination:
    """One folder of backups; a context manager. `create`: make it where it is missing, and hold its lock."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        self._create = create
        self._closing = ExitStack()
        self._root = self._generations = self._blobs = self._unfinished = -1
        self._changed: set[str] = set()

    def __enter__(self) -> Self:
        """Open the folder.

        Raises:
            NotFoundError: there are no backups in it.
            BadInputError: it has other things.
            ConflictError: another backup is just being written to it.
            StorageError: it cannot be read or written.
        """
        with self._closing as closing, disk_errors(self.path):
            if self._create:
                make_folder(self.path)
            try:
                self._root = os.open(self.path, _FOLDER & ~os.O_NOFOLLOW)  # its own name may be a link
            except FileNotFoundError as error:
                raise self._nothing() from error
            closing.callback(os.close, self._root)
            there = set(_names(self._root)) - _EMPTY
            if GENERATIONS not in there:
                if not self._create:
                    raise self._nothing()
                if there - {BLOBS, UNFINISHED, LOCK}:
                    raise BadInputError(
                        _("{path} has other things than backups; nothing was written.").format(path=self.path),
                        _("Name a folder that is empty or not there yet."),
                    )
            if self._create:
                self._lock(closing)
                self._unfinished = self._folder(UNFINISHED, self._root, closing)
                for name in _names(self._unfinished):  # of a backup that was killed
                    os.unlink(name, dir_fd=self._unfinished)
            self._blobs = self._folder(BLOBS, self._root, closing)
            self._generations = self._folder(GENERATIONS, self._root, closing)
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *_of: object) -> None:
        self._closing.close()

    # Manifests

    def generations(self) -> list[str]:
        """Return the names of the backups, the oldest first."""
        with disk_errors(self.path):
            return sorted(name for name in _names(self._generations) if _NAME.fullmatch(name))

    @contextmanager
    def manifest_lines(self, name: str) -> Iterator[BinaryIO]:
        """Open the manifest of a backup.

        Raises:
            NotFoundError: there is no such backup.
            StorageError: it cannot be read.
        """
        if not _NAME.fullmatch(name):
            raise self._no_such(name)
        with disk_errors(self.path):
            try:
                file = _opened(name, self._generations)
            except FileNotFoundError as error:
                raise self._no_such(name) from error
            with file:
                yield file

    def write_manifest(self, name: str, lines: Iterable[bytes]) -> None:
        """Make everything that was stored durable, then the manifest: with it the backup is there, whole."""
        with disk_errors(self.path):
            for shard in self._changed:
                with ExitStack() as closing:
                    os.fsync(self._folder(shard, self._blobs, closing))
            os.fsync(self._blobs)
            self._changed.clear()
            with self._new_file() as (file, temporary):
                file.writelines(lines)
                _sync(file)
                os.rename(temporary, name, src_dir_fd=self._unfinished, dst_dir_fd=self._generations)
            os.fsync(self._generations)
            os.fsync(self._root)

    def remove_manifest(self, name: str) -> None:
        """Remove a backup; what it alone consists of is removed by `remove_blobs`."""
        with disk_errors(self.path):
            os.unlink(name, dir_fd=self._generations)
            os.fsync(self._generations)

    # Blobs

    def has(self, sha256: str, size: int) -> bool:
        """Return whether a blob of that size is there."""
        with disk_errors(self.path), ExitStack() as closing:
            try:
                shard = self._folder(sha256[:2], self._blobs, closing, make=False)
                state = os.stat(sha256, dir_fd=shard, follow_symlinks=False)
            except FileNotFoundError:
                return False
        return stat.S_ISREG(state.st_mode) and state.st_size == size

    def store(self, sha256: str, content: Iterable[bytes]) -> bool:
        """Store a blob; return whether it has that hash. If not, nothing is kept."""
        sums = hashlib.sha256()
        with disk_errors(self.path), self._new_file() as (file, temporary), ExitStack() as closing:
            for block in content:
                sums.update(block)
                file.write(block)
            if sums.hexdigest() != sha256:
                return False
            _sync(file)
            shard = self._folder(sha256[:2], self._blobs, closing)
            os.rename(temporary, sha256, src_dir_fd=self._unfinished, dst_dir_fd=shard)
            self._changed.add(sha256[:2])
        return True

    def read(self, sha256: str) -> Iterator[bytes]:
        """Yield the content of a blob in pieces.

        Raises:
            DamagedError: it is not there, or it has another content; what was yielded is of no use then.
            StorageError: it cannot be read.
        """
        sums = hashlib.sha256()
        with disk_errors(self.path), ExitStack() as closing:
            try:
                shard = self._folder(sha256[:2], self._blobs, closing, make=False)
                file = closing.enter_context(_opened(sha256, shard))
            except FileNotFoundError as error:
                raise DamagedError(_("{blob} is missing").format(blob=blob_name(sha256))) from error
            while block := file.read(BLOCK_BYTES):
                sums.update(block)
                yield block
        if sums.hexdigest() != sha256:
            raise DamagedError(_("{blob} is damaged").format(blob=blob_name(sha256)))

    def remove_blobs(self, named: set[bytes]) -> int:
        """Remove all blobs but those with these hashes; return how many there were."""
        removed = 0
        with disk_errors(self.path):
            for shard in filter(_SHARD.fullmatch, _names(self._blobs)):
                with ExitStack() as closing:
                    folder = self._folder(shard, self._blobs, closing)
                    for name in _names(folder):
                        with suppress(ValueError):
                            if bytes.fromhex(name) not in named:
                                os.unlink(name, dir_fd=folder)
                                removed += 1
        return removed

    # Below the folder

    def _folder(self, name: str, parent: int, closing: ExitStack, *, make: bool = True) -> int:
        if self._create and make:
            with suppress(FileExistsError):
                os.mkdir(name, FOLDER_MODE, dir_fd=parent)
        descriptor = os.open(name, _FOLDER, dir_fd=parent)
        closing.callback(os.close, descriptor)
        return descriptor

    @contextmanager
    def _new_file(self) -> Iterator[tuple[BinaryIO, str]]:
        """Yield a new file and its temporary name; what was not renamed is removed."""
        name = secrets.token_hex(16)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, FILE_MODE, dir_fd=self._unfinished)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file, name
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._unfinished)

    def _lock(self, closing: ExitStack) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(LOCK, flags, FILE_MODE, dir_fd=self._root)
        closing.callback(os.close, descriptor)
        locked(descriptor, self.path)

    def _nothing(self) -> NotFoundError:
        return NotFoundError(
            _("There are no backups in {path}.").format(path=self.path),
            _("Name the folder that they were written to."),
        )

    def _no_such(self, name: str) -> NotFoundError:
        return NotFoundError(
            _("There is no backup {name} in {path}.").format(name=name, path=self.path),
            _("There are: {names}.").format(names=", ".join(self.generations()) or "-"),
        )


def blob_name(sha256: str) -> str:
    """Return where a blob is, below the folder of backups."""
    return f"{BLOBS}/{sha256[:2]}/{sha256}"


def locked(descriptor: int, path: Path) -> None:
    """Lock an open file until it is closed.

    Raises:
        ConflictError: another process, or another backup of this one, has locked it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConflictError(
            _("Another backup is at work in {path}; nothing was done.").format(path=path),
            _("Wait until it has finished."),
        ) from error
    except OSError as error:
        if error.errno not in {errno.ENOLCK, errno.ENOTSUP}:  # a file system without locks: the timer asks for one
            raise


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn errors of a disk into StorageError; `path` is the folder in question."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:
            reason = _("there is a link, or no folder, where one was expected")
        raise StorageError(
            _("{path} cannot be read or written: {reason}. Backups that were there are as they were.").format(
                path=path, reason=reason
            ),
            _("Check the disk, its free space and who may write there."),
        ) from error


def _names(folder: int) -> list[str]:
    return os.listdir(folder)


def _opened(name: str, folder: int) -> BinaryIO:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.ELOOP, "no file")
    return os.fdopen(descriptor, "rb")


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
