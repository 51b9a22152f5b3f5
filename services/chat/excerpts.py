"""Excerpts of messages: where in one the words of a search stand."""

from __future__ import annotations

import re

_BEFORE, _AFTER = 30, 60  # characters
_SPARE = 12  # characters that a whole word may take beyond


def excerpt(text: str, query: str) -> str:
    """Return some words around the first place of `query` in `text`, in any case, on one line; "" if there is none."""
    found = find(text, query)
    if found is None:
        return ""
    start, end = max(0, found.start() - _BEFORE), min(len(text), found.end() + _AFTER)
    while start and found.start() - start < _BEFORE + _SPARE and _within_word(text, start):
        start -= 1
    while end < len(text) and end - found.end() < _AFTER + _SPARE and _within_word(text, end):
        end += 1
    shown = " ".join(text[start:end].split())
    return f"{'…' if start else ''}{shown}{'…' if end < len(text) else ''}"


def find(text: str, query: str) -> re.Match[str] | None:
    """Return the first place of the words of `query` in `text`, in any case, with any white space between them."""
    words = query.split()
    return re.search(r"\s+".join(map(re.escape, words)), text, re.IGNORECASE) if words else None


def _within_word(text: str, place: int) -> bool:
    """Return whether a cut at `place` would part a word of a script that writes words apart."""
    return all(character.isalnum() and character < "\u0e00" for character in text[place - 1 : place + 1])
