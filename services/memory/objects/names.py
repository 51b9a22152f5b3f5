"""The shortest full name of an object, made from the way on which it is reached.

Whose an object is, judged by what lies on the way from a root to it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from types import CellType, ModuleType

from services.core.memory_report import Owner
from services.memory.objects.graph import ROOT, ReferenceGraph
from services.memory.objects.heap import is_subtype, type_name
from services.memory.objects.labels import Labels, anchor, attributes, closure_variable

_LONGEST = 300
NATIVE = "<native code>"
CYCLE = "<cycle>"
# The first rule that fits the name of a type or module on the way decides; the way is asked from the object's end, so
# that what a session holds is the session's although Streamlit's runtime holds the session.
_RULES: tuple[tuple[str, Owner], ...] = (
    ("services.chat.models", Owner.MODELS),
    ("services.chat", Owner.CONVERSATIONS),
    ("services.knowledge.index", Owner.INDEX),
    ("services.knowledge.embedding", Owner.MODELS),
    ("services.memory.tracing", Owner.TRACING),
    ("services.memory", Owner.OWN_CACHES),
    ("services.core.database", Owner.DATABASE),
    ("console.ui.streamlit.uploads", Owner.UPLOADS),
    ("console.ui.live_answers", Owner.CONVERSATIONS),
    ("streamlit.runtime.memory_uploaded_file_manager", Owner.UPLOADS),
    ("streamlit.runtime.uploaded_file_manager", Owner.UPLOADS),
    ("streamlit.runtime.memory_media_file_storage", Owner.MEDIA),
    ("streamlit.runtime.media_file", Owner.MEDIA),
    ("streamlit.runtime.caching", Owner.STREAMLIT_CACHES),
    ("streamlit.runtime.app_session", Owner.SESSIONS),
    ("streamlit.runtime.state", Owner.SESSIONS),
    ("streamlit.runtime.memory_session_storage", Owner.SESSIONS),
    ("streamlit.runtime.websocket_session_manager", Owner.SESSIONS),
)
# The same for what libraries make, but not for their modules, classes and functions: these are no model and no index.
_MADE: tuple[tuple[str, Owner], ...] = (
    ("sentence_transformers", Owner.MODELS),
    ("transformers", Owner.MODELS),
    ("tokenizers", Owner.MODELS),
    ("xllamacpp", Owner.MODELS),
    ("torch", Owner.MODELS),
    ("faiss", Owner.INDEX),
    ("sqlalchemy", Owner.DATABASE),
    ("sqlite3", Owner.DATABASE),
    ("tracemalloc", Owner.TRACING),
)


class Names:
    """Names objects by the modules, classes, functions and threads that hold them."""

    def __init__(self, ways: ReferenceGraph) -> None:
        self._ways = ways
        self._labels = Labels()
        self._known: dict[tuple[int, int], str] = {}

    def name(self, index: int) -> str:
        """Return a name such as `services.chat.history_window.HistoryWindows._windows`, at most 300 characters long."""
        return self.name_of(self._ways.path(index))

    def name_of(self, path: Sequence[int]) -> str:
        """Return the name of the last object on a path from a root."""
        start = self.anchor_place(path)
        steps = [self.label(path, place) for place in range(start + 1, len(path))]
        name = self.start(path[start]) + "".join(steps)
        return name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2]}…{name[-_LONGEST // 2 + 1 :]}"

    def anchor_place(self, path: Sequence[int]) -> int:
        """Return where on a path the last object stands that has a name of its own; 0 when there is none."""
        objects = self._ways.heap.objects
        return next((place for place in reversed(range(len(path))) if anchor(objects[path[place]])), 0)

    def start(self, index: int) -> str:
        """Return the name of what a path begins with."""
        value = self._ways.heap.objects[index]
        if name := anchor(value):
            return name
        if name := self._ways.variables.get(index):
            return name
        where = NATIVE if int(self._ways.before[index]) == ROOT else CYCLE
        return f"{where}.{type_name(type(value))}"

    def label(self, path: Sequence[int], place: int) -> str:
        """Return how an object on a path is called by the one before it; "" for what only carries another's names."""
        step = path[place - 1], path[place]
        if step not in self._known:
            self._known[step] = self._label(path, place)
        return self._known[step]

    def is_carrier(self, path: Sequence[int], place: int) -> bool:
        """Return whether an object on a path only carries names of the one before: its attributes or closure."""
        if place == 0 or place == len(path) - 1:
            return False
        objects = self._ways.heap.objects
        holder, value = objects[path[place - 1]], objects[path[place]]
        if type(value) is dict:
            earlier = [type(objects[index]) for index in path[max(0, place - 2) : place]]
            return _is_namespace(holder, value) or any(is_subtype(kind, threading.local) for kind in earlier)
        return type(value) is CellType or (type(value) is tuple and getattr(holder, "__closure__", None) is value)

    def _label(self, path: Sequence[int], place: int) -> str:
        objects = self._ways.heap.objects
        value, held = objects[path[place - 1]], objects[path[place]]
        if place > 1:
            before = objects[path[place - 2]]
            if variable := closure_variable(before, value, held):
                return variable
            is_local = any(
                is_subtype(type(objects[earlier]), threading.local) for earlier in path[place - 3 : place - 1]
            )
            if is_local and type(held) is dict:
                return ""  # one dictionary for all threads; this one is one thread's own
            if type(value) is dict and (is_local or _is_namespace(before, value)):
                found, key = self._labels.key_of(value, held)
                if found and type(key) is str:
                    return f".{key}"
        if type(held) is dict and _is_namespace(value, held):
            return ""
        return self._labels.reference(value, held)


def _is_namespace(holder: object, mapping: dict[object, object]) -> bool:
    """Return whether a dictionary is where `holder` keeps its attributes."""
    kind = type(holder)
    if is_subtype(kind, type) and not is_subtype(kind, ModuleType):
        return True  # the only dictionary that a class refers to by itself
    return attributes(holder) is mapping


def owner_of(way: Iterable[tuple[str, bool]]) -> Owner:
    """Return the owner.

    Args:
        way: from the object to its root, full names of types (of instances, True) or of modules, classes, functions
            themselves (False).
    """
    for name, is_instance in way:
        for prefix, owner in _RULES + _MADE if is_instance else _RULES:
            if name == prefix or name.startswith(prefix + "."):
                return owner
    return Owner.PYTHON
