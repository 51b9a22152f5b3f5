"""Counts all objects by type and names the biggest containers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from services.memory.objects.graph import Ways
from services.memory.objects.heap import Heap, Ints
from services.memory.objects.names import Names
from services.memory.objects.naming import is_subtype, type_name

LARGE_BYTES = 512  # pymalloc hands out up to so much; malloc the rest
MOST_CONTAINERS = 500  # by length, and a third as many by what they hold
_LEAST_ENTRIES = 10
_LENGTHS: dict[type, Callable[[Any], int]] = {
    dict: dict.__len__,
    list: list.__len__,
    set: set.__len__,
    deque: deque.__len__,
}


def count(heap: Heap, native: Ints) -> dict[str, tuple[int, int, int]]:
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


def large_bytes(heap: Heap, native: Ints) -> int:
    """Return the bytes in Python objects that malloc holds."""
    own = heap.sizes - native
    return int(own[own > LARGE_BYTES].sum())


def containers(heap: Heap, ways: Ways, most: int = MOST_CONTAINERS) -> list[tuple[int, str, int, str, int]]:
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


def lengths(heap: Heap) -> Ints:
    """Return how many entries each container has, 0 for what is none."""
    found = np.zeros(len(heap), dtype=np.int64)
    for number, kind in enumerate(heap.types):
        length = next((size for family, size in _LENGTHS.items() if is_subtype(kind, family)), None)
        if length is not None:
            places = np.flatnonzero(heap.kinds == number)
            found[places] = [length(heap.objects[index]) for index in places.tolist()]
    return found
