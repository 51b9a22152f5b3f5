"""Figures of the two allocators of this process: the C library's malloc (glibc 2.33 or newer) and Python's pymalloc.

Those of pymalloc exist as text only: `sys._debugmallocstats()` prints them to the C library's stderr. The function
behind it takes the stream as an argument (exported since Python 3.3, later for guppy3), so they are printed into memory
here and no descriptor is touched.
"""

from __future__ import annotations

import ctypes
import re
import sys
import threading
import tracemalloc
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from services.core.i18n import _
from services.memory.types import Series


@dataclass(frozen=True, slots=True)
class Allocators:
    """The figures of malloc and pymalloc; None where this system or this Python has none."""

    heap: MallocHeap | None
    pymalloc: Pymalloc | None

    def unknown(self) -> list[str]:
        """Return texts on what is not known."""
        texts = []
        if self.heap is None:
            texts.append(
                _(
                    "This system's C library does not report what its allocator has in use: free memory, and anonymous "
                    "memory of which nothing is known, counts as native memory in use."
                )
            )
        if self.pymalloc is None:
            texts.append(
                _("This Python does not report what its allocator has in use: its free memory counts as objects.")
            )
        elif self.pymalloc.estimated:
            texts.append(
                _("While allocations are traced, Python reports how many small objects there are, but not their size.")
            )
        return texts

    def series(self) -> Mapping[str, float]:
        """Return the columns of a sample that these figures make."""
        return {Series.PYTHON_USED: float(self.pymalloc.used)} if self.pymalloc else {}


class AllocatorReader:
    """Reads the figures of both allocators."""

    def __init__(self) -> None:
        self._pymalloc = PymallocReader()

    def read(self) -> Allocators:
        """Read the figures; pymalloc's take 0.3 ms for each 100 MB, with the GIL held."""
        return Allocators(malloc_heap(), self._pymalloc.read())


class _Mallinfo(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


@dataclass(frozen=True, slots=True)
class MallocHeap:
    """glibc's malloc in bytes (mallinfo2(3)): what its arenas took from the system, what of that is in use, and the
    blocks that have a mapping of their own."""

    arenas: int
    used: int
    mapped: int


def malloc_heap() -> MallocHeap | None:
    """Return the figures of malloc, None where the C library has none (0.01 ms to some ms, without the GIL)."""
    mallinfo = _mallinfo()
    if mallinfo is None:
        return None
    info = mallinfo()
    return MallocHeap(info.arena, info.uordblks, info.hblkhd)


def thread_stack(thread: int) -> tuple[int, int] | None:
    """Return (start, end) of a thread's stack, guard left out; `thread` is its pthread_t and must be alive."""
    library = _pthread_library()
    attributes = ctypes.create_string_buffer(128)  # pthread_attr_t has 56 bytes on 64-bit Linux
    if library is None or library.pthread_getattr_np(ctypes.c_void_p(thread), attributes):
        return None
    address, size = ctypes.c_void_p(), ctypes.c_size_t()
    failed = library.pthread_attr_getstack(attributes, ctypes.byref(address), ctypes.byref(size))
    library.pthread_attr_destroy(attributes)
    return None if failed or not address.value else (address.value, address.value + size.value)


# Libraries are opened once: each opening makes classes that only the garbage collector frees.
@cache
def _mallinfo() -> ctypes._NamedFuncPointer | None:
    try:
        function = ctypes.CDLL(None).mallinfo2
    except (OSError, AttributeError, TypeError):
        return None
    function.restype = _Mallinfo
    return function


@cache
def _pthread_library() -> ctypes.PyDLL | None:
    """Return the C library, called with the GIL held: the calls take microseconds."""
    try:
        library = ctypes.PyDLL(None)
        _ = library.pthread_getattr_np, library.pthread_attr_getstack, library.pthread_attr_destroy
    except (OSError, AttributeError, TypeError):
        return None
    return library


@dataclass(frozen=True, slots=True)
class Pymalloc:
    """Bytes that pymalloc took from the system (`arenas`) and those in use, its overhead included (`used`).

    Both are `estimated` while allocations are traced, as pymalloc then reports itself as switched off.
    """

    arenas: int
    used: int
    estimated: bool = False


_NUMBER = r"[^=\n]*=\s*([\d,]+)"
_ARENAS = re.compile(r"^\s*[\d,]+ arenas \* [\d,]+ bytes/arena" + _NUMBER, re.MULTILINE)
_BLOCKS = re.compile(r"bytes in allocated blocks" + _NUMBER)
_OVERHEAD = re.compile(r"bytes lost to (?:pool headers|quantization)" + _NUMBER)


class PymallocReader:
    """Reads the figures of pymalloc (0.3 ms at 100 MB, with the GIL held) through one stream in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stream: int | None = None
        self._text = ctypes.c_void_p()
        self._size = ctypes.c_size_t()
        self._library = _pymalloc_library()
        self._blocks = 0
        self._last = Pymalloc(0, 0)

    def read(self) -> Pymalloc | None:
        """Return the figures, None where this Python has none."""
        if self._library is None:
            return None
        with self._lock:
            text = self._print(self._library)
            if text is None:
                return None
            if not text and tracemalloc.is_tracing():
                return self._estimate()
            found = parse_pymalloc(text)
            if found is not None:
                self._blocks, self._last = sys.getallocatedblocks(), found
            return found

    def _estimate(self) -> Pymalloc:
        """Estimate the figures from the last ones and the number of blocks, which is still reported."""
        growth = sys.getallocatedblocks() / self._blocks if self._blocks else 0.0
        used = int(self._last.used * growth)
        # Arenas are rarely returned to the system.
        return Pymalloc(max(self._last.arenas, int(self._last.arenas * growth)), used, estimated=True)

    def _print(self, library: ctypes.PyDLL) -> str | None:
        if self._stream is None:
            self._stream = library.open_memstream(ctypes.byref(self._text), ctypes.byref(self._size))
        if not self._stream:
            return None
        library.fseek(self._stream, 0, 0)
        if not library._PyObject_DebugMallocStats(self._stream):  # noqa: SLF001 - see the module
            return ""  # Python runs without pymalloc
        library.fflush(self._stream)
        return ctypes.string_at(self._text.value or 0, self._size.value).decode("ascii", "replace")


def parse_pymalloc(text: str) -> Pymalloc | None:
    """Return the figures in `text`, None in an unknown format; "" means that pymalloc is not used."""
    if not text:
        return Pymalloc(0, 0)
    arenas, blocks = _ARENAS.search(text), _BLOCKS.search(text)
    if arenas is None or blocks is None:
        return None
    return Pymalloc(
        _parse_number(arenas[1]), _parse_number(blocks[1]) + sum(map(_parse_number, _OVERHEAD.findall(text)))
    )


def _parse_number(text: str) -> int:
    return int(text.replace(",", ""))


def _pymalloc_library() -> ctypes.PyDLL | None:
    library = ctypes.pythonapi
    try:
        library.open_memstream.restype = ctypes.c_void_p
        library.open_memstream.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        library.fseek.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_int]
        library.fflush.argtypes = [ctypes.c_void_p]
        library._PyObject_DebugMallocStats.argtypes = [ctypes.c_void_p]  # noqa: SLF001 - see the module
    except AttributeError:
        return None
    return library
