"""The memory mappings of this process, which pages are resident, and safe reads of memory.

Mappings come from /proc/self/smaps (https://www.kernel.org/doc/html/latest/filesystems/proc.html), pages from
/proc/self/pagemap, and words of memory from process_vm_readv: for the last two an address that is no longer mapped is
an error, not a crash.
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
# The buffer is this much larger than the last text, for mappings that came meanwhile.
_BUFFER_MARGIN = 1.25
_LEAST_BUFFER = 256 * 1024
_FIELDS = rb"(?:[A-Z]\w*: [^\n]*\n)*?"
_MAPPING = re.compile(
    rb"([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) \S+ \d+ *([^\n]*)\n"
    rb"%(fields)bRss: +(\d+) kB\nPss: +(\d+) kB\n"
    rb"%(fields)bPrivate_Clean: +(\d+) kB\nPrivate_Dirty: +(\d+) kB\n"
    rb"%(fields)bAnonymous: +(\d+) kB\n"
    rb"(?:%(fields)bSwap: +(\d+) kB\n)?" % {b"fields": _FIELDS}
)
PAGE = mmap.PAGESIZE
# Ranges smaller than this count as resident: so little memory is usually written to at once.
SMALL = 64 * 1024
_PRESENT = np.uint64(1 << 63)
# Exclusively mapped, or a page of a file. The kernel's zero page, which backs memory that was read but never written,
# is neither.
_OWN = np.uint64((1 << 56) | (1 << 61))
_SLICE_PAGES = 1 << 16
_MOST_VECTORS = 1024  # UIO_MAXIOV
Bools = NDArray[np.bool_]
Words = NDArray[np.uint64]


class MemoryMapping(NamedTuple):
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
    """Reads /proc/self/smaps in one C call without the GIL: Python's read would reacquire it for each page."""

    def __init__(self, file: Path = SMAPS) -> None:
        self._file = file
        self._buffer_bytes = _LEAST_BUFFER
        self._library = _stdio_library()

    def read(self) -> list[memoryview]:
        """Return the text in parts, without an allocation after it was read; empty where the file does not exist."""
        if self._library is None:
            try:
                return [memoryview(self._file.read_bytes())]
            except OSError:
                return []
        stream = self._library.fopen(bytes(self._file), b"re")
        if not stream:
            return []
        parts: list[memoryview] = []
        try:
            got = self._buffer_bytes
            while got == self._buffer_bytes:
                buffer = (ctypes.c_char * self._buffer_bytes)()
                got = self._library.fread(buffer, 1, self._buffer_bytes, stream)
                parts.append(memoryview(buffer)[:got])
        finally:
            self._library.fclose(stream)
        self._buffer_bytes = max(_LEAST_BUFFER, int(sum(map(len, parts)) * _BUFFER_MARGIN))
        return parts


def parse_smaps(text: Iterable[memoryview]) -> list[MemoryMapping]:
    """Return the mappings in the order of their addresses."""
    # A loop in Python, so that other threads can run between any two mappings.
    return [_parse_mapping(match) for match in _MAPPING.finditer(b"".join(text))]


def _parse_mapping(match: re.Match[bytes]) -> MemoryMapping:
    start, end, permissions, offset, path, *sizes = match.groups()
    rss, pss, clean, dirty, anonymous, swap = [1024 * int(size or 0) for size in sizes]
    return MemoryMapping(
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


def _stdio_library() -> ctypes.CDLL | None:
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
    """The resident pages and memory words of this process, as a context manager."""

    def __init__(self) -> None:
        self._pagemap = -1
        self._forked = False
        self._readv = _readv_function()

    def __enter__(self) -> Self:
        with suppress(OSError):
            self._pagemap = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
            # While a forked child lives, the pages shared with it are not exclusive, like this one that nobody writes.
            _page, address = _reference_page()
            entry = int.from_bytes(os.pread(self._pagemap, 8, 8 * (address // PAGE)), sys.byteorder)
            self._forked = bool(entry) and not entry & int(_OWN)
        return self

    def __exit__(self, *_: object) -> None:
        if self._pagemap >= 0:
            os.close(self._pagemap)
            self._pagemap = -1

    @property
    def known(self) -> bool:
        """Whether the system says which pages are resident."""
        return self._pagemap >= 0

    def pages(self, start: int, end: int) -> Bools | None:
        """Return for each page of [start, end) whether it is resident; None where the system does not tell."""
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
            present = (entries & _PRESENT) != 0
            slices.append(present if self._forked else present & ((entries & _OWN) != 0))
        return np.concatenate(slices) if slices else np.zeros(0, np.bool_)

    def words(self, addresses: NDArray[np.uint64], count: int) -> Words | None:
        """Return `count` words of 8 bytes at each address, uint64 (n, count): zeros where nothing is mapped; None where
        process_vm_readv is not available.
        """
        found = np.zeros((len(addresses), count), np.uint64)
        position = 0
        while position < len(addresses) and self._readv is not None:
            part = found[position : position + _MOST_VECTORS]
            local = np.array([[part.ctypes.data, part.nbytes]], np.uint64)
            remote = np.empty((len(part), 2), np.uint64)
            remote[:, 0] = addresses[position : position + len(part)]
            remote[:, 1] = 8 * count
            got = self._readv(os.getpid(), local.ctypes.data, 1, remote.ctypes.data, len(part), 0)
            if got < 0 and ctypes.get_errno() != errno.EFAULT:
                self._readv = None
                return None
            read = max(0, got) // (8 * count)
            # The call stops at the first unmapped address: skip that one.
            position += read if read == len(part) else read + 1
        return found if self._readv is not None else None


@cache
def _reference_page() -> tuple[mmap.mmap, int]:
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
