"""Texts as they are kept in a database or sent by a child process: message and values, said again when they are read.

What is kept begins with the text in English, so that whoever reads the database reads sentences; after a separator
follows what it was made of, in JSON. Plain strings, and what earlier versions stored, are kept as they are.
"""

from __future__ import annotations

import json
import re
from string import Formatter
from typing import Any

from services.core.i18n import Text, TextSource, in_english

_SEPARATOR = "\x1f"  # unit separator: nothing that is shown has it
# How numbers are put in. A width is not among them: what a child process sends shall not become large here.
_FORMAT = re.compile(r"[+,]{0,2}(\.\d)?[defgs%]?")
_DEEPEST = 8


def kept(text: str) -> str:
    """Return a text as it is kept; `read_kept` is its inverse."""
    if not isinstance(text, Text):
        return text.replace(_SEPARATOR, " ")
    made_of = json.dumps(_encoded(text), ensure_ascii=False, separators=(",", ":"))
    return in_english(text).replace(_SEPARATOR, " ") + _SEPARATOR + made_of


def read_kept(stored: str) -> str:
    """Return what `kept` was given, in the reader's language; the English text where it cannot be made again."""
    shown, separator, made_of = stored.partition(_SEPARATOR)
    if not separator:
        return stored
    try:
        return _decoded(json.loads(made_of))
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError):
        return shown


def _encoded(text: str) -> Any:
    if not isinstance(text, Text):
        return text
    source = text.source
    if source.parts:
        return {"parts": [_encoded(part) for part in source.parts]}
    encoded: dict[str, Any] = {"text": source.message}
    if source.plural:
        encoded |= {"plural": source.plural, "count": source.number}
    if source.values is not None:
        encoded["values"] = {
            name: _encoded(value) if isinstance(value, str) else value for name, value in source.values.items()
        }
    return encoded


def _decoded(value: Any, depth: int = 0) -> str:
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    if isinstance(value, str):
        return value
    if "parts" in value:
        if not isinstance(value["parts"], list):
            raise TypeError("no list")
        return TextSource(parts=tuple(_decoded(part, depth + 1) for part in value["parts"])).text()
    values = value.get("values")
    if values is not None:
        values = {
            name: _decoded(each, depth + 1) if isinstance(each, dict) else _scalar(each)
            for name, each in values.items()
        }
    message, other = str(value["text"]), str(value.get("plural", ""))
    if values is not None:
        for form in filter(None, (message, other)):
            _check(form, values)
    return TextSource(message, other, int(value.get("count", 0)), values).text()


def _scalar(value: Any) -> str | int | float | None:
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise ValueError("no value")


def _check(message: str, values: dict[str, Any]) -> None:
    """Raise ValueError unless a message only puts its values in: who sent it may have read a hostile file."""
    for _literal, name, how, conversion in Formatter().parse(message):
        if name is not None and (name not in values or conversion or not _FORMAT.fullmatch(how or "")):
            raise ValueError(message)
