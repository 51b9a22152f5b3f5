"""The shortest path from a root to every object of the heap."""

from __future__ import annotations

import time
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from services.memory.objects.heap import Indices, Ints, ObjectHeap, module_name
from services.memory.objects.threads import ThreadLocals

UNREACHED, ROOT = -1, -2
OUR_PACKAGES = ("services", "console", "pages", "__main__")
_MOST_LEVELS = 3000  # nobody would read a longer path


class ReferenceGraph:
    """The parent of each object on the shortest path from a root, found breadth first from several roots at once.

    Roots come in this order, each reaching only what the earlier ones do not: modules (ours first), local variables of
    running threads, and objects without known referrers (held by native code, or by an expression that is just being
    evaluated). The rest are cycles that wait for the collector or that native code holds.

    `parents` (n,) are indices, or `ROOT` or `UNREACHED`; `variables` are the names of local variables by index;
    `levels` the indices of what was reached in each step, roots left out. `targets` (m,) are the heap's as indices, -1
    for unknown ones; `in_threads` the indices of all that local variables refer to.
    """

    def __init__(self, heap: ObjectHeap, carried: ThreadLocals | None = None, seconds: float = 10.0) -> None:
        self.heap = heap
        self._deadline = time.monotonic() + seconds
        self.targets: Ints = heap.index(heap.targets)
        self.parents: Indices = np.full(len(heap), UNREACHED, dtype=np.int32)
        self.variables: dict[int, str] = {}
        self.in_threads: Ints = np.empty(0, dtype=np.int64)
        self.levels: list[Ints] = []
        self._reach(self._modules())
        self._reach(self._locals(carried))
        self._reach(self._without_referrers())

    def path(self, index: int) -> list[int]:
        """Return the indices from the root to an object, itself included."""
        found = [index]
        while (parent := int(self.parents[found[-1]])) >= 0:
            found.append(parent)
        return found[::-1]

    def held_bytes(self) -> Ints:
        """Return for each object its bytes and those of all objects whose shortest path leads through it.

        Each object counts for one path only, so the sums of siblings never overlap (unlike the reachable bytes).
        """
        held = self.heap.sizes.copy()
        for level in reversed(self.levels):
            np.add.at(held, self.parents[level], held[level])
        return held

    def _modules(self) -> Ints:
        heap = self.heap
        found = [
            index
            for number, kind in enumerate(heap.types)
            if ModuleType in type.__dict__["__mro__"].__get__(kind)
            for index in np.flatnonzero(heap.kinds == number).tolist()
        ]

        def rank(index: int) -> tuple[bool, bool, str]:
            module = heap.objects[index]
            assert isinstance(module, ModuleType)  # noqa: S101 - its type was checked above
            name = module_name(module)
            # A page's script is called __main__ too; what it imports belongs to the module it comes from.
            return name.split(".")[0] not in OUR_PACKAGES, name == "__main__", name

        return np.array(sorted(found, key=rank), dtype=np.int64)

    def _locals(self, carried: ThreadLocals | None) -> Ints:
        held: set[int] = set()
        for thread, function, variable, value in carried.variables if carried else ():
            index = self.heap.find(id(value))
            if index is not None:
                held.add(index)
            if index is not None and self.parents[index] == UNREACHED:
                self.variables.setdefault(index, f"<thread {thread}>.{function}.{variable}")
        self.in_threads = np.fromiter(held, dtype=np.int64, count=len(held))
        return np.fromiter(self.variables, dtype=np.int64, count=len(self.variables))

    def _without_referrers(self) -> Ints:
        held = np.bincount(self.targets[self.targets >= 0], minlength=len(self.heap)) > 0
        return np.flatnonzero((self.parents == UNREACHED) & ~held)

    def _reach(self, roots: Ints) -> None:
        parents, starts, targets = self.parents, self.heap.starts, self.targets
        roots = roots[parents[roots] == UNREACHED]
        parents[roots] = ROOT
        frontier = roots
        place = np.empty(len(self.heap), dtype=np.int64)
        for _level in range(_MOST_LEVELS):
            if not len(frontier) or time.monotonic() > self._deadline:
                return
            reached, sources = expand(frontier, starts, targets)
            fresh = parents[reached] == UNREACHED
            reached, sources = reached[fresh], sources[fresh]
            order = np.arange(len(reached))
            place[reached[::-1]] = order[::-1]  # the first to reach an object wins
            first = place[reached] == order
            frontier, sources = reached[first], sources[first]
            parents[frontier] = sources
            self.levels.append(frontier)


def expand(frontier: Ints, starts: Ints, targets: Ints) -> tuple[Ints, NDArray[np.int64]]:
    """Return the indices that the objects of the frontier refer to, and the index that refers to each."""
    lengths = starts[frontier + 1] - starts[frontier]
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    positions = np.arange(total) + np.repeat(starts[frontier] - (ends - lengths), lengths)
    reached, sources = targets[positions], np.repeat(frontier, lengths)
    known = reached >= 0
    return reached[known], sources[known]
