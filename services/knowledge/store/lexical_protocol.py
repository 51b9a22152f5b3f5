"""What the lexical index in the database does: it tells which chunks have which terms.

SQLite (`lexical_sqlite`) has an FTS5 table over `chunks.terms`, PostgreSQL (`lexical_postgres`) one of tsvectors and
one of the terms. Neither knows of collections, nor of what is enabled: that is asked of the chunks that are found.
Their scores are computed from their terms elsewhere, so that they are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from services.knowledge.text.unspaced import is_unit

Ids = NDArray[np.int64]
Totals = tuple[int, int]
"""How many chunks are searchable and how many terms they have in all."""


class LexicalIndex(Protocol):
    """Reads and writes the index over a connection, in whatever transaction that is in."""

    def add(self, connection: Connection, which: sa.ColumnElement[bool], values: Mapping[str, Any]) -> None:
        """Add chunks that are not in it: those for which the condition `which`, with bound `values`, holds."""

    def remove(self, connection: Connection, which: sa.ColumnElement[bool], values: Mapping[str, Any]) -> int:
        """Remove chunks that are in it, with the terms that they came in with; return how many there were."""

    def clear(self, connection: Connection) -> None:
        """Remove all."""

    def totals(self, connection: Connection) -> Totals:
        """Return its size."""

    def counts(self, connection: Connection, terms: Sequence[str]) -> Iterable[tuple[str, int]]:
        """Return in how many chunks each of these terms is that is in any."""

    def prefix_count(self, connection: Connection, prefix: str) -> int:
        """Return the sum of the counts of all terms that begin so."""

    def beginning(self, connection: Connection, starts: Sequence[str]) -> Iterator[tuple[str, int]]:
        """Yield the terms that begin with one of these, and in how many chunks each is."""

    def best(self, connection: Connection, terms: Mapping[str, float], most: int) -> list[int]:
        """Return the chunks that have any of these terms, best first; the terms' values are their weights."""

    def having_all(self, connection: Connection, terms: Sequence[str], most: int) -> list[int]:
        """Return chunks that have all of these terms, in no order."""

    def postings(self, connection: Connection, term: str, first: int, last: int, most: int) -> Ids:
        """Return the chunks from id `first` to `last` that have a term, ascending, the first `most`."""

    def may_have_removed(self, connection: Connection) -> bool:
        """Return whether terms of chunks that were removed may still be in its files."""

    def merge(self, connection: Connection, pages: int) -> bool:
        """Take terms of removed chunks out of so many of its pages; return whether none are left.

        Below 0: the first of several steps.
        """


def is_prefix(term: str) -> bool:
    """Whether a term is a prefix query: one unit of a script without spaces matches all terms it begins."""
    return is_unit(term)


def ids_of(text: str | None) -> Ids:
    """Return the ids of a list with commas: a row each would cost five times as much, most of it in the interpreter."""
    return np.fromstring(text or "", dtype=np.int64, sep=",")


def after_all(prefix: str) -> str:
    """Return the first text after all that begin so."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
