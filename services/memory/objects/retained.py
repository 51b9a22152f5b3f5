"""What would be freed if one object went, in the forked child: it and all that it alone keeps alive.

Found without the dominators of the whole heap: whatever the object reaches, minus what is referred to from outside of
that, and what this refers to in turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import CodeType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.memory.objects.graph import ReferenceGraph, expand
from services.memory.objects.heap import Ints, ObjectHeap, is_subtype, namespace

MOST_FOLLOWED = 300_000  # objects
MOST_SECONDS = 5.0
Mask = NDArray[np.bool_]


def retained_size(graph: ReferenceGraph, index: int) -> dict[str, Any]:
    """Return the figures of `RetainedSize` of the object at an index.

    Where there is too much to follow, what was not followed counts as held from elsewhere, and so does all that only it
    holds: the result is a lower bound. What native code alone refers to besides is not seen.
    """
    inside, complete = _reached(graph, index)
    retained = inside & ~_held_from_outside(graph, index, inside)
    return {
        "bytes": int(graph.heap.sizes[retained].sum()),
        "objects": int(retained.sum()),
        "complete": complete,
        "most_objects": MOST_FOLLOWED,
        "most_seconds": MOST_SECONDS,
    }


def _reached(graph: ReferenceGraph, index: int) -> tuple[Mask, bool]:
    """Return which objects one reaches, itself included, and whether all of them were followed."""
    heap, deadline = graph.heap, time.monotonic() + MOST_SECONDS
    lasting = _modules(graph, index)
    inside = np.zeros(len(heap), dtype=bool)
    inside[index] = True
    frontier: Ints = np.array([index], dtype=np.int64)
    found = 1
    while len(frontier):
        if time.monotonic() > deadline:
            return inside, False
        reached, _sources = expand(frontier, heap.starts, graph.targets)
        frontier = np.unique(reached[~inside[reached] & ~lasting[reached]])
        room = MOST_FOLLOWED - found
        inside[frontier[:room]] = True
        if len(frontier) > room:
            return inside, False
        found += len(frontier)
    return inside, True


def _held_from_outside(graph: ReferenceGraph, index: int, inside: Mask) -> Mask:
    """Return which objects inside something outside keeps alive, or a running thread, not by way of the one."""
    heap, targets = graph.heap, graph.targets
    crossing = (targets >= 0) & inside[targets] & ~inside[heap.sources]
    held = np.zeros(len(heap), dtype=bool)
    held[targets[crossing]] = True
    held[graph.in_threads] = True
    held[_constants(heap)] = True
    held[_singletons(heap, inside)] = True
    held &= inside
    held[index] = False
    frontier = np.flatnonzero(held)
    while len(frontier):
        reached, _sources = expand(frontier, heap.starts, targets)
        frontier = np.unique(reached[inside[reached] & ~held[reached]])
        frontier = frontier[frontier != index]
        held[frontier] = True
    return held


def _constants(heap: ObjectHeap) -> Ints:
    """Return the objects that code has as its constants and names, which the collector does not report."""
    waiting = [
        heap.objects[at]
        for number, kind in enumerate(heap.types)
        if kind is CodeType
        for at in np.flatnonzero(heap.kinds == number).tolist()
    ]
    found = set(map(id, waiting))
    while waiting:
        value = waiting.pop()
        parts: tuple[object, ...] = ()
        if type(value) is CodeType:
            names = (value.co_name, value.co_qualname, value.co_filename)
            parts = (
                *value.co_consts,
                *value.co_names,
                *value.co_varnames,
                *value.co_cellvars,
                *value.co_freevars,
                *names,
            )
        elif type(value) is tuple or type(value) is frozenset:
            parts = tuple(value)
        fresh = [part for part in parts if id(part) not in found]
        found.update(map(id, fresh))
        waiting += fresh  # what is neither code nor a tuple ends there
    places = heap.index(np.fromiter(found, dtype=np.int64, count=len(found)))
    return places[places >= 0]


def _singletons(heap: ObjectHeap, inside: Mask) -> list[int]:
    """Return which objects inside the interpreter keeps for good: small numbers, and texts of one character or none."""
    small: dict[type, Callable[[Any], bool]] = {
        int: lambda value: -5 <= value <= 256,
        str: lambda value: len(value) <= 1,
        bytes: lambda value: len(value) <= 1,
        tuple: lambda value: not value,
    }
    return [
        at
        for number, kind in enumerate(heap.types)
        for wanted, is_kept in small.items()
        if kind is wanted  # a look-up would run the code of a metaclass
        for at in np.flatnonzero(inside & (heap.kinds == number)).tolist()
        if is_kept(heap.objects[at])
    ]


def _modules(graph: ReferenceGraph, index: int) -> Mask:
    """Return which objects are modules or their namespaces, which no object takes along, unless it is one itself."""
    heap = graph.heap
    found = np.zeros(len(heap), dtype=bool)
    for number, kind in enumerate(heap.types):
        if is_subtype(kind, ModuleType):
            places = np.flatnonzero(heap.kinds == number)
            found[places] = True
            spaces = [id(namespace(heap.objects[place])) for place in places.tolist()]  # type: ignore[arg-type] # a module
            known = heap.index(np.array(spaces, dtype=np.int64))
            found[known[known >= 0]] = True
    own = heap.objects[index]
    if is_subtype(type(own), ModuleType):
        found[index] = False
        place = heap.find(id(namespace(own)))  # type: ignore[arg-type] # its type was just checked
        if place is not None:
            found[place] = False
    found[index] = False
    return found
