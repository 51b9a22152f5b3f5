"""Labels of references: the attribute, key or closure variable by which one object refers to another.

No code of inspected objects runs.
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import (
    BuiltinMethodType,
    CellType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any, cast

from services.core.known_secrets import mask_secrets
from services.core.masking import mask
from services.memory.objects.heap import bases, function_name, is_subtype, module_name, namespace, type_name

_TYPE_DICT: Any = type.__dict__["__dict__"]
_LONGEST_KEY = 40
LruCacheType = type(functools.lru_cache(maxsize=1)(lambda: None))


def attributes(value: object) -> dict[object, object] | None:
    """Return an object's attribute dictionary itself, None where it has none or its class computes one."""
    kind = type(value)
    if is_subtype(kind, ModuleType):
        return cast("dict[object, object]", namespace(cast("ModuleType", value)))
    if is_subtype(kind, type):
        return None
    for base in bases(kind):
        descriptor = _TYPE_DICT.__get__(base).get("__dict__")
        if descriptor is not None:
            if type(descriptor) is not GetSetDescriptorType:
                return None
            try:
                found = descriptor.__get__(value)
            except Exception:  # noqa: BLE001 - an extension type may raise anything
                return None
            return found if type(found) is dict else None
    return None


def slots(value: object) -> Iterator[tuple[str, object]]:
    """Yield the names and values of an object's slots."""
    for base in bases(type(value)):
        for name, member in _TYPE_DICT.__get__(base).items():
            if type(member) is MemberDescriptorType and type(name) is str:
                try:
                    yield name, member.__get__(value)
                except AttributeError:  # the slot is empty
                    continue
                except Exception:  # noqa: BLE001, S112 - an extension type may raise anything
                    continue


def global_name(value: object) -> str | None:
    """Return the full name of a module, class, function or cached function, None for other objects."""
    kind = type(value)
    if is_subtype(kind, ModuleType):
        return module_name(value)  # type: ignore[arg-type] # its type was just checked
    if is_subtype(kind, type):
        return type_name(value)  # type: ignore[arg-type] # its type was just checked
    if kind is FunctionType:
        return function_name(value)  # type: ignore[arg-type] # its type was just checked
    if kind is LruCacheType:
        wrapped = (attributes(value) or {}).get("__wrapped__")
        if type(wrapped) is FunctionType:
            return f"{function_name(wrapped)}.<lru_cache>"
    return None


def key_text(key: object) -> str:
    """Return a key as text: simple keys themselves (shortened), of others the type."""
    kind = type(key)
    if kind is str:
        text = mask(mask_secrets(cast("str", key)))
        if len(text) > _LONGEST_KEY:
            text = "…" + text[1 - _LONGEST_KEY :]  # the end of a path or URL says more
        return repr(text) if text.isprintable() else "str"
    if kind in {int, bool, type(None)}:
        text = mask(repr(key))
        return text if len(text) <= _LONGEST_KEY else "int"
    return global_name(key) or type_name(kind)


class ReferenceLabels:
    """Finds the labels of references; indexes long dictionaries from the second look-up on."""

    def __init__(self) -> None:
        self._visited: set[int] = set()
        self._keys: dict[int, dict[int, object]] = {}

    def key_of(self, mapping: dict[object, object], target: object) -> tuple[bool, object]:
        """Return whether an object is a value of a dictionary, and its key."""
        address = id(mapping)
        if address in self._keys:
            known = self._keys[address]
            return id(target) in known, known.get(id(target))
        if address in self._visited and len(mapping) > 50:
            self._keys[address] = {id(value): key for key, value in dict.items(mapping)}
            return self.key_of(mapping, target)
        self._visited.add(address)
        for key, value in dict.items(mapping):
            if value is target:
                return True, key
        return False, None

    def reference(self, holder: object, target: object) -> str:
        """Return how `holder` refers to `target`, to append to the holder's name: ".x", "[3]", ".<closure>.x"."""
        kind = type(holder)
        special = _thread_local if is_subtype(kind, threading.local) else _SPECIAL.get(kind)
        if special is not None:
            return special(holder, target)
        if is_subtype(kind, dict):
            found, key = self.key_of(holder, target)  # type: ignore[arg-type] # its type was just checked
            if found:
                return f"[{key_text(key)}]"
        elif (position := _position(holder, target)) is not None:
            return f"[{position}]"
        elif any(is_subtype(kind, family) for family in (deque, set, frozenset)):
            return "[...]"
        elif is_subtype(kind, type):
            return self._attribute(dict(_TYPE_DICT.__get__(holder)), target)
        return self._attribute(attributes(holder), target) or _slot(holder, target) or ".<?>"

    def _attribute(self, mapping: dict[object, object] | None, target: object) -> str:
        if mapping is None:
            return ""
        if mapping is target:
            return ".__dict__"
        for key, value in mapping.items():
            if value is target:
                return f".{key}" if type(key) is str and key.isidentifier() else f"[{key_text(key)}]"
        return ""


def _position(holder: object, target: object) -> int | None:
    """Return the position of `target` in a list or tuple, compared by identity so that no `__eq__` runs."""
    for family in (list, tuple):
        if is_subtype(type(holder), family):
            iterator: Iterator[object] = family.__iter__(cast("Any", holder))
            return next((place for place, value in enumerate(iterator) if value is target), None)
    return None


def _slot(holder: object, target: object) -> str:
    for name, value in slots(holder):
        if value is target:
            return f".{name}"
    return ""


def _function(holder: object, target: object) -> str:
    assert type(holder) is FunctionType  # noqa: S101 - looked up by this type
    for name, cell in zip(holder.__code__.co_freevars, holder.__closure__ or (), strict=False):
        if cell is target:
            return f".<closure>.{name}"
        try:
            if cell.cell_contents is target:
                return f".<closure>.{name}"
        except ValueError:  # not filled yet
            continue
    if holder.__closure__ is target:
        return ""  # the next reference names the variable
    if holder.__defaults__ is target or holder.__kwdefaults__ is target:
        return ".<defaults>"
    if holder.__globals__ is target:
        return ".__globals__"
    return ".__dict__" if holder.__dict__ is target else ".<?>"


def closure_variable(function: object, closure: object, cell: object) -> str:
    """Return ".<closure>.x" when `closure` is the tuple of a function's closure cells and `cell` one of them."""
    if type(function) is not FunctionType or function.__closure__ is not closure:
        return ""
    for name, candidate in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        if candidate is cell:
            return f".<closure>.{name}"
    return ""


def _unlabelled(_holder: object, _target: object) -> str:
    return ""


def _running(holder: object, target: object) -> str:
    frame = (
        holder if type(holder) is FrameType else getattr(holder, "gi_frame", None) or getattr(holder, "cr_frame", None)
    )
    if type(frame) is FrameType:
        for name, value in frame.f_locals.items():
            if value is target:
                return f".<locals>.{name}"
    return ".<locals>"


def _method(holder: object, target: object) -> str:
    assert type(holder) is MethodType  # noqa: S101 - looked up by this type
    return ".__self__" if holder.__self__ is target else ".__func__"


def _builtin_method(_holder: object, _target: object) -> str:
    return ".__self__"


def _thread_local(_holder: object, _target: object) -> str:
    return ".<thread-local>"


_SPECIAL: dict[type, Callable[[object, object], str]] = {
    FunctionType: _function,
    CellType: _unlabelled,
    FrameType: _running,
    GeneratorType: _running,
    CoroutineType: _running,
    MethodType: _method,
    BuiltinMethodType: _builtin_method,
    LruCacheType: _unlabelled,
}
