"""Checksums of an SQLite file's pages, in a file beside it (-sums): SQLite itself has none, so that a flipped bit in a
text or a vector would be served as if it had been stored.

Pages change only when the write-ahead log is copied into the file (a checkpoint). `Database` does that itself, and has
the new checksums written before the log begins anew; whatever moment a kill or power cut chooses, a page is either as
its checksum says or still in the log.
"""

from __future__ import annotations

import os
import struct
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_HEADER = struct.Struct("<8sIIQ")  # magic, size of a page, state, number of pages; a CRC of these follows
_MAGIC = b"MPSUMS01"
_CLOSED, _OPEN = 1, 2
_ENTRIES_AT = 64
_ENTRY = np.dtype([("sum", "<u4"), ("twin", "<u4")])
_MIX = np.uint64(2654435761)
PAGES_AT_ONCE = 256


class SumsState(StrEnum):
    """What is known of the file with the checksums."""

    MISSING = "missing"
    DAMAGED = "damaged"
    CLOSED = "closed"  # the database was closed
    OPEN = "open"  # the process was killed, or is at work


@dataclass(frozen=True, slots=True)
class PageCheck:
    """What a check found: which pages are not as they were written, and the first page that it did not come to."""

    damaged: tuple[int, ...] = ()
    sums_damaged: bool = False
    next: int = 1
    complete: bool = True


