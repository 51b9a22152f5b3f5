"""What a log line may consist of: no character from outside steers a terminal, begins a line, or turns text around.

Names, headers, paths and messages of exceptions come from outside. A terminal obeys ESC and the C1 controls, a reader
is deceived by a line break or by marks that reverse the direction of writing, and a lone surrogate cannot be written.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any

# Controls (C0, DEL, C1), line and paragraph separators, marks of direction, surrogates.
_DIRECTION = r"\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_CONTROLS = re.compile(rf"[\x00-\x1f\x7f-\x9f{_DIRECTION}]")
_CONTROLS_IN_JSON = re.compile(rf"[\x7f-\x9f{_DIRECTION}]")  # JSON itself escapes C0
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
VALUE_CHARACTERS = 4_000  # of one value: a path alone may have 64,000
TRACEBACK_CHARACTERS = 20_000
_TRACEBACKS = frozenset({"exception", "stack"})
_UNQUOTED = frozenset({"event", "level", "logger", "timestamp"})
_INDENT = "    "  # of a traceback's lines: none of them looks like a line of the log


def escape_controls(text: str) -> str:
    """Return `text` with each control character as an escape sequence that is read, not obeyed."""
    return _CONTROLS.sub(_escape, text)


def escape_json(line: str) -> str:
    r"""Return a line of JSON with the controls that JSON allows as `\u` escapes; its value stays the same."""
    return _CONTROLS_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def shorten(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Cut long values and say how much is missing; a processor of structlog."""
    for name, value in event.items():
        if isinstance(value, str) and len(value) > VALUE_CHARACTERS:
            most = TRACEBACK_CHARACTERS if name in _TRACEBACKS else VALUE_CHARACTERS
            if len(value) > most:
                event[name] = f"{value[: most // 2]} ... {len(value) - most:,} characters ... {value[-most // 2 :]}"
    return event


def escape_values(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape names and values for a line of text; the lines of a traceback are indented. A processor of structlog."""
    escaped: dict[str, Any] = {}
    for name, value in event.items():
        if isinstance(value, str) and name in _TRACEBACKS:
            escaped[name] = "\n".join(_INDENT + escape_controls(line) for line in value.split("\n"))
        elif isinstance(value, str) and _CONTROLS.search(value):
            escaped[escape_controls(name)] = escape_controls(value) if name in _UNQUOTED else _Quoted(value)
        else:
            escaped[escape_controls(name)] = value  # what is no text is rendered by repr(), which escapes
    return escaped


class _Quoted:
    """A text that is rendered in quotes: escaped once, not twice."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return repr(self._text)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    number = ord(character)
    return _SHORT.get(character) or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")
