"""The sentences that say most about a document, in its order: what can be quoted in place of a summary."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.knowledge.retrieval.statements import Statement, shown, statements
from services.knowledge.text.layout import LayoutKind
from services.knowledge.text.terms import terms
from services.knowledge.types import Chunk

# Shorter ones are greetings and labels, longer ones no sentences.
_LEAST_CHARACTERS = 24
_MOST_CHARACTERS = 400
_FIRST_BONUS = 1.3  # the first sentences of a document and of a section tell what it is about
# A sentence is worth so much less for the share of its words that those chosen before have.
_REPETITION = 0.8
_KINDS = frozenset({LayoutKind.PROSE, LayoutKind.ANSWER, LayoutKind.VALUES, LayoutKind.LIST, LayoutKind.TITLE})
_LONG_TITLE = 6  # words; shorter titles say nothing by themselves


@dataclass(frozen=True, slots=True)
class _Scored:
    chunk: int
    order: int
    statement: Statement
    words: frozenset[str]
    score: float


def main_statements(chunks: Sequence[Chunk], most: int) -> list[tuple[int, str, str]]:
    """Return (number of its chunk, its words, how they are shown) of at most `most` statements, in reading order.

    A statement is worth more, the more its words occur in the document: those are what it is about.
    """
    candidates = list(_candidates(chunks))
    counts = Counter(word for _chunk, _statement, words, _first in candidates for word in words)
    scored = [
        _Scored(chunk, order, statement, words, _score(words, counts) * (_FIRST_BONUS if first or not order else 1.0))
        for order, (chunk, statement, words, first) in enumerate(candidates)
    ]
    # The first one tells what the document is.
    chosen = scored[:1]
    known = {word for one in chosen for word in one.words}
    del scored[:1]
    while scored and len(chosen) < most:
        best = max(scored, key=lambda one: one.score * (1 - _REPETITION * len(one.words & known) / len(one.words)))
        scored.remove(best)
        chosen.append(best)
        known |= best.words
    return _joined(sorted(chosen, key=lambda one: one.order))


def _joined(chosen: Sequence[_Scored]) -> list[tuple[int, str, str]]:
    """Return the statements as they are shown, those of one block together."""
    groups: dict[int, list[_Scored]] = {}
    for one in chosen:
        groups.setdefault(id(one.statement.block), []).append(one)
    found = []
    for group in groups.values():
        places = {place for one in group for place in range(one.statement.first, one.statement.last + 1)}
        found.append((group[0].chunk, group[0].statement.text, shown(group[0].statement.block, sorted(places))))
    return found


def _candidates(chunks: Sequence[Chunk]) -> Iterator[tuple[int, Statement, frozenset[str], bool]]:
    seen: set[frozenset[str]] = set()
    for number, chunk in enumerate(chunks):
        section = ""
        for statement in statements(chunk.text, chunk.heading):
            first, section = statement.title != section, statement.title
            if statement.kind not in _KINDS or (statement.whole and statement.kind is LayoutKind.LIST):
                continue
            if statement.kind is LayoutKind.TITLE and len(statement.text.split()) < _LONG_TITLE:
                continue
            words = frozenset(terms(statement.text))
            if _LEAST_CHARACTERS <= _length(statement.text) <= _MOST_CHARACTERS and words and words not in seen:
                seen.add(words)
                yield number, statement, words, first


def _length(text: str) -> int:
    """Return the characters of a text; those of scripts without spaces count double."""
    return sum(2 if character > "\u2e7f" else 1 for character in text)


def _score(words: frozenset[str], counts: Counter[str]) -> float:
    return sum(math.log(counts[word]) for word in words) / math.sqrt(len(words) + 4)
