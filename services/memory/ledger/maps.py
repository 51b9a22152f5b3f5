"""The mappings of this process and what of them is resident: /proc/self/smaps
(https://www.kernel.org/doc/html/latest/filesystems/proc.html).
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

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
        self._libc = _library()

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


def _library() -> ctypes.CDLL | None:
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
