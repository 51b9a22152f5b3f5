"""Descriptions of single objects and the paths that retain them, found in the forked child."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from services.memory.objects.census import ReachableSize
from services.memory.objects.describe import describe
from services.memory.objects.graph import ROOT, UNREACHED, ReferenceGraph
from services.memory.objects.heap import Ints, ObjectHeap, bases, type_name
from services.memory.objects.identity import Evidence, gone_error, identify
from services.memory.objects.labels import global_name
from services.memory.objects.names import ObjectNamer, OwnerRules
from services.memory.objects.retained import retained_size
from services.memory.objects.watching import watching_mask

MOST_NODES = 60
_MOST_REFERRERS = 8
_MOST_SHOWN_STEPS = 24
_WEAK_OFFSET: Any = type.__dict__["__weakrefoffset__"]  # 0: the type allows no weak references


class RetentionFinder:
    """Finds objects of a heap and the references that keep them alive."""

    def __init__(self, heap: ObjectHeap, graph: ReferenceGraph, owner_rules: OwnerRules) -> None:
        self.heap = heap
        self._owner_rules = owner_rules
        self.graph = graph
        self._names = ObjectNamer(graph)

    def instances(
        self, kind: str, known: Ints | None, limit: int, *, watching: bool = False
    ) -> tuple[int, list[dict[str, Any]]]:
        """Return the number of objects of a type, and descriptions of the largest.

        Args:
            kind: the type's name.
            known: addresses of that type in an earlier snapshot; objects at these are left out.
            limit: how many objects to describe at most.
            watching: include those that belong to the watching itself.
        """
        numbers = [number for number, candidate in enumerate(self.heap.types) if type_name(candidate) == kind]
        found = np.flatnonzero(np.isin(self.heap.kinds, numbers))
        if known is not None:
            found = found[~np.isin(self.heap.addresses[found], known)]
        if not watching:
            found = found[~watching_mask(self.graph, self._owner_rules)[found]]
        # The largest, and among equals the newest.
        order = np.lexsort((-found, -self.heap.sizes[found]))
        reach = ReachableSize(self.heap)
        return len(found), [self._instance(int(index), reach) for index in found[order[:limit]]]

    def container(self, address: int) -> tuple[str, str] | None:
        """Return type and name of the object at an address, None when it is gone."""
        index = self.heap.find(address)
        if index is None:
            return None
        return type_name(type(self.heap.objects[index])), self._names.name(index)

    def _instance(self, index: int, reach: ReachableSize) -> dict[str, Any]:
        path = self.graph.path(index)
        name = self._names.path_name(path)
        deep, complete = reach.measure(index)
        return {
            "address": int(self.heap.addresses[index]),
            "type": type_name(type(self.heap.objects[index])),
            "bytes": int(self.heap.sizes[index]),
            "deep_bytes": deep,
            "deep_complete": complete,
            "text": describe(self.heap.objects[index], under=name),
            "referable": _WEAK_OFFSET.__get__(type(self.heap.objects[index])) != 0,
            "name": name,
            "owner": self._owner(path),
            "part": self._part(path),
        }

    def retention_paths(
        self, address: int, kind: str, evidence: Evidence | None = None, alive: bool | None = None
    ) -> dict[str, Any]:
        """Return the shortest path from a root to an object, and the paths over its other referrers.

        Args:
            address: where it is.
            kind: its type's name.
            evidence: what else identified it when it was listed.
            alive: whether its weak reference finds it, None without one.

        Raises:
            NotFoundError: it is not at that address any more; the message says what is.
        """
        index = self.heap.find(address)
        there = "" if index is None else type_name(type(self.heap.objects[index]))
        if index is None or there != kind:
            raise gone_error(kind, there)
        path = self.graph.path(index)
        found = self._instance(index, ReachableSize(self.heap))
        identity = identify(evidence, alive, found["text"], found["name"])
        if identity is None:
            raise gone_error(kind, there)
        referrers = [int(referrer) for referrer in np.unique(self.heap.referrers(address)) if int(referrer) != index]
        graph = _PathGraph(self)
        graph.add(path)
        for other in self._other_paths(index, path, referrers):
            graph.add(other)
        return {
            "found": found,
            "identity": identity.value,
            "path": self._steps(path),
            "root": self._root(path[0]),
            "referrers": len(referrers),
            "retained": retained_size(self.graph, index),
            "nodes": graph.nodes,
            "links": graph.links,
        }

    def _other_paths(self, index: int, path: Sequence[int], referrers: Sequence[int]) -> list[list[int]]:
        if int(self.graph.parents[index]) == UNREACHED:
            return self._cycle(index)
        paths = (self.graph.path(referrer) for referrer in referrers if referrer not in path)
        fresh = sorted((other for other in paths if index not in other), key=len)
        return [[*other, index] for other in fresh[:_MOST_REFERRERS]]

    def _cycle(self, index: int) -> list[list[int]]:
        """Return references that lead to an object that no root reaches, a few steps back."""
        found: list[list[int]] = []
        seen, waiting = {index}, deque([index])
        while waiting and len(found) < _MOST_REFERRERS * 2:
            target = waiting.popleft()
            for referrer in np.unique(self.heap.referrers(int(self.heap.addresses[target])))[:_MOST_REFERRERS].tolist():
                found.append([referrer, target])
                if referrer not in seen:
                    seen.add(referrer)
                    waiting.append(referrer)
        return found

    def _steps(self, path: Sequence[int]) -> list[dict[str, Any]]:
        return [
            {"label": label, "name": self.title(path[place]), "address": int(self.heap.addresses[path[place]])}
            for place, label in self.visible(path)
        ]

    def visible(self, path: Sequence[int]) -> list[tuple[int, str]]:
        """Return the places on a path that get a node, each with the label of the reference that leads to it."""
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
        """Return a short title of an object: its global name, variable or type."""
        value = self.heap.objects[index]
        return global_name(value) or self.graph.variables.get(index) or type_name(type(value))

    def _root(self, index: int) -> str:
        """Return the kind of root that a path begins with, a value of `PathRoot`."""
        if int(self.graph.parents[index]) != ROOT:
            return "cycle"
        if index in self.graph.variables:
            return "thread"
        return "module" if global_name(self.heap.objects[index]) else "native"

    def _part(self, path: Sequence[int]) -> str:
        return self._names.root_name(path[self._names.last_named(path)])

    def _owner(self, path: Sequence[int]) -> str:
        objects = self.heap.objects
        types: list[tuple[str, bool]] = []
        for index in reversed(path):
            if name := global_name(objects[index]):
                types.append((name, False))
            else:
                types.extend((type_name(base), True) for base in bases(type(objects[index]))[:-1])
        return self._owner_rules.owner_of(types).value


class _PathGraph:
    """The nodes and links of several paths, each once."""

    def __init__(self, finder: RetentionFinder) -> None:
        self._finder = finder
        self.nodes: list[dict[str, Any]] = []
        self.links: list[dict[str, Any]] = []
        self._seen: set[int] = set()
        self._linked: set[tuple[int, int]] = set()

    def add(self, path: Sequence[int]) -> None:
        """Add a path unless its nodes exceed the limit."""
        heap = self._finder.heap
        visible = self._finder.visible(path)
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
                        "title": self._finder.title(index),
                        "bytes": int(heap.sizes[index]),
                        "root": place == 0,
                    }
                )
            if before is not None and (before, address) not in self._linked:
                self._linked.add((before, address))
                self.links.append({"source": before, "target": address, "label": label})
            before = address
