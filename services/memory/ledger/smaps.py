"""The mappings of this process and what of them is resident: /proc/self/smaps
(https://www.kernel.org/doc/html/latest/filesystems/proc.html).

Which pages of an address range are in RAM, and words of memory that may be gone by the time they are read.

The kernel answers both without a risk to this process (/proc/self/pagemap, process_vm_readv): an address that is no
longer mapped is an error, not a crash.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

SMAPS = Path("/proc/self/smaps")
# Some more than the last time, for mappings that came meanwhile.
_ROOM = 1.25
_LEAST_ROOM = 256 * 1024
_FIELDS = rb"(?:[A-Z]\w*: [^\n]*\n)*?"
_MAPPING = re.compile(
    rb"([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) \S+ \d+ *([^\n]*)\n"
    rb"%(fields)bRss: +(\d+) kB\nPss: +(\d+) kB\n"
    rb"%(fields)bPrivate_Clean: +(\d+) kB\nPrivate_Dirty: +(\d+) kB\n"
    rb"%(fields)bAnonymous: +(\d+) kB\n"
    rb"(?:%(fields)bSwap: +(\d+) kB\n)?" % {b"fields": _FIELDS}
)
PAGE = mmap.PAGESIZE
# A range below this is taken for resident as a whole: who allocates so little writes to it.
SMALL = 64 * 1024
_PRESENT = np.uint64(1 << 63)
# Mapped by nobody else, or a page of a file. The kernel's page of zeros, which stands in for memory that was read and
# never written, is neither.
_OWN = np.uint64((1 << 56) | (1 << 61))
_SLICE_PAGES = 1 << 16
_MOST_VECTORS = 1024  # UIO_MAXIOV
Bools = NDArray[np.bool_]
Words = NDArray[np.uint64]


class Mapping(NamedTuple):
    """One mapping: addresses, permissions as in "rw-p", the file behind it, and its sizes in bytes."""

    start: int
    end: int
    permissions: str
    offset: int
    path: str
    rss: int
    pss: int
    uss: int
    anonymous: int
    swap: int


class SmapsReader:
    """Reads /proc/self/smaps. One C call reads all of it without the GIL: Python's own read would take it back for
    each of hundreds of pages."""

    def __init__(self, file: Path = SMAPS) -> None:
        self._file = file
        self._room = _LEAST_ROOM
        self._libc = _libc()

    def read(self) -> list[memoryview]:
        """Return the text as it is now, in parts, without another allocation after it was read; empty where the
        system does not tell."""
        if self._libc is None:
            try:
                return [memoryview(self._file.read_bytes())]
            except OSError:
                return []
        stream = self._libc.fopen(bytes(self._file), b"re")
        if not stream:
            return []
        parts: list[memoryview] = []
        try:
            got = self._room
            while got == self._room:
                buffer = (ctypes.c_char * self._room)()
                got = self._libc.fread(buffer, 1, self._room, stream)
                parts.append(memoryview(buffer)[:got])
        finally:
            self._libc.fclose(stream)
        self._room = max(_LEAST_ROOM, int(sum(map(len, parts)) * _ROOM))
        return parts


def parse(text: Iterable[memoryview]) -> list[Mapping]:
    """Return the mappings in the order of their addresses."""
    # A loop in Python, so that other threads get their turn between any two mappings.
    return [_mapping(match) for match in _MAPPING.finditer(b"".join(text))]


def _mapping(match: re.Match[bytes]) -> Mapping:
    start, end, permissions, offset, path, *sizes = match.groups()
    rss, pss, clean, dirty, anonymous, swap = [1024 * int(size or 0) for size in sizes]
    return Mapping(
        int(start, 16),
        int(end, 16),
        permissions.decode(),
        int(offset, 16),
        path.decode(errors="replace"),
        rss,
        pss,
        clean + dirty,
        anonymous,
        swap,
    )


def _libc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(None)
        library.fopen.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
        library.fopen.restype = ctypes.c_void_p
        library.fread.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p]
        library.fread.restype = ctypes.c_size_t
        library.fclose.argtypes = [ctypes.c_void_p]
    except (OSError, AttributeError, TypeError):
        return None
    return library


class Residency:
    """Answers for this process; `known` tells whether the system lets it. To be used as a context."""

    def __init__(self) -> None:
        self._pagemap = -1
        self._forked = False
        self._readv = _readv_function()

    def __enter__(self) -> Self:
        with suppress(OSError):
            self._pagemap = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
            # While a forked child lives, what it shares is not our own alone, like this page that nobody writes to.
            _, address = _witness()
            entry = int.from_bytes(os.pread(self._pagemap, 8, 8 * (address // PAGE)), sys.byteorder)
            self._forked = bool(entry) and not entry & int(_OWN)
        return self

    def __exit__(self, *_: object) -> None:
        if self._pagemap >= 0:
            os.close(self._pagemap)
            self._pagemap = -1

    @property
    def known(self) -> bool:
        return self._pagemap >= 0

    @property
    def readable(self) -> bool:
        """Whether words can be read."""
        return self._readv is not None

    def pages(self, start: int, end: int) -> Bools | None:
        """Return for each page of [start, end) whether it is resident; None when the system does not tell."""
        first, last = start // PAGE, -(-end // PAGE)
        slices = []
        for page in range(first, last, _SLICE_PAGES):
            count = min(_SLICE_PAGES, last - page)
            try:
                entries = np.frombuffer(os.pread(self._pagemap, 8 * count, 8 * page), np.uint64)
            except OSError:
                return None
            if len(entries) < count:
                return None
            there = (entries & _PRESENT) != 0
            slices.append(there if self._forked else there & ((entries & _OWN) != 0))
        return np.concatenate(slices) if slices else np.zeros(0, np.bool_)

    def words(self, addresses: NDArray[np.uint64], count: int) -> Words | None:
        """Return `count` words of 8 bytes at each address, uint64 (n, count); zeros for what is gone, None when
        nothing can be read."""
        found = np.zeros((len(addresses), count), np.uint64)
        position = 0
        while position < len(addresses) and self._readv is not None:
            part = found[position : position + _MOST_VECTORS]
            here = np.array([[part.ctypes.data, part.nbytes]], np.uint64)
            there = np.empty((len(part), 2), np.uint64)
            there[:, 0] = addresses[position : position + len(part)]
            there[:, 1] = 8 * count
            got = self._readv(os.getpid(), here.ctypes.data, 1, there.ctypes.data, len(part), 0)
            if got < 0 and ctypes.get_errno() != errno.EFAULT:
                self._readv = None
                return None
            read = max(0, got) // (8 * count)
            # It stops at the first address that is gone: that one is left out.
            position += read if read == len(part) else read + 1
        return found if self._readv is not None else None


@cache
def _witness() -> tuple[mmap.mmap, int]:
    """Return a page that is written once, and its address."""
    page = mmap.mmap(-1, PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    page[0] = 1
    return page, ctypes.addressof(ctypes.c_char.from_buffer(page))


@cache
def _readv_function() -> ctypes._NamedFuncPointer | None:
    try:
        function = ctypes.CDLL(None, use_errno=True).process_vm_readv
    except (OSError, AttributeError, TypeError):
        return None
    word, address = ctypes.c_ulong, ctypes.c_void_p
    function.argtypes = [ctypes.c_int, address, word, address, word, word]
    function.restype = ctypes.c_ssize_t
    return function
