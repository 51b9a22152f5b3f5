"""Names of types, functions and modules, read without running code of theirs."""

from __future__ import annotations

from types import FunctionType, ModuleType
from typing import Any

_MRO = type.__dict__["__mro__"]
_QUALNAME = type.__dict__["__qualname__"]
_MODULE = type.__dict__["__module__"]
_NAMESPACE: Any = vars(ModuleType)["__dict__"]
_LONGEST = 160


def bases(kind: type) -> tuple[type, ...]:
    """Return a type and its bases in the order in which attributes are looked up."""
    found = _MRO.__get__(kind)
    return found if type(found) is tuple else (kind,)


def is_subtype(kind: type, family: type) -> bool:
    """Return whether `kind` is `family` or derived from it; no metaclass is asked."""
    return any(base is family for base in bases(kind))


def type_name(kind: type) -> str:
    """Return a type's module and qualified name, "dict" and the like without a module."""
    name = _text(_QUALNAME.__get__(kind)) or "?"
    try:
        module = _text(_MODULE.__get__(kind))
    except AttributeError:
        module = ""
    return name if module in {"", "builtins"} else f"{module}.{name}"


def function_name(function: FunctionType) -> str:
    """Return a function's module and qualified name."""
    module, name = _text(function.__module__), _text(function.__qualname__)
    return f"{module}.{name}" if module else name


def module_name(module: ModuleType) -> str:
    """Return a module's name."""
    return _text(namespace(module).get("__name__")) or "?"


def namespace(module: ModuleType) -> dict[str, object]:
    """Return a module's own dictionary.

    Not by attribute: a module may have a class of its own that loads things when it is asked for one.
    """
    found = _NAMESPACE.__get__(module)
    return found if type(found) is dict else {}


def _text(value: object) -> str:
    """Return a bounded text if it is one, not a subclass with manners of its own."""
    return value[:_LONGEST] if type(value) is str else ""