class PageChecksums:
    """The checksums of the pages of one SQLite file. Whoever calls this sees to it that pages do not change meanwhile.

    The file is never opened twice: to close any descriptor of a file ends all locks that the process holds on it
    (fcntl(2)), SQLite's, too.
    """

    def __init__(self, database: Path) -> None:
        self.path = self.path_of(database)
        self._database = database
        self._file = -1
        self._sums = -1
        self.page_size = 0
        self.pages = 0
        self.state = SumsState.MISSING
        with suppress(FileNotFoundError):
            self._sums = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            self.state = self._read_header()
        with suppress(FileNotFoundError):
            self._file = os.open(self._database, os.O_RDONLY | os.O_CLOEXEC)

    @staticmethod
    def path_of(database: Path) -> Path:
        """Return where the checksums of a database file are."""
        return database.with_name(f"{database.name}-sums")

    @property
    def usable(self) -> bool:
        """Whether there are checksums to check by."""
        return self.state in {SumsState.CLOSED, SumsState.OPEN}

    def size(self) -> int:
        """Return the size of the database file in bytes, 0 without one."""
        return os.fstat(self._file).st_size if self._file >= 0 else 0

    def check(self, first: int = 1, *, seconds: float, exempt: Collection[int] = (), most: int = 1 << 40) -> PageCheck:
        """Check pages from `first` on, for at most `seconds` and `most` pages; `exempt` are those that the log has."""
        deadline = time.monotonic() + seconds
        damaged: list[int] = []
        last = min(self.pages, first + most - 1)
        while first <= last:
            count = min(PAGES_AT_ONCE, last - first + 1)
            entries = self._entries(first, count)
            if entries is None:
                return PageCheck(tuple(damaged), sums_damaged=True, next=first)
            found = np.fromiter(self._read_sums(first, count), np.uint32, count)
            wrong = np.flatnonzero(found != entries) + first
            damaged += [page for page in wrong.tolist() if page not in exempt]
            first += count
            if time.monotonic() > deadline:
                break
        return PageCheck(tuple(damaged), next=first, complete=first > self.pages)

    def begin(self, page_size: int) -> None:
        """Make the checksums of all pages anew; the log must be empty."""
        if self._file < 0:
            self._file = os.open(self._database, os.O_RDONLY | os.O_CLOEXEC)
        if self._sums < 0:
            self._sums = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._sums, 0)
        self.page_size, self.pages = page_size, self.size() // page_size
        for first in range(1, self.pages + 1, PAGES_AT_ONCE):
            count = min(PAGES_AT_ONCE, self.pages - first + 1)
            sums = np.fromiter(self._read_sums(first, count), np.uint32, count)
            os.pwrite(self._sums, _with_twins(first, sums), _ENTRIES_AT + (first - 1) * _ENTRY.itemsize)
        self.state = SumsState.CLOSED
        self.set_open(True)

    def follow(self, changed: Mapping[int, int], pages: int) -> None:
        """Record the checksums of `changed` pages, and that the file now has `pages`; durable when it returns."""
        # Pages that were free from the start never were in the log.
        new = {page: next(self._read_sums(page, 1)) for page in range(self.pages + 1, pages + 1) if page not in changed}
        for first, sums in _runs({**changed, **new}, pages):
            os.pwrite(self._sums, _with_twins(first, sums), _ENTRIES_AT + (first - 1) * _ENTRY.itemsize)
        if pages != self.pages:
            self.pages = pages
            self._write_header()
        os.fdatasync(self._sums)

    def set_open(self, is_open: bool) -> None:
        """Record whether the database is at work; durable when it returns."""
        self.state = SumsState.OPEN if is_open else SumsState.CLOSED
        self._write_header()
        os.fdatasync(self._sums)

    def forget(self) -> None:
        """Delete the checksums: at the next start the database is checked by SQLite alone, and they are made anew."""
        self.state = SumsState.MISSING
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the files; only after SQLite has closed its own."""
        for descriptor in (self._file, self._sums):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._sums = -1

    @staticmethod
    def sum_of(page: bytes) -> int:
        """Return the checksum of a page."""
        return zlib.crc32(page)

    def _read_sums(self, first: int, count: int) -> Iterator[int]:
        size = self.page_size
        data = memoryview(os.pread(self._file, count * size, (first - 1) * size))
        return (zlib.crc32(data[place : place + size]) for place in range(0, count * size, size))

    def _entries(self, first: int, count: int) -> NDArray[np.uint32] | None:
        """Return the stored checksums; None where an entry contradicts itself."""
        stored = os.pread(self._sums, count * _ENTRY.itemsize, _ENTRIES_AT + (first - 1) * _ENTRY.itemsize)
        if len(stored) < count * _ENTRY.itemsize:
            return None
        sums = np.frombuffer(stored, _ENTRY)["sum"].astype(np.uint32)
        return sums if _with_twins(first, sums) == stored else None

    def _read_header(self) -> SumsState:
        header = os.pread(self._sums, _HEADER.size + 4, 0)
        if len(header) < _HEADER.size + 4 or struct.unpack_from("<I", header, _HEADER.size)[0] != zlib.crc32(
            header[: _HEADER.size]
        ):
            return SumsState.DAMAGED
        magic, self.page_size, state, self.pages = _HEADER.unpack_from(header)
        if magic != _MAGIC or state not in {_CLOSED, _OPEN}:
            return SumsState.DAMAGED
        return SumsState.CLOSED if state == _CLOSED else SumsState.OPEN

    def _write_header(self) -> None:
        state = _OPEN if self.state is SumsState.OPEN else _CLOSED
        header = _HEADER.pack(_MAGIC, self.page_size, state, self.pages)
        os.pwrite(self._sums, header + struct.pack("<I", zlib.crc32(header)), 0)


def _with_twins(first: int, sums: NDArray[np.uint32]) -> bytes:
    """Return the entries of consecutive pages: each has a twin that depends on the page, so that a damaged entry is not
    taken for a damaged page."""
    entries = np.empty(len(sums), _ENTRY)
    entries["sum"] = sums
    numbers = np.arange(first, first + len(sums), dtype=np.uint64)
    entries["twin"] = ~sums ^ ((numbers * _MIX) & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    return entries.tobytes()


def _runs(changed: Mapping[int, int], pages: int) -> Iterator[tuple[int, NDArray[np.uint32]]]:
    """Yield (first page, checksums) of the changed pages, consecutive ones together; those beyond `pages` are gone."""
    numbers = np.array(sorted(page for page in changed if page <= pages), dtype=np.int64)
    for part in np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1):
        if len(part):
            yield int(part[0]), np.array([changed[page] for page in part.tolist()], dtype=np.uint32)


def text_of_pages(pages: Iterable[int], most: int = 5) -> str:
    """Return the numbers of the first pages, in words."""
    numbers = list(pages)
    return ", ".join(map(str, numbers[:most])) + (", ..." if len(numbers) > most else "")
