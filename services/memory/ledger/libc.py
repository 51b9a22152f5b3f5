"""What the C library says about its allocator, where it is glibc 2.33 or newer, and about thread stacks."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache


class _Mallinfo(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


@dataclass(frozen=True, slots=True)
class Heap:
    """glibc's malloc in bytes (mallinfo2(3)): what its arenas took from the system, what of that is in use, and the
    blocks that have a mapping of their own."""

    arenas: int
    used: int
    mapped: int


def heap() -> Heap | None:
    """Return malloc's figures, None where the C library has none (0.01 to some ms, without the GIL)."""
    mallinfo = _mallinfo()
    if mallinfo is None:
        return None
    info = mallinfo()
    return Heap(info.arena, info.uordblks, info.hblkhd)


def stack_of(thread: int) -> tuple[int, int] | None:
    """Return (start, end) of a thread's stack, guard left out; `thread` is its pthread_t and must be alive."""
    library = _threads()
    attributes = ctypes.create_string_buffer(128)  # pthread_attr_t has 56 bytes on 64-bit Linux
    if library is None or library.pthread_getattr_np(ctypes.c_void_p(thread), attributes):
        return None
    address, size = ctypes.c_void_p(), ctypes.c_size_t()
    failed = library.pthread_attr_getstack(attributes, ctypes.byref(address), ctypes.byref(size))
    library.pthread_attr_destroy(attributes)
    return None if failed or not address.value else (address.value, address.value + size.value)


# Libraries are opened once: each time makes classes that only the collector gets rid of.


@cache
def _mallinfo() -> ctypes._NamedFuncPointer | None:
    try:
        function = ctypes.CDLL(None).mallinfo2
    except (OSError, AttributeError, TypeError):
        return None
    function.restype = _Mallinfo
    return function


@cache
def _threads() -> ctypes.PyDLL | None:
    """Return the C library, called without letting go of the GIL: the calls take microseconds."""
    try:
        library = ctypes.PyDLL(None)
        _ = library.pthread_getattr_np, library.pthread_attr_getstack, library.pthread_attr_destroy
    except (OSError, AttributeError, TypeError):
        return None
    return library
