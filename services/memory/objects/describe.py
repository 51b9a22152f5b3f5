"""Objects as bounded text, with secrets and personal data masked.

No `__repr__`, `__str__` or property of an inspected object runs.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Any, cast

from services.core.known_secrets import mask_secrets
from services.core.masking import mask
from services.memory.objects.heap import is_subtype, type_name
from services.memory.objects.labels import attributes, global_name, slots

MASK = "••••••"
_SECRET_NAME = re.compile(
    r"(?i)pass(?:word|wd|phrase)?$|passw|secret|credential|authori[sz]ation|cookie|api[_-]?key|private[_-]?key|"
    r"access[_-]?key|(?:^|[_\-.\['\"])(?:token|key|auth|pwd)(?:$|['\"\]])|[_-](?:token|key)$"
)
_SECRET_TEXT = re.compile(
    r"(?i)\b(?:bearer|basic)\s+\S{8,}|\b(?:sk|pk|ghp|gho|glpat|xox[abp]|hf)[-_]\S{8,}|-----BEGIN"
    r"|://[^/\s@]*@"  # an address with a login
)
_SECRET_TYPES = ("SecretStr", "SecretBytes", "Secret", "_SecretField", "_SecretBase")
_BRACKETS: dict[object, tuple[str, str]] = {
    dict: ("{", "}"),
    set: ("{", "}"),
    frozenset: ("{", "}"),
    tuple: ("(", ")"),
}
_MOST_ENTRIES = 6
_LONGEST_TEXT = 60
_SEARCHED = 1000  # characters of a text, more than are shown: a secret may begin near the end of these
_DEPTH = 2
LONGEST = 400


def is_secret_name(name: object) -> bool:
    """Return whether the name of a value suggests a secret."""
    if type(name) is bytes:
        name = name[:100].decode("utf-8", "replace")
    return type(name) is str and bool(_SECRET_NAME.search(name[-100:]))


def describe(value: object, *, under: str = "") -> str:
    """Return a bounded text for any object; `under` is the name of the object, which may suggest a secret."""
    text = MASK if _masked(value, under) else _describe(value, _DEPTH)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _masked(value: object, under: object) -> bool:
    kind = type(value)
    if any(base.__name__ in _SECRET_TYPES for base in kind.__mro__[:-1] if type(base) is type):
        return True
    return kind in {str, bytes, bytearray} and is_secret_name(under)


def _describe(value: object, depth: int) -> str:
    kind = type(value)
    plain = _PLAIN.get(kind)
    if plain is not None:
        return plain(value)
    if name := global_name(value):
        return f"{type_name(kind)} {name}"
    for family in (dict, list, tuple, set, frozenset, deque):
        if is_subtype(kind, family):
            text = _container(value, family, depth)
            return text if kind is family else f"{type_name(kind)} {text}"
    return _instance(value, depth)


def _is_secret(text: str) -> bool:
    return bool(_SECRET_TEXT.search(text)) or mask_secrets(text) != text


def _text(value: Any) -> str:
    text = value[:_SEARCHED]
    shown = MASK if _is_secret(text) else repr(mask(text)[:_LONGEST_TEXT])
    return shown if len(value) <= _LONGEST_TEXT else f"{shown}… ({len(value):,} characters)"


def _bytes(value: Any) -> str:
    text = bytes(value[:_SEARCHED]).decode("latin-1")
    masked = mask(text)
    shown = repr(bytes(value[:24])) if masked == text else f"b{masked[:24]!r}"
    if _is_secret(text):
        shown = MASK
    return shown if len(value) <= 24 else f"{shown}… ({len(value):,} bytes)"


def _integer(value: Any) -> str:
    return mask(repr(value)) if value.bit_length() < 200 else f"int of {value.bit_length():,} bits"


_PLAIN = {
    str: _text,
    bytes: _bytes,
    bytearray: _bytes,
    int: _integer,
    bool: repr,
    float: repr,
    complex: repr,
    type(None): repr,
    type(...): repr,
    range: repr,
}


def _container(value: Any, family: Any, depth: int) -> str:
    length = family.__len__(value)
    left, right = _BRACKETS.get(family, ("[", "]"))
    if depth <= 0:
        return f"{left}…{right} ({length:,})" if length else left + right
    if family is dict:
        shown = [_pair(key, item, depth - 1) for key, item in _first_entries(dict.items(value))]
    else:
        shown = [_describe(item, depth - 1) for item in _first_entries(family.__iter__(value))]
    more = f", … {length:,} in all" if length > len(shown) else ""
    return f"{left}{', '.join(shown)}{more}{right}"


def _first_entries(values: Iterable[Any]) -> list[Any]:
    """Read them before they are described: masking imports and caches, and what is described may be `sys.modules`."""
    return list(islice(values, _MOST_ENTRIES))


def _pair(key: object, item: object, depth: int) -> str:
    shown = MASK if _masked(item, key) else _describe(item, depth)
    return f"{_describe(key, 0)}: {shown}"


def _instance(value: object, depth: int) -> str:
    kind = type(value)
    name = type_name(kind)
    if _masked(value, ""):
        return f"{name} {MASK}"
    shape = _array_shape(value)
    if shape:
        return f"{name} {shape}"
    if depth <= 0:
        return name
    fields: list[tuple[object, object]] = _first_entries((attributes(value) or {}).items())
    fields += _first_entries(slots(value))[: _MOST_ENTRIES - len(fields)]
    shown = [
        f"{field}={MASK if _masked(item, field) else _describe(item, depth - 1)}"
        for field, item in fields
        if type(field) is str
    ]
    return f"{name}({', '.join(shown)})" if shown else name


def _array_shape(value: object) -> str:
    import numpy as np

    if not is_subtype(type(value), np.ndarray):
        return ""
    array = cast("Any", np.ndarray)
    return f"{array.dtype.__get__(value)} {array.shape.__get__(value)}"
