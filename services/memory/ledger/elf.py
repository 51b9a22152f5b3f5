"""Where the zero-initialised data (.bss) of a library lies: an anonymous mapping that follows the library's own, and
that the kernel joins with whatever anonymous memory comes next.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path

_LOAD = 1
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_MOST_SEGMENTS = 64


@lru_cache(maxsize=4096)
def zero_initialised(path: str) -> tuple[tuple[int, int], ...]:
    """Return (start, end) of the .bss of an ELF file, relative to where it is loaded; empty for any other file.

    System V ABI, program headers: what of a segment's memory size goes beyond its size in the file.
    """
    try:
        with Path(path).open("rb") as file:
            header = _HEADER.unpack(file.read(_HEADER.size))
            if header[0][:6] != b"\x7fELF\x02\x01":  # 64 bits, little-endian
                return ()
            file.seek(header[5])
            segments = [_SEGMENT.unpack(file.read(_SEGMENT.size)) for _ in range(min(header[10], _MOST_SEGMENTS))]
    except (OSError, struct.error):
        return ()
    loads = [segment for segment in segments if segment[0] == _LOAD]
    base = min((address for _type, _flags, _offset, address, *_rest in loads), default=0) & -4096
    return tuple(
        (address + file_size - base, address + memory_size - base)
        for _type, _flags, _offset, address, _physical, file_size, memory_size, _align in loads
        if memory_size > file_size
    )
