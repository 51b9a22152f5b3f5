"""Cutting of what is longer than a chunk: after a clause, at white space, or anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from services.knowledge.text.units import MAX_WORD

if TYPE_CHECKING:
    from services.knowledge.tokenization.tokenizer import Span, TextTokenizer

_CLAUSE_END = "，、,;；:：)）"
_WINDOW = 20_000  # characters that are encoded at a time


def pieces(text: str, tokenizer: TextTokenizer, budget: int) -> list[str]:
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


def _fitting(text: str, tokenizer: TextTokenizer, budget: int) -> Iterator[str]:
    spans = tokenizer.spans(text)
    giant = next((span for span in spans if span.end - span.start > MAX_WORD), None)
    if giant is not None:
        start, end, _word = giant
        yield from _fitting(text[:start], tokenizer, budget)
        for at in range(start, end, MAX_WORD):
            yield text[at : min(at + MAX_WORD, end)]
        yield from _fitting(text[end:], tokenizer, budget)
        return
    begin = first = 0
    while len(spans) - first > budget:
        cut = _cut(text, spans, first, budget)
        at = max(spans[cut].start, begin + 1)
        yield text[begin:at]
        begin, first = at, cut
    yield text[begin:]


def _cut(text: str, spans: Sequence[Span], first: int, budget: int) -> int:
    """Return the token to split before: after a clause in the last quarter, else at white space, else between words."""
    last = first + budget
    space = word = 0
    for candidate in range(last, max(first + budget * 3 // 4, first), -1):
        before = text[spans[candidate].start - 1]
        if before in _CLAUSE_END or text[spans[candidate - 1].start] in _CLAUSE_END:
            return candidate
        if not space and before.isspace():
            space = candidate
        if not word and spans[candidate].word != spans[candidate - 1].word:
            word = candidate
    return space or word or last
