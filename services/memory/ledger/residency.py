"""Which pages of an address range are in RAM, and words of memory that may be gone by the time they are read.

The kernel answers both without a risk to this process (/proc/self/pagemap, process_vm_readv): an address that is no
longer mapped is an error, not a crash.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import sys
from contextlib import suppress
from functools import cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

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


class Residency:
    """Answers for this process; `known` tells whether the system lets it. To be used as a context."""

    def __init__(self) -> None:
        self._pagemap = -1
        self._forked = False
        self._readv = _library()

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
def _library() -> ctypes._NamedFuncPointer | None:
    try:
        function = ctypes.CDLL(None, use_errno=True).process_vm_readv
    except (OSError, AttributeError, TypeError):
        return None
    word, address = ctypes.c_ulong, ctypes.c_void_p
    function.argtypes = [ctypes.c_int, address, word, address, word, word]
    function.restype = ctypes.c_ssize_t
    return function
