"""Small files with a checksum in their last line, so that a flipped bit of a figure is found when they are read.

Archives of arrays (npz) have checksums of their own; a damaged one raises any of `ARCHIVE_ERRORS`.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib

# What zipfile, zlib and NumPy raise over flipped bits: a method that does not exist, an encrypted member, sizes beyond
# all memory.
ARCHIVE_ERRORS = (
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,
    OverflowError,
    MemoryError,
    SyntaxError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
_LAST_LINE = re.compile(rb"\ncrc32 ([0-9a-f]{8})\n\Z")


def with_checksum(content: bytes) -> bytes:
    """Return what is written to the file."""
    return content + b"\ncrc32 %08x\n" % zlib.crc32(content)


def without_checksum(stored: bytes) -> bytes:
    """Return the content of such a file; one of an older version, which has no checksum, as it is.

    Raises:
        ValueError: the file is damaged.
    """
    found = _LAST_LINE.search(stored)
    if found is None:
        if b"\ncrc32" in stored[-32:]:
            raise ValueError("the checksum is damaged")
        return stored
    content = stored[: found.start()]
    if int(found[1], 16) != zlib.crc32(content):
        raise ValueError("the checksum is wrong")
    return content
