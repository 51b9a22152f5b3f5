"""Masking of a text that arrives in pieces: what could still become, or belong to, something personal is held back."""

from __future__ import annotations

import re

from services.core.masking.finder import find
from services.core.masking.kinds import PersonalFinding
from services.core.masking.masker import replaced

_CONTEXT = 300  # characters that were shown: the words before a value decide what it is
_LONGEST_TOKEN = 2_000
_LONGEST_ROW = 400  # characters of groups of digits
_LONGEST_KEY = 24_000  # a private key of many lines
# Tokens end at white space; Chinese letters and signs stand alone.
_HAN = "　-〿㐀-鿿，。；：！？、“”‘’"
_TOKEN = re.compile(rf"[^\s{_HAN}]+")
_HAN_NAME = re.compile(r"[一-鿿]{1,12}\Z")
_GROUP = re.compile(r"[^\s]*[0-9０-９٠-٩۰-۹][^\s]*|[A-Z]{1,4}|[+＋(（]+")
_AT = re.compile(r"[\[(](?:at|dot)[\])]", re.IGNORECASE)  # a sign of an address, no word of its own
_GAP_CHARACTERS = 3


class StreamMask:
    """Masks streamed text as `mask` would mask the whole: its pieces joined are the same."""

    def __init__(self) -> None:
        self._shown = ""  # the end of what was shown, as it came
        self._held = ""
        self._json: bool | None = None

    def feed(self, text: str) -> str:
        """Add text; return what can be shown now."""
        self._held += text
        return self._release(last=False)

    def flush(self) -> str:
        """Return the rest at the end of the stream."""
        return self._release(last=True)

    def _release(self, *, last: bool) -> str:
        if not self._held:
            return ""
        if self._json is None and self._held.strip():
            self._json = self._held.lstrip()[0] in "{["
        window, before = self._shown + self._held, len(self._shown)
        findings = [finding for finding in find(window) if finding.start >= before]
        cut = len(window) if last else _safe_end(window, before, findings)
        if cut <= before:
            return ""
        ready = [finding for finding in findings if finding.end <= cut]
        text = replaced(window, ready, json=bool(self._json))
        shown = text[before : len(text) - (len(window) - cut)]
        self._shown, self._held = window[max(0, cut - _CONTEXT) : cut], window[cut:]
        return shown


def _safe_end(window: str, least: int, findings: list[PersonalFinding]) -> int:
    """Return up to where nothing that may still come changes what is found; not less than `least`."""
    end = max(least, _undecided(window, least))
    key = window.rfind("-----BEGIN ", least)
    if key >= 0 and "-----END " not in window[key:] and len(window) - key < _LONGEST_KEY:
        end = min(end, key)
    for finding in reversed(findings):
        if finding.end <= end and finding.end < len(window):
            break
        end = min(end, finding.start)
    return end


def _undecided(window: str, least: int) -> int:
    """Return where the last tokens begin that may go on: the last two, and the groups of digits before them."""
    tail = max(least, len(window) - _LONGEST_TOKEN)
    tokens = [found.span() for found in _TOKEN.finditer(window, tail)]
    name = _HAN_NAME.search(window, tail)
    start = name.start() if name is not None else len(window)
    taken = 0
    for first, last in reversed(tokens):
        if start - last > _GAP_CHARACTERS or "\n\n" in window[last:start]:
            break
        if taken >= 2 and (not _GROUP.fullmatch(window, first, last) or len(window) - first > _LONGEST_ROW):
            break
        start = first
        taken += not _AT.fullmatch(window, first, last)
    return start
