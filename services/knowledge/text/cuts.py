"""Cutting of what is longer than a chunk: after a clause, at white space, or anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from services.knowledge.text.units import MAX_WORD

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CLAUSE_END = "，、,;；:：)）"
_WINDOW = 20_000  # characters that are encoded at a time


def pieces(text: str, tokenizer: Tokenizer, budget: int) -> list[str]:
    """Return the parts of a text, each of at most `budget` tokens; joined they give the text again."""
    found: list[str] = []
    for window in _windows(text):
        found.extend(_fitting(window, tokenizer, budget))
    return [piece for piece in found if piece]


def middle(text: str) -> int:
    """Return a position near the middle, at white space if there is any in the middle third."""
    half = len(text) // 2
    space = text.rfind(" ", len(text) // 3, half + 1)
    return space if space > 0 else max(half, 1)


def _windows(text: str) -> Iterator[str]:
    """Yield parts of a text that are quick to encode, split at white space where possible."""
    start = 0
    while start < len(text):
        end = start + _WINDOW
        if end < len(text):
            space = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
            end = space + 1 if space > start else end
        yield text[start:end]
        start = end


def _fitting(text: str, tokenizer: Tokenizer, budget: int) -> Iterator[str]:
    encoding = tokenizer.encode(text, add_special_tokens=False)
    offsets, words = encoding.offsets, encoding.word_ids
    giant = next((span for span in offsets if span[1] - span[0] > MAX_WORD), None)
    if giant is not None:
        start, end = giant
        yield from _fitting(text[:start], tokenizer, budget)
        for at in range(start, end, MAX_WORD):
            yield text[at : min(at + MAX_WORD, end)]
        yield from _fitting(text[end:], tokenizer, budget)
        return
    begin = first = 0
    while len(offsets) - first > budget:
        cut = _cut(text, offsets, words, first, budget)
        at = max(offsets[cut][0], begin + 1)
        yield text[begin:at]
        begin, first = at, cut
    yield text[begin:]


def _cut(text: str, offsets: list[tuple[int, int]], words: list[int | None], first: int, budget: int) -> int:
    """Return the token to split before: after a clause in the last quarter, else at white space, else between words."""
    last = first + budget
    space = word = 0
    for candidate in range(last, max(first + budget * 3 // 4, first), -1):
        before = text[offsets[candidate][0] - 1]
        if before in _CLAUSE_END or text[offsets[candidate - 1][0]] in _CLAUSE_END:
            return candidate
        if not space and before.isspace():
            space = candidate
        if not word and words[candidate] != words[candidate - 1]:
            word = candidate
    return space or word or last
