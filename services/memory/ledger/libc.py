"""What the C library says about its allocator, where it is glibc 2.33 or newer, and about thread stacks."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

# Those that must not be interrupted by other Python threads keep the GIL (PyDLL); they take microseconds.


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
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2
    except (OSError, AttributeError, TypeError):
        return None
    mallinfo.restype = _Mallinfo
    info = mallinfo()
    return Heap(info.arena, info.uordblks, info.hblkhd)


def stack_of(thread: int) -> tuple[int, int] | None:
    """Return (start, end) of a thread's stack, guard left out; `thread` is its pthread_t and must be alive."""
    try:
        library = ctypes.PyDLL(None)
        get, read = library.pthread_getattr_np, library.pthread_attr_getstack
        destroy = library.pthread_attr_destroy
    except (OSError, AttributeError, TypeError):
        return None
    attributes = ctypes.create_string_buffer(128)  # pthread_attr_t has 56 bytes on 64-bit Linux
    if get(ctypes.c_void_p(thread), attributes):
        return None
    address, size = ctypes.c_void_p(), ctypes.c_size_t()
    failed = read(attributes, ctypes.byref(address), ctypes.byref(size))
    destroy(attributes)
    return None if failed or not address.value else (address.value, address.value + size.value)
