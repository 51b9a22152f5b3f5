"""Counts all objects by type and names the biggest containers.

How much hangs on an object: everything that it leads to, modules, classes and functions left out.

pympler's view, in the forked child: the summary over all objects and the deep size of one thing.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import numpy as np

from services.memory.objects.graph import ReferenceGraph
from services.memory.objects.heap import Ints, ObjectHeap, is_subtype, own_size, type_name
from services.memory.objects.labels import attributes, slots
from services.memory.objects.names import Names

LARGE_BYTES = 512  # pymalloc hands out up to so much; malloc the rest
MOST_CONTAINERS = 500  # by length, and a third as many by what they hold
_LEAST_ENTRIES = 10
_LENGTHS: dict[type, Callable[[Any], int]] = {
    dict: dict.__len__,
    list: list.__len__,
    set: set.__len__,
    deque: deque.__len__,
}
MOST_OBJECTS = 50_000
_SHARED = (ModuleType, type, FunctionType, BuiltinFunctionType, CodeType, FrameType)
MOST_ROWS = 200
SECONDS_PER_OBJECT = 9e-6  # of muppy and asizeof, measured on a heap of a million objects


def count(heap: ObjectHeap, native: Ints) -> dict[str, tuple[int, int, int]]:
    """Return by name of type: count, bytes, and of these the native ones."""
    kinds = len(heap.types)
    columns = (
        np.bincount(heap.kinds, minlength=kinds),
        np.bincount(heap.kinds, weights=heap.sizes, minlength=kinds),
        np.bincount(heap.kinds, weights=native, minlength=kinds),
    )
    found: dict[str, tuple[int, int, int]] = {}
    for number, kind in enumerate(heap.types):
        name = type_name(kind)
        known = found.get(name, (0, 0, 0))  # several types may have one name
        counts, sizes, natives = (before + int(column[number]) for before, column in zip(known, columns, strict=True))
        found[name] = counts, sizes, natives
    return found


def large_bytes(heap: ObjectHeap, native: Ints) -> int:
    """Return the bytes in Python objects that malloc holds."""
    own = heap.sizes - native
    return int(own[own > LARGE_BYTES].sum())


def containers(
    heap: ObjectHeap, ways: ReferenceGraph, most: int = MOST_CONTAINERS
) -> list[tuple[int, str, int, str, int]]:
    """Return address, type, length, name and held bytes of the biggest containers, the longest first."""
    entries, names, held = lengths(heap), Names(ways), ways.held_bytes()
    longest = np.argsort(-entries, kind="stable")[:most]
    long = entries >= _LEAST_ENTRIES
    long[longest] = False
    others = np.flatnonzero(long)
    dearest = others[np.argsort(-held[others], kind="stable")[: most // 3]]
    return [
        (
            int(heap.addresses[index]),
            type_name(type(heap.objects[index])),
            int(entries[index]),
            names.name(index),
            int(held[index]),
        )
        for index in np.concatenate((longest, dearest)).tolist()
        if entries[index] >= _LEAST_ENTRIES
    ]


def lengths(heap: ObjectHeap) -> Ints:
    """Return how many entries each container has, 0 for what is none."""
    found = np.zeros(len(heap), dtype=np.int64)
    for number, kind in enumerate(heap.types):
        length = next((size for family, size in _LENGTHS.items() if is_subtype(kind, family)), None)
        if length is not None:
            places = np.flatnonzero(heap.kinds == number)
            found[places] = [length(heap.objects[index]) for index in places.tolist()]
    return found


class Reach:
    """Follows references from single objects, up to a number of objects."""

    def __init__(self, heap: ObjectHeap) -> None:
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
    """Return the bytes of an object and of what it leads to, without an `ObjectHeap`; follows at most `most` objects."""
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


def load() -> None:
    """Import pympler before the fork: a child must not wait for an import lock that nobody will release."""
    import pympler.asizeof
    import pympler.muppy
    import pympler.summary  # noqa: F401 - for its effect


def summary() -> list[tuple[str, int, int]]:
    """Return muppy's summary: name of type, count, bytes, the largest first."""
    from pympler import muppy
    from pympler import summary as untyped

    summary: Any = untyped

    rows = summary.summarize(muppy.get_objects())
    rows.sort(key=lambda row: -row[2])
    return [(str(name), int(count), int(size)) for name, count, size in rows[:MOST_ROWS]]


def deep_size(get: Callable[[], object]) -> dict[str, Any]:
    """Return what asizeof says of one thing: bytes in all, and by attribute, the largest first.

    An object that several attributes lead to counts for the first of them, so the parts add up to the whole.
    """
    from pympler import asizeof as untyped

    asizeof: Any = untyped
    value = get()
    sizer = asizeof.Asizer()
    parts: list[tuple[str, int]] = []
    failed: list[str] = []
    names = attributes(value) or dict(slots(value))
    for name, part in list(names.items())[:MOST_ROWS]:
        try:
            parts.append((str(name)[:100], int(sizer.asizeof(part))))
        except Exception:  # noqa: BLE001 - pympler asks objects for attributes, and some object to that
            failed.append(str(name)[:100])
            parts.append((str(name)[:100], reachable_bytes(part)))
    parts.sort(key=lambda part: -part[1])
    total = sum(size for _name, size in parts) + own_size(value)
    return {"bytes": total, "parts": parts[:50], "failed": failed[:50]}
