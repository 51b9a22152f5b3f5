"""How much hangs on an object: everything that it leads to, modules, classes and functions left out."""

from __future__ import annotations

import gc
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, ModuleType

import numpy as np

from services.memory.objects.heap import Heap, own_size
from services.memory.objects.naming import is_subtype

MOST_OBJECTS = 50_000
_SHARED = (ModuleType, type, FunctionType, BuiltinFunctionType, CodeType, FrameType)


class Reach:
    """Follows references from single objects, up to a number of objects."""

    def __init__(self, heap: Heap) -> None:
        self._heap = heap
        shared = [any(is_subtype(kind, family) for family in _SHARED) for kind in heap.types]
        self._shared = np.array(shared, dtype=bool)

    def bytes(self, index: int, most: int = MOST_OBJECTS) -> tuple[int, bool]:
        """Return the bytes of an object and all that it leads to, and whether `most` objects were enough for it."""
        heap = self._heap
        seen = np.array([index], dtype=np.int64)
        frontier = seen
        while len(frontier):
            addresses = np.concatenate([heap.referents(int(place)) for place in frontier])
            found = heap.index(np.unique(addresses))
            found = found[found >= 0]
            found = found[~self._shared[heap.kinds[found]]]
            frontier = np.setdiff1d(found, seen)
            if len(seen) + len(frontier) > most:
                return int(heap.sizes[seen].sum()), False
            seen = np.concatenate((seen, frontier))
        return int(heap.sizes[seen].sum()), True


def reachable_bytes(value: object, most: int = 10 * MOST_OBJECTS) -> int:
    """Return the bytes of an object and of what it leads to, without a `Heap`; at most `most` objects are followed."""
    found = {id(value): value}
    frontier = [value]
    while frontier and len(found) < most:
        fresh: dict[int, object] = {}
        for referent in gc.get_referents(*frontier):
            if id(referent) not in found and not any(is_subtype(type(referent), family) for family in _SHARED):
                fresh[id(referent)] = referent
        found.update(fresh)
        frontier = list(fresh.values())
    return sum(map(own_size, found.values()))
