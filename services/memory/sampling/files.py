"""Small files of the kernel, read whole."""

from __future__ import annotations

import os

_MOST = 1 << 16


def read(path: str) -> bytes | None:
    """Return what a small file says, None where it is not there or not for us to read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(descriptor, _MOST)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def field(text: bytes, name: bytes) -> int | None:
    """Return the number after `name` at the beginning of a line, as in /proc/meminfo and memory.stat."""
    place = 0 if text.startswith(name) else text.find(b"\n" + name) + 1
    if place == 0 and not text.startswith(name):
        return None
    words = text[place + len(name) : place + len(name) + 40].split(maxsplit=1)
    return int(words[0]) if words and words[0].isdigit() else None
