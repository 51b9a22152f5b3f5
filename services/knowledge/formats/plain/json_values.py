"""Values of JSON as they are written: numbers keep their digits, objects repeated keys, long lists come one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from services.knowledge.formats.plain.nested_values import Members

_SPACE = re.compile(r"[\s\x1e]*")
_LIST = "["
_OBJECT = "{"


class JsonNumber(str):
    """A number or constant (true, null, NaN) as it is written."""

    __slots__ = ()


class JsonError(ValueError):
    """The text is not JSON from `position` on."""

    def __init__(self, position: int) -> None:
        super().__init__(f"not JSON at {position}")
        self.position = position


_DECODER = json.JSONDecoder(
    object_pairs_hook=Members, parse_float=JsonNumber, parse_int=JsonNumber, parse_constant=JsonNumber, strict=False
)


def value_at(text: str, at: int) -> tuple[object, int]:
    """Return the value at a position, and where it ends.

    Raises:
        JsonError: there is none.
    """
    start = skip(text, at)
    try:
        return _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        raise JsonError(start) from error


def skip(text: str, at: int) -> int:
    """Return the position of the next character that is no white space."""
    match = _SPACE.match(text, at)
    return match.end() if match else at


@dataclass(slots=True)
class JsonCursor:
    """A position in a text that is read element by element; where it is no JSON, reading ends `damaged`."""

    text: str
    at: int
    damaged: bool = False

    def elements(self) -> Iterator[object]:
        """Yield the elements of the list that begins here, one by one."""
        self.at += 1
        first = True
        while self._goes_on("]", first=first):
            try:
                value, self.at = value_at(self.text, self.at)
            except JsonError:
                self.damaged = True
                return
            yield value
            first = False

    def members(self) -> Iterator[tuple[str, object]]:
        """Yield the members of the object that begins here; a list comes as an iterator, to be used up at once."""
        self.at += 1
        first = True
        while self._goes_on("}", first=first):
            try:
                key, colon = value_at(self.text, self.at)
                start = skip(self.text, skip(self.text, colon) + 1)
                member = None if self.text.startswith(_LIST, start) else value_at(self.text, start)
            except JsonError:
                self.damaged = True
                return
            name = str(key)
            if member is None:
                self.at = start
                yield name, self.elements()
            else:
                self.at = member[1]
                yield name, member[0]
            first = False

    def _goes_on(self, end: str, *, first: bool) -> bool:
        """Go to the next part; false at the end of the list or object, and where it is damaged."""
        self.at = skip(self.text, self.at)
        if self.damaged:
            return False
        if self.text.startswith(end, self.at):
            self.at += 1
            return False
        if not first:
            if not self.text.startswith(",", self.at):
                self.damaged = True
                return False
            self.at = skip(self.text, self.at + 1)
        return True


def is_json(text: str) -> bool:
    """Whether a whole text is one list or object, or several of them line by line."""
    at = skip(text, 0)
    found = False
    try:
        while at < len(text):
            if text[at] not in {_LIST, _OBJECT}:
                return False
            _value, at = value_at(text, at)
            at = skip(text, at)
            found = True
    except JsonError:
        return False
    return found
