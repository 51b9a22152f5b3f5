"""Finding cited words and query terms in a passage, and marking them.

A citation keeps its words, not coordinates: the place is found again by comparing letters and digits alone, so that
line breaks, hyphens and typography do not matter. Pure functions.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from difflib import SequenceMatcher

from console.components.formatting import escape_block

Span = tuple[int, int]
_SHORT_WORD = 3  # letters
_LEAST_SHARE = 0.6  # of the quote's letters that have to be found for a place to count as the cited one


def _letters(text: str) -> tuple[str, list[int]]:
    """Return the letters and digits of `text`, folded, and the position of each in `text`."""
    letters: list[str] = []
    positions: list[int] = []
    for position, character in enumerate(text):
        for folded in unicodedata.normalize("NFKC", character).casefold():
            if folded.isalnum():
                letters.append(folded)
                positions.append(position)
    return "".join(letters), positions


def find_quote(text: str, quote: str) -> Span | None:
    """Return where `quote` stands in `text` as (start, end), exactly or nearly; None when it is not there."""
    wanted, _ = _letters(quote)
    letters, positions = _letters(text)
    if not wanted or not letters:
        return None
    start = letters.find(wanted)
    if start >= 0:
        return positions[start], positions[start + len(wanted) - 1] + 1
    blocks = [
        block
        for block in SequenceMatcher(None, letters, wanted, autojunk=False).get_matching_blocks()
        if block.size >= min(4, len(wanted))
    ]
    if sum(block.size for block in blocks) < _LEAST_SHARE * len(wanted):
        return None
    first, last = blocks[0], blocks[-1]
    if last.a + last.size - first.a > 2 * len(wanted) + 20:  # scattered words are no quote
        return None
    return positions[first.a], positions[last.a + last.size - 1] + 1


def find_terms(text: str, terms: Iterable[str]) -> list[Span]:
    """Return where words of `text` begin with one of `terms`, merged and in order.

    Terms are the lexical search's: stems of words, pairs of characters in scripts without spaces. Short words are
    left out: "the" and "of" on a coloured ground hide what was found.
    """
    letters, positions = _letters(text)
    spans: list[Span] = []
    for term in {_letters(term)[0] for term in terms}:
        if not term or (term.isalpha() and term.isascii() and len(term) <= _SHORT_WORD):
            continue
        wordlike = term.isascii()
        at = letters.find(term)
        while at >= 0:
            start, end = positions[at], positions[at + len(term) - 1] + 1
            if end - start <= len(term) and not (wordlike and start and text[start - 1].isalnum()):
                if wordlike:
                    end = _word_end(text, end)
                spans.append((start, end))
            at = letters.find(term, at + 1)
    return _merged(spans)


def _word_end(text: str, end: int) -> int:
    while end < len(text) and text[end].isalnum() and text[end].isascii():
        end += 1
    return end


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def marked(text: str, spans: Iterable[Span]) -> str:
    """Return `text` as escaped Markdown with the stretches of `spans` on a coloured ground."""
    pieces: list[str] = []
    at = 0
    for start, end in spans:
        pieces.append(text[at:start])
        pieces.append("".join(f"\ue000{line}\ue001" if line.strip() else line for line in _lines(text[start:end])))
        at = end
    pieces.append(text[at:])
    escaped = escape_block("".join(pieces))
    return escaped.replace("\ue000", ":orange-background[").replace("\ue001", "]")


def _lines(text: str) -> list[str]:
    """Split into lines that keep their ends apart: a mark must not reach over a line break."""
    parts: list[str] = []
    for line in text.splitlines(keepends=True):
        body = line.rstrip("\r\n")
        parts.extend((body, line[len(body) :]))
    return parts
