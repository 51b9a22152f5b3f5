"""What the forked child finds out about single objects: a few of a type, and what holds one."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from services.core.errors import NotFoundError
from services.core.i18n import _
from services.memory.objects.census import Reach
from services.memory.objects.describe import describe
from services.memory.objects.graph import ROOT, UNSEEN, ReferenceGraph
from services.memory.objects.heap import Ints, ObjectHeap, bases, type_name
from services.memory.objects.labels import anchor
from services.memory.objects.names import Names, owner_of

MOST_NODES = 60
_MOST_REFERRERS = 8
_MOST_SHOWN_STEPS = 24


class RetentionFinder:
    """Answers questions about one heap."""

    def __init__(self, heap: ObjectHeap, ways: ReferenceGraph) -> None:
        self.heap = heap
        self.ways = ways
        self._names = Names(ways)

    def instances(self, kind: str, known: Ints | None, limit: int) -> tuple[int, list[dict[str, Any]]]:
        """Return how many objects of a type there are, and the biggest of them.

        Args:
            kind: the type's name.
            known: addresses of that type in an earlier snapshot; objects at these are left out.
            limit: most objects to describe.
        """
        numbers = [number for number, candidate in enumerate(self.heap.types) if type_name(candidate) == kind]
        found = np.flatnonzero(np.isin(self.heap.kinds, numbers))
        if known is not None:
            found = found[~np.isin(self.heap.addresses[found], known)]
        # The biggest, and among equals the ones that came last.
        order = np.lexsort((-found, -self.heap.sizes[found]))
        reach = Reach(self.heap)
        return len(found), [self._instance(int(index), reach) for index in found[order[:limit]]]

    def container(self, address: int) -> tuple[str, str] | None:
        """Return type and name of the object at an address, None when it is gone."""
        index = self.heap.find(address)
        if index is None:
            return None
        return type_name(type(self.heap.objects[index])), self._names.name(index)

    def _instance(self, index: int, reach: Reach) -> dict[str, Any]:
        path = self.ways.path(index)
        name = self._names.name_of(path)
        deep, complete = reach.bytes(index)
        return {
            "address": int(self.heap.addresses[index]),
            "type": type_name(type(self.heap.objects[index])),
            "bytes": int(self.heap.sizes[index]),
            "deep_bytes": deep,
            "deep_complete": complete,
            "text": describe(self.heap.objects[index], under=name),
            "name": name,
            "owner": self._owner(path),
            "part": self._part(path),
        }

    def holders(self, address: int, kind: str) -> dict[str, Any]:
        """Return what holds an object: the shortest way from a root, and the ways over its other holders.

        Raises:
            NotFoundError: there is no object of that type at that address any more.
        """
        index = self.heap.find(address)
        if index is None or type_name(type(self.heap.objects[index])) != kind:
            raise NotFoundError(_("The object is gone."), _("Take another look at its type."))
        path = self.ways.path(index)
        referrers = [int(holder) for holder in np.unique(self.heap.referrers(address)) if int(holder) != index]
        graph = _PathGraph(self)
        graph.add(path)
        for way in self._other_ways(index, path, referrers):
            graph.add(way)
        return {
            "found": self._instance(index, Reach(self.heap)),
            "path": self._steps(path),
            "root": self._root(path[0]),
            "referrers": len(referrers),
            "nodes": graph.nodes,
            "links": graph.links,
        }

    def _other_ways(self, index: int, path: Sequence[int], referrers: Sequence[int]) -> list[list[int]]:
        if int(self.ways.before[index]) == UNSEEN:
            return self._cycle(index)
        ways = (self.ways.path(holder) for holder in referrers if holder not in path)
        fresh = sorted((way for way in ways if index not in way), key=len)
        return [[*way, index] for way in fresh[:_MOST_REFERRERS]]

    def _cycle(self, index: int) -> list[list[int]]:
        """Return the references among what refers to an object that no root reaches, a few steps back."""
        found: list[list[int]] = []
        seen, waiting = {index}, deque([index])
        while waiting and len(found) < _MOST_REFERRERS * 2:
            target = waiting.popleft()
            for holder in np.unique(self.heap.referrers(int(self.heap.addresses[target])))[:_MOST_REFERRERS].tolist():
                found.append([holder, target])
                if holder not in seen:
                    seen.add(holder)
                    waiting.append(holder)
        return found

    def _steps(self, path: Sequence[int]) -> list[dict[str, Any]]:
        return [
            {"label": label, "name": self.title(path[place]), "address": int(self.heap.addresses[path[place]])}
            for place, label in self.visible(path)
        ]

    def visible(self, path: Sequence[int]) -> list[tuple[int, str]]:
        """Return the places on a path that are worth a node, each with the label of the reference that leads to it."""
        found: list[tuple[int, str]] = []
        label = ""
        for place in range(len(path)):
            label += self._names.label(path, place) if place else ""
            if not self._names.is_carrier(path, place):
                found.append((place, label))
                label = ""
        if len(found) > _MOST_SHOWN_STEPS:
            half = _MOST_SHOWN_STEPS // 2
            found = [*found[:half], (found[-half][0], "…"), *found[-half + 1 :]]
        return found

    def title(self, index: int) -> str:
        """Return what an object is, in a few words."""
        value = self.heap.objects[index]
        return anchor(value) or self.ways.variables.get(index) or type_name(type(value))

    def _root(self, index: int) -> str:
        """Return what kind of root a path begins with: module, type, thread, native or cycle."""
        if int(self.ways.before[index]) != ROOT:
            return "cycle"
        if index in self.ways.variables:
            return "thread"
        return "module" if anchor(self.heap.objects[index]) else "native"

    def _part(self, path: Sequence[int]) -> str:
        return self._names.start(path[self._names.anchor_place(path)])

    def _owner(self, path: Sequence[int]) -> str:
        objects = self.heap.objects
        way: list[tuple[str, bool]] = []
        for index in reversed(path):
            if name := anchor(objects[index]):
                way.append((name, False))
            else:
                way.extend((type_name(base), True) for base in bases(type(objects[index]))[:-1])
        return owner_of(way).value


class _PathGraph:
    """Nodes and links of several paths, each once."""

    def __init__(self, looker: RetentionFinder) -> None:
        self._looker = looker
        self.nodes: list[dict[str, Any]] = []
        self.links: list[dict[str, Any]] = []
        self._seen: set[int] = set()
        self._linked: set[tuple[int, int]] = set()

    def add(self, path: Sequence[int]) -> None:
        """Add a path, as far as there is room for its nodes."""
        heap = self._looker.heap
        visible = self._looker.visible(path)
        fresh = [place for place, _label in visible if path[place] not in self._seen]
        if len(self.nodes) + len(fresh) > MOST_NODES:
            return
        before: int | None = None
        for place, label in visible:
            index = path[place]
            address = int(heap.addresses[index])
            if index not in self._seen:
                self._seen.add(index)
                self.nodes.append(
                    {
                        "address": address,
                        "type": type_name(type(heap.objects[index])),
                        "title": self._looker.title(index),
                        "bytes": int(heap.sizes[index]),
                        "root": place == 0,
                    }
                )
            if before is not None and (before, address) not in self._linked:
                self._linked.add((before, address))
                self.links.append({"source": before, "target": address, "label": label})
            before = address
