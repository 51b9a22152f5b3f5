"""The two counts of generation 2's gate, read where CPython keeps them: there is no function that tells them.

`struct _gc_runtime_state` holds, one after another, pointers to `gc.garbage` and `gc.callbacks`, `long_lived_total`
and `long_lived_pending`. The two pointers are known, so the place is found by looking for them; only memory that is
mapped is looked at. Where they are not found side by side, nothing is told.
"""

from __future__ import annotations

import ctypes
import gc
from functools import cache
from pathlib import Path

import structlog

from services.memory.collector.rules import own_rules

log = structlog.get_logger(__name__)

_WORD = ctypes.sizeof(ctypes.c_ssize_t)
_SEARCHED_WORDS = 4096  # the collector's state lies in the first 8 KB of the interpreter's
# Where the layout was looked at; elsewhere the two words behind the pointers may mean something else.
_KNOWN = ((3, 11), (3, 12), (3, 13))


def gate() -> tuple[int, int] | None:
    """Return (`long_lived_total`, `long_lived_pending`): objects that the last full collection left, and those that
    grew old since (they count on after their end); None where this Python has no gate or its counts are not found."""
    address = _address()
    if address is None:
        return None
    total, pending = (ctypes.c_ssize_t * 2).from_address(address)
    return int(total), int(pending)


@cache
def _address() -> int | None:
    rules = own_rules()
    if not rules.gated or rules.version[:2] not in _KNOWN:
        return None
    get = ctypes.pythonapi.PyInterpreterState_Get
    get.restype = ctypes.c_void_p
    base = get()
    size = _mapped_from(base)
    wanted = (id(gc.garbage), id(gc.callbacks))
    words = (ctypes.c_ssize_t * min(_SEARCHED_WORDS, size // _WORD)).from_address(base)
    found = list(words)
    for place in range(len(found) - 3):
        if (found[place], found[place + 1]) == wanted:
            return int(base) + (place + 2) * _WORD
    log.info("the collector's gate is not where it was; its counts are not shown", python=rules.version)
    return None


def _mapped_from(address: int) -> int:
    """Return how many bytes from `address` on can be read."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        begin, _dash, end = line.split(" ", 1)[0].partition("-")
        if int(begin, 16) <= address < int(end, 16) and " r" in line:
            return int(end, 16) - address
    return 0
