"""Names and owners of objects, both from the path on which an object is reached.

A name is the shortest full one. An owner is judged by the modules of the types on the path from the object to its root:
each folder registers its modules, nothing is named here that belongs to another one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from types import CellType, ModuleType

from services import memory
from services.core.memory_report import Owner
from services.memory.objects.graph import ROOT, ReferenceGraph
from services.memory.objects.heap import is_subtype, type_name
from services.memory.objects.labels import ReferenceLabels, attributes, closure_variable, global_name

_LONGEST = 300
NATIVE = "<native code>"
CYCLE = "<cycle>"


class ObjectNamer:
    """Names objects by the modules, classes, functions and threads that hold them."""

    def __init__(self, graph: ReferenceGraph) -> None:
        self._graph = graph
        self._labels = ReferenceLabels()
        self._known: dict[tuple[int, int], str] = {}

    def name(self, index: int) -> str:
        """Return a name such as `services.chat.history_window.HistoryWindows._windows`, at most 300 characters long."""
        return self.path_name(self._graph.path(index))

    def path_name(self, path: Sequence[int]) -> str:
        """Return the name of the last object on a path from a root."""
        start = self.last_named(path)
        steps = [self.label(path, place) for place in range(start + 1, len(path))]
        name = self.root_name(path[start]) + "".join(steps)
        return name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2]}…{name[-_LONGEST // 2 + 1 :]}"

    def last_named(self, path: Sequence[int]) -> int:
        """Return the place on a path of the last object with a global name; 0 when there is none."""
        objects = self._graph.heap.objects
        return next((place for place in reversed(range(len(path))) if global_name(objects[path[place]])), 0)

    def root_name(self, index: int) -> str:
        """Return the name of the first object of a path."""
        value = self._graph.heap.objects[index]
        if name := global_name(value):
            return name
        if name := self._graph.variables.get(index):
            return name
        where = NATIVE if int(self._graph.parents[index]) == ROOT else CYCLE
        return f"{where}.{type_name(type(value))}"

    def label(self, path: Sequence[int], place: int) -> str:
        """Return the label by which the object before refers to an object on a path; "" for carriers."""
        step = path[place - 1], path[place]
        if step not in self._known:
            self._known[step] = self._label(path, place)
        return self._known[step]

    def is_carrier(self, path: Sequence[int], place: int) -> bool:
        """Return whether an object on a path only carries attributes or the closure of the one before."""
        if place == 0 or place == len(path) - 1:
            return False
        objects = self._graph.heap.objects
        holder, value = objects[path[place - 1]], objects[path[place]]
        if type(value) is dict:
            earlier = [type(objects[index]) for index in path[max(0, place - 2) : place]]
            return _is_namespace(holder, value) or any(is_subtype(kind, threading.local) for kind in earlier)
        return type(value) is CellType or (type(value) is tuple and getattr(holder, "__closure__", None) is value)

    def _label(self, path: Sequence[int], place: int) -> str:
        objects = self._graph.heap.objects
        value, held = objects[path[place - 1]], objects[path[place]]
        if place > 1:
            before = objects[path[place - 2]]
            if variable := closure_variable(before, value, held):
                return variable
            is_local = any(
                is_subtype(type(objects[earlier]), threading.local) for earlier in path[place - 3 : place - 1]
            )
            if is_local and type(held) is dict:
                return ""  # the dictionary of one thread
            if type(value) is dict and (is_local or _is_namespace(before, value)):
                found, key = self._labels.key_of(value, held)
                if found and type(key) is str:
                    return f".{key}"
        if type(held) is dict and _is_namespace(value, held):
            return ""
        return self._labels.reference(value, held)


def _is_namespace(holder: object, mapping: dict[object, object]) -> bool:
    """Return whether a dictionary contains the attributes of `holder`."""
    kind = type(holder)
    if is_subtype(kind, type) and not is_subtype(kind, ModuleType):
        return True  # the only dictionary that a class refers to directly
    return attributes(holder) is mapping


class OwnerRules:
    """Owners by module or package. The most specific rule decides; thread-safe."""

    def __init__(self) -> None:
        self._modules: dict[str, Owner] = {}
        self._libraries: dict[str, Owner] = {}
        self.register(memory, Owner.WATCHING)
        self.register_library("tracemalloc", Owner.WATCHING)

    def register(self, module: ModuleType, owner: Owner) -> None:
        """Give `owner` what the types, functions and variables of `module` hold, or those of a package's modules."""
        self._modules = {**self._modules, module.__name__: owner}

    def register_library(self, name: str, owner: Owner) -> None:
        """Give `owner` the objects that a library makes, but not its modules, classes and functions.

        By name: a library may not be installed, and is not imported for this.
        """
        self._libraries = {**self._libraries, name: owner}

    def modules(self) -> Mapping[str, Owner]:
        """Return the owners by full name of a module."""
        return self._modules

    def libraries(self) -> Mapping[str, Owner]:
        """Return the owners by name of a library."""
        return self._libraries

    def owner_of(self, path: Iterable[tuple[str, bool]]) -> Owner:
        """Return the owner of an object.

        Args:
            path: from the object to its root, full names of types (of instances, True) or of modules, classes and
                functions themselves (False). The first that a rule fits decides: what a session holds is the session's
                although Streamlit's runtime holds the session.
        """
        return self.find(path) or Owner.PYTHON

    def find(self, path: Iterable[tuple[str, bool]]) -> Owner | None:
        """Return the owner as `owner_of` does, None where no rule fits."""
        for name, is_instance in path:
            owner = self._find(name, is_instance)
            if owner is not None:
                return owner
        return None

    def _find(self, name: str, is_instance: bool) -> Owner | None:
        prefix = name
        while prefix:
            owner = self._modules.get(prefix) or (self._libraries.get(prefix) if is_instance else None)
            if owner is not None:
                return owner
            prefix = prefix.rpartition(".")[0]
        return None
