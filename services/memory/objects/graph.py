"""The shortest way from a root to every object, over the whole heap at once."""

from __future__ import annotations

import time
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from services.memory.objects.heap import Indices, Ints, ObjectHeap, module_name
from services.memory.objects.threads import ThreadLocals

UNSEEN, ROOT = -1, -2
_OURS = ("services", "console", "pages", "__main__")
_MOST_LEVELS = 3000  # a chain that is longer is found in the end, but nobody would read its path


class ReferenceGraph:
    """For each object the one before it on the shortest way from a root (breadth first, several roots at once).

    Roots come in this order, each taking only what those before it do not reach: modules (ours first), local variables
    of running threads, objects that nothing known refers to (held by native code, or by an expression that is just
    being evaluated), and the rest: cycles that wait for the collector or that native code holds.
    """

    def __init__(self, heap: ObjectHeap, carried: ThreadLocals | None = None, seconds: float = 10.0) -> None:
        self.heap = heap
        self._deadline = time.monotonic() + seconds
        self._tails: Ints = heap.index(heap.targets)
        self.before: Indices = np.full(len(heap), UNSEEN, dtype=np.int32)
        self.variables: dict[int, str] = {}
        self.unheld: set[int] = set()
        self._levels: list[Ints] = []
        self._spread(self._modules())
        self._spread(self._locals(carried))
        self._spread(self._without_referrers())
        rest = np.flatnonzero(self.before == UNSEEN)
        self.cyclic: frozenset[int] = frozenset(rest.tolist())

    def path(self, index: int) -> list[int]:
        """Return the indices from the root to an object, itself included."""
        found = [index]
        while (before := int(self.before[found[-1]])) >= 0:
            found.append(before)
        return found[::-1]

    def held_bytes(self) -> Ints:
        """Return for each object the bytes of itself and of all whose shortest way leads through it.

        Each object counts for one way only, so the sums of siblings never overlap (unlike the reachable bytes).
        """
        held = self.heap.sizes.copy()
        for level in reversed(self._levels):
            np.add.at(held, self.before[level], held[level])
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
            assert isinstance(module, ModuleType)  # noqa: S101 - its type was looked at above
            name = module_name(module)
            # A page's script calls itself __main__ too; what it borrows belongs to the module it came from.
            return name.split(".")[0] not in _OURS, name == "__main__", name

        return np.array(sorted(found, key=rank), dtype=np.int64)

    def _locals(self, carried: ThreadLocals | None) -> Ints:
        for thread, function, variable, value in carried.variables if carried else ():
            index = self.heap.find(id(value))
            if index is not None and self.before[index] == UNSEEN:
                self.variables.setdefault(index, f"<thread {thread}>.{function}.{variable}")
        return np.fromiter(self.variables, dtype=np.int64, count=len(self.variables))

    def _without_referrers(self) -> Ints:
        held = np.bincount(self._tails[self._tails >= 0], minlength=len(self.heap)) > 0
        found = np.flatnonzero((self.before == UNSEEN) & ~held)
        self.unheld = set(found.tolist())
        return found

    def _spread(self, roots: Ints) -> None:
        before, starts, tails = self.before, self.heap.starts, self._tails
        roots = roots[before[roots] == UNSEEN]
        before[roots] = ROOT
        frontier = roots
        place = np.empty(len(self.heap), dtype=np.int64)
        for _level in range(_MOST_LEVELS):
            if not len(frontier) or time.monotonic() > self._deadline:
                return
            reached, sources = _step(frontier, starts, tails)
            fresh = before[reached] == UNSEEN
            reached, sources = reached[fresh], sources[fresh]
            order = np.arange(len(reached))
            place[reached[::-1]] = order[::-1]  # the first to reach an object wins
            first = place[reached] == order
            frontier, sources = reached[first], sources[first]
            before[frontier] = sources
            self._levels.append(frontier)


def _step(frontier: Ints, starts: Ints, tails: Ints) -> tuple[Ints, NDArray[np.int64]]:
    """Return what the objects of the frontier refer to, and from where."""
    lengths = starts[frontier + 1] - starts[frontier]
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    positions = np.arange(total) + np.repeat(starts[frontier] - (ends - lengths), lengths)
    reached, sources = tails[positions], np.repeat(frontier, lengths)
    here = reached >= 0
    return reached[here], sources[here]
