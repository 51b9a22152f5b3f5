"""Reading the objects that the garbage collector tracks, while other threads run.

CPython shows the collector a tuple that is still being built (`tuple(generator)`, `f(*generator)`). While anything else
refers to it, its building fails with "SystemError: Objects/tupleobject.c: bad argument to internal function", in
whatever thread it was (python/cpython#107137). A list of all objects refers to it. So here such a list lives within one
call into C, in which no other thread of the process runs, and nowhere else in a running process is one made.
"""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterator
from itertools import chain, compress, repeat


def count_tracked() -> int:
    """Return the number of tracked objects; stops all threads for 20 ms per million."""
    return sum(map(len, map(gc.get_objects, (None,))))


def find_tracked(addresses: Collection[int]) -> list[object]:
    """Return the tracked objects at these addresses; stops all threads for 120 ms per million."""
    wanted = frozenset(addresses)
    enabled = gc.isenabled()
    gc.disable()  # between the two lists nothing may move from one generation to another
    try:
        # The second list has the first one in it and so is longer. Both have to come to their ends: what iterates over
        # a list is in it as well.
        found = list(compress(chain(_all(), repeat(None)), map(wanted.__contains__, map(id, _all()))))
    finally:
        if enabled:
            gc.enable()
    return [value for value in found if id(value) in wanted]


def _all() -> Iterator[object]:
    return chain.from_iterable(map(gc.get_objects, (2, 1, 0)))
