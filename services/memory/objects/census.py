"""Counts and sizes of objects, in the forked child: by type, of the largest containers, and of all that one object
reaches (modules, classes and functions left out); the same by pympler.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.memory.objects.describe import describe
from services.memory.objects.graph import ReferenceGraph
from services.memory.objects.heap import Ints, ObjectHeap, is_subtype, own_size, type_name
from services.memory.objects.identity import Evidence, digests
from services.memory.objects.labels import attributes, slots
from services.memory.objects.names import ObjectNamer

LARGE_BYTES = 512  # larger objects come from malloc, smaller ones from pymalloc
MOST_CONTAINERS = 500  # by length, and a third as many by held bytes
_LEAST_ENTRIES = 10
_LENGTHS: dict[type, Callable[[Any], int]] = {
    dict: dict.__len__,
    list: list.__len__,
    set: set.__len__,
    deque: deque.__len__,
}
MOST_OBJECTS = 50_000
_SHARED_TYPES = (ModuleType, type, FunctionType, BuiltinFunctionType, CodeType, FrameType)
MOST_ROWS = 200
SECONDS_PER_OBJECT = 9e-6  # of muppy and asizeof, measured on a heap of a million objects


def count_types(heap: ObjectHeap, native: Ints, watching: NDArray[np.bool_]) -> dict[str, list[int]]:
    """Return the figures of `TypeCount` by type name: count, bytes, native bytes; count and bytes of the watching."""
    kinds = len(heap.types)
    columns = (
        np.bincount(heap.kinds, minlength=kinds),
        np.bincount(heap.kinds, weights=heap.sizes, minlength=kinds),
        np.bincount(heap.kinds, weights=native, minlength=kinds),
        np.bincount(heap.kinds[watching], minlength=kinds),
        np.bincount(heap.kinds[watching], weights=heap.sizes[watching], minlength=kinds),
    )
    found: dict[str, list[int]] = {}
    for number, kind in enumerate(heap.types):
        figures = found.setdefault(type_name(kind), [0] * len(columns))  # several types may share a name
        for place, column in enumerate(columns):
            figures[place] += int(column[number])
    return found


def large_bytes(heap: ObjectHeap, native: Ints) -> int:
    """Return the bytes of Python objects that come from malloc."""
    own = heap.sizes - native
    return int(own[own > LARGE_BYTES].sum())


def largest_containers(
    heap: ObjectHeap, graph: ReferenceGraph, watching: NDArray[np.bool_], run: int, most: int = MOST_CONTAINERS
) -> list[tuple[int, str, int, str, int, str, bool]]:
    """Return the figures of `ContainerCount` of the largest containers, the longest first."""
    entries, names, held = container_lengths(heap), ObjectNamer(graph), graph.held_bytes()
    longest = np.argsort(-entries, kind="stable")[:most]
    long = entries >= _LEAST_ENTRIES
    long[longest] = False
    others = np.flatnonzero(long)
    heaviest = others[np.argsort(-held[others], kind="stable")[: most // 3]]
    return [
        (
            int(heap.addresses[index]),
            type_name(type(heap.objects[index])),
            int(entries[index]),
            name := names.name(index),
            int(held[index]),
            str(Evidence(run, 0, *digests(describe(heap.objects[index], under=name), name))),
            bool(watching[index]),
        )
        for index in np.concatenate((longest, heaviest)).tolist()
        if entries[index] >= _LEAST_ENTRIES
    ]


def container_lengths(heap: ObjectHeap) -> Ints:
    """Return the number of entries of each container, 0 for other objects."""
    found = np.zeros(len(heap), dtype=np.int64)
    for number, kind in enumerate(heap.types):
        length = next((size for family, size in _LENGTHS.items() if is_subtype(kind, family)), None)
        if length is not None:
            places = np.flatnonzero(heap.kinds == number)
            found[places] = [length(heap.objects[index]) for index in places.tolist()]
    return found


class ReachableSize:
    """Measures what single objects reach by following references."""

    def __init__(self, heap: ObjectHeap) -> None:
        self._heap = heap
        shared = [any(is_subtype(kind, family) for family in _SHARED_TYPES) for kind in heap.types]
        self._shared = np.array(shared, dtype=bool)

    def measure(self, index: int, most: int = MOST_OBJECTS) -> tuple[int, bool]:
        """Return the bytes of an object and all it reaches, and whether that is complete within `most` objects."""
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
    """Return the bytes of an object and all it reaches, without an `ObjectHeap`; follows at most `most` objects."""
    found = {id(value): value}
    frontier = [value]
    while frontier and len(found) < most:
        fresh: dict[int, object] = {}
        for referent in gc.get_referents(*frontier):
            if id(referent) not in found and not any(is_subtype(type(referent), family) for family in _SHARED_TYPES):
                fresh[id(referent)] = referent
        found.update(fresh)
        frontier = list(fresh.values())
    return sum(map(own_size, found.values()))


def load_pympler() -> None:
    """Import pympler before the fork: a child must not wait for an import lock that nobody releases."""
    import pympler.asizeof
    import pympler.muppy
    import pympler.summary  # noqa: F401 - for its effect


def pympler_summary() -> list[tuple[str, int, int]]:
    """Return muppy's summary: type name, count, bytes, the largest first."""
    from pympler import muppy
    from pympler import summary as untyped

    summary: Any = untyped

    rows = summary.summarize(muppy.get_objects())
    rows.sort(key=lambda row: -row[2])
    return [(str(name), int(count), int(size)) for name, count, size in rows[:MOST_ROWS]]


def pympler_deep_size(get: Callable[[], object]) -> dict[str, Any]:
    """Return the size of an object by asizeof: bytes in total and by attribute, the largest first.

    An object that several attributes reach counts for the first of them, so the parts add up to the total.
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
        except Exception:  # noqa: BLE001 - pympler reads attributes, which may raise anything
            failed.append(str(name)[:100])
            parts.append((str(name)[:100], reachable_bytes(part)))
    parts.sort(key=lambda part: -part[1])
    total = sum(size for _name, size in parts) + own_size(value)
    return {"bytes": total, "parts": parts[:50], "failed": failed[:50]}
