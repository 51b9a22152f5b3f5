"""Personal data and secrets in log lines: each text of a line is masked before it is cut, escaped and written.

Numbers stay as they are: they are figures (bytes, milliseconds), except where their name says whose they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

from services.core.masking import mask

# Of the process itself: nothing from outside comes here.
_OWN = frozenset({"level", "logger", "timestamp", "rss_mb"})
_PERSONAL = re.compile(r"phone|mobile|(?:^|_)tel(?:$|_)|card|passport|identity|id_?number|手机|电话|身份证")
_SECRET = re.compile(r"passw|pwd|secret|api_?key|(?:^|_)token$|authorization|cookie|密码|口令|令牌")
_MASKED = "[secret]"
_DEPTH = 4
_LEAST_PERSONAL = 1_000_000
# Short texts in which nothing was found: the same paths, addresses and events come again and again.
_SHORT, _MOST_HARMLESS = 64, 256
_harmless: set[str] = set()
_LONGEST = 100_000  # characters of one value that are searched; longer ones are cut before


def mask_values(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask the texts of a line, also within lists and dictionaries; a processor of structlog."""
    for name, value in event.items():
        if type(value) in {float, bool, type(None)} or name in _OWN:
            continue
        event[name] = _masked(name, value, _DEPTH)
    return event


def _masked(name: str, value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _masked_text(name, value)
    if isinstance(value, int):
        personal = value >= _LEAST_PERSONAL and _PERSONAL.search(name.lower())
        return mask(str(value)) if personal else value
    if value is None or isinstance(value, float):
        return value
    if depth > 0 and isinstance(value, Mapping):
        return {mask(str(key)): _masked(str(key), item, depth - 1) for key, item in value.items()}
    if depth > 0 and isinstance(value, list | tuple | set | frozenset):
        return [_masked(name, item, depth - 1) for item in value]
    return mask(repr(value))  # as the line would show it


def _masked_text(name: str, text: str) -> str:
    if text and _SECRET.search(name.lower()):
        return _MASKED
    if text in _harmless:
        return text
    masked = mask(text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}")
    if masked == text and len(text) <= _SHORT:
        if len(_harmless) >= _MOST_HARMLESS:
            _harmless.clear()
        _harmless.add(text)
    return masked
