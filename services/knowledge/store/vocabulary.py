"""The nearest word of the vocabulary to one that it lacks, in bounded time whatever its size.

One edit (a letter left out, put in, exchanged, or two swapped) away: all such words are made and looked up. Two edits:
the words that begin almost the same are read, for a limited time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from string import ascii_lowercase

from sqlalchemy.engine import Connection

from services.knowledge.store.lexical_index import lexical_index

# Letters of a word from which on two edits are forgiven.
TWO_EDITS = 8
_START = 5
# How long the words that begin alike are read, in seconds.
_MOST_SECONDS = 0.1


def one_edit(word: str) -> set[str]:
    """Return everything that is one edit away from a word in Latin letters."""
    found: set[str] = set()
    for at in range(len(word) + 1):
        head, tail = word[:at], word[at:]
        found.update(head + letter + tail for letter in ascii_lowercase)
        if tail:
            found.add(head + tail[1:])
            found.update(head + letter + tail[1:] for letter in ascii_lowercase)
        if len(tail) > 1:
            found.add(head + tail[1] + tail[0] + tail[2:])
    found.discard(word)
    return found


def nearest_word(
    connection: Connection,
    word: str,
    count: Callable[[list[str]], dict[str, int]],
    is_there: Callable[[str], bool],
) -> str | None:
    """Return the vocabulary's nearest word, or None; `count` returns in how many chunks terms are.

    Only words that `is_there` are offered: counts may be a little old, and of more chunks than the person may read.
    """
    near = {term: number for term, number in count(sorted(one_edit(word))).items() if number}
    if not near and len(word) >= TWO_EDITS:
        from rapidfuzz.distance import OSA

        near = {
            term: number for term, number in _alike(connection, word) if OSA.distance(word, term, score_cutoff=2) <= 2
        }
    # First letters are rarely mistyped; of several words, the most frequent one.
    ranked = sorted(near, key=lambda term: (term[0] == word[0], near[term], term), reverse=True)
    return next((term for term in ranked if is_there(term)), None)


def has_word(connection: Connection, term: str) -> bool:
    """Return whether any chunk has a term."""
    return any(True for _found in lexical_index(connection).counts(connection, [term]))


def _alike(connection: Connection, word: str) -> Iterator[tuple[str, int]]:
    """Yield the words that begin with the first letters of `word`, or with one edit in them, and their chunks."""
    began = time.monotonic()
    starts = [word[:_START], *sorted(one_edit(word[:_START]), key=lambda start: start[0] != word[0])]
    for term, number in lexical_index(connection).beginning(connection, starts):
        if abs(len(term) - len(word)) <= 2:
            yield term, number
        if time.monotonic() - began > _MOST_SECONDS:
            return
