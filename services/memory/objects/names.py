"""The shortest full name of an object, made from the way on which it is reached."""

from __future__ import annotations

import threading
from types import ModuleType

from services.memory.objects.graph import ROOT, Ways
from services.memory.objects.labels import Labels, anchor, attributes, closure_variable
from services.memory.objects.naming import is_subtype, type_name

_LONGEST = 300
NATIVE = "<native code>"
UNREACHABLE = "<cycle>"


class Names:
    """Names objects by the modules, classes, functions and threads that hold them."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
        self._labels = Labels()
        self._known: dict[int, str] = {}

    def name(self, index: int) -> str:
        """Return a name such as `services.chat.history.HistoryWindows._windows`, at most 300 characters long."""
        objects = self._ways.heap.objects
        path = self._ways.path(index)
        start = next((place for place in reversed(range(len(path))) if anchor(objects[path[place]])), 0)
        name = self._start(path[start])
        for place in range(start + 1, len(path)):
            holder, target = path[place - 1], path[place]
            if target not in self._known:
                self._known[target] = self._extended(name, holder, target, path[place - 2] if place > 1 else None)
            name = self._known[target]
        return name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2]}…{name[-_LONGEST // 2 + 1 :]}"

    def _start(self, index: int) -> str:
        value = self._ways.heap.objects[index]
        if name := anchor(value):
            return name
        if name := self._ways.variables.get(index):
            return name
        where = NATIVE if int(self._ways.before[index]) == ROOT else UNREACHABLE
        return f"{where}.{type_name(type(value))}"

    def _extended(self, name: str, holder: int, target: int, before: int | None) -> str:
        objects = self._ways.heap.objects
        value, held = objects[holder], objects[target]
        if before is not None:
            root = objects[before]
            if variable := closure_variable(root, value, held):
                return name + variable
            if is_subtype(type(root), threading.local) and type(value) is dict:
                return name  # one dictionary for all threads; the next is this thread's own
        step = self._labels.reference(value, held)
        if type(value) is dict and before is not None and _is_namespace(objects[before], value):
            found, key = self._labels.key_of(value, held)
            if found and type(key) is str:
                return f"{name}.{key}"
        if step == ".__dict__" or (type(held) is dict and _is_namespace(value, held)):
            return name
        return name + step


def _is_namespace(holder: object, mapping: dict[object, object]) -> bool:
    """Return whether a dictionary is where `holder` keeps its attributes."""
    kind = type(holder)
    if is_subtype(kind, type) and not is_subtype(kind, ModuleType):
        return True  # the only dictionary that a class refers to by itself
    return attributes(holder) is mapping
