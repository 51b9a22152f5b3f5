"""Lexical search: BM25 over the terms of active chunks, in the database.

FTS5 finds candidates; their scores are computed here from their terms, so that they do not depend on which terms were
looked up. A query's frequent words are in a large share of all chunks and say little: only its rarest terms are looked
up, until their postings reach a budget, which bounds the time whatever the size of the corpus.
"""

from __future__ import annotations

import math
import sys
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from weakref import WeakKeyDictionary

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.core.database import Database
from services.core.database.sql import joined
from services.knowledge.store.chunks import IDS_PER_QUERY, Ids
from services.knowledge.store.id_lists import WANTED, id_list
from services.knowledge.store.lexical_index import lexical_index
from services.knowledge.store.lexical_protocol import LexicalIndex, Totals, is_prefix
from services.knowledge.store.scope import MOST_POSTINGS, allowed, few_ids, first_within, is_present, postings
from services.knowledge.store.tables import chunks, documents
from services.knowledge.store.vocabulary import has_word, nearest_word

# Postings that one search may visit: about 10 ms.
MAX_POSTINGS = 6_000
# Chunks considered when every term is frequent: too many postings to rank.
MAX_UNRANKED = 200
# Chunks beyond those asked for that get exact scores when candidates are ranked by their terms alone.
MAX_EXACT = 100
# Most terms of one query; longer ones are whole texts pasted in.
MAX_TERMS = 128
# https://en.wikipedia.org/wiki/Okapi_BM25: the usual values, which FTS5 has built in, too.
K1 = 1.2
B = 0.75
# As if so many more chunks existed, without the terms: keeps the idf of words in every chunk of a small corpus above 0.
BACKGROUND = 20
# Frequencies of terms in more chunks than this are kept while the library changes little; those of rarer ones, which
# take no time to count, only while it does not change at all.
_FREQUENT = 1000
_ENTRY_BYTES = 110
_CACHED_TERMS = 20_000
_RECENT_TERMS = 5_000

# What comes in one text leaves the interpreter to others meanwhile, and costs a fifth of a row each.
_ROW = sa.cast(chunks.c.id, sa.Text) + " " + chunks.c.terms
_TERMS = sa.select(joined(_ROW, "\n")).select_from(chunks).where(WANTED)
_known_totals: WeakKeyDictionary[Connection, Totals] = WeakKeyDictionary()


class LexicalStore:
    """Searches `chunk_terms`; thread-safe. Only chunks of enabled documents are found."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._frequent: OrderedDict[str, int] = OrderedDict()
        self._counted_at = 0
        self._recent: dict[str, int] = {}
        self._recent_totals = (0, 0)
        self._lock = threading.Lock()

    def cache_size(self) -> tuple[int, int]:
        """Return how many term frequencies are cached, and in how many bytes."""
        with self._lock:
            terms = [*self._frequent, *self._recent]
        # An ordered dictionary's entry has its place in the table and a link; counts are small objects.
        return len(terms), sum(sys.getsizeof(term) for term in terms) + len(terms) * _ENTRY_BYTES

    def clear_cache(self) -> None:
        """Clear the cached term frequencies; each is counted again when it is next needed."""
        with self._lock:
            self._frequent.clear()
            self._recent.clear()

    def search(self, terms: Sequence[str], k: int, groups: Collection[int] | None = None) -> list[tuple[int, float]]:
        """Return (chunk id, BM25 > 0) of at most `k` chunks, best first; `groups`: ids of collections, None for all."""
        return [(chunk, sum(parts.values())) for chunk, parts in self.find(terms, k, groups).items()]

    def find(
        self, terms: Sequence[str], k: int, groups: Collection[int] | None = None, *, most_postings: int = MAX_POSTINGS
    ) -> dict[int, dict[str, float]]:
        """Return the chunks that `search` returns, in the same order, with their BM25 by term, as `matches` does.

        `most_postings` bounds the postings that are visited.
        """
        wanted = list(dict.fromkeys(terms))
        if groups is not None and not groups:
            return {}
        with self._database.read() as connection:
            totals = _totals(connection)
            few = None if groups is None else few_ids(connection, groups)
            if few is not None:
                return self._find_among(connection, totals, wanted, k, few)
            looked_up, ranked = self._looked_up(connection, totals, wanted, most_postings)
            if not looked_up:
                return {}
            # Exact scores reorder them, and chunks outside `groups` drop out: fetch some more.
            most = k + 20 if ranked else MAX_UNRANKED
            index = lexical_index(connection)
            ids = _candidates(index, connection, looked_up, most, ranked=ranked)
            if not ids and not ranked:
                looked_up = dict(list(looked_up.items())[:1])
                ids = _candidates(index, connection, looked_up, most, ranked=ranked)
            found = self._matches(connection, totals, ids, wanted, condition=allowed(groups))
            if len(found) < k and len(ids) == most:
                # Most candidates are outside `groups` or disabled: go through all of them.
                ids = _candidates(index, connection, looked_up, -1, ranked=ranked)
                found = self._matches(connection, totals, first_within(connection, ids, groups, most), wanted)
        return _best(found, k)

    def _find_among(
        self, connection: Connection, totals: Totals, wanted: list[str], k: int, ids: Ids
    ) -> dict[int, dict[str, float]]:
        """As `find`, among few chunks: `ids`, ascending.

        Terms are looked up as by `find`, the rarest first, but without being ranked by FTS5, so that more of them are.
        Chunks with the rarest ones get exact scores.
        """
        counts = self._frequencies(connection, totals, wanted)
        weights = _idf(counts, totals)
        found = np.zeros(len(ids))
        visited = 0
        for term in sorted((term for term in wanted if counts[term]), key=lambda term: counts[term])[:MAX_TERMS]:
            visited += counts[term]
            if visited > MOST_POSTINGS and found.any():
                break
            found[postings(connection, term, ids)] += weights[term]
        best = np.argsort(-found, kind="stable")[: k + MAX_EXACT]
        candidates = [int(each) for each in ids[best[found[best] > 0]]]
        return _best(self._matches(connection, totals, candidates, wanted), k)

    def matches(self, ids: Iterable[int], terms: Sequence[str]) -> dict[int, dict[str, float]]:
        """Return for each chunk its BM25 by term; terms that it lacks are left out."""
        with self._database.read() as connection:
            return self._matches(connection, _totals(connection), list(ids), list(dict.fromkeys(terms)))

    def evidence(
        self, ids: Iterable[int], terms: Sequence[str]
    ) -> tuple[dict[int, dict[str, float]], dict[str, float]]:
        """Return what `matches` and `idf` return."""
        wanted = list(dict.fromkeys(terms))
        with self._database.read() as connection:
            totals = _totals(connection)
            matches = self._matches(connection, totals, list(ids), wanted)
            return matches, _idf(self._frequencies(connection, totals, wanted), totals)

    def _matches(
        self,
        connection: Connection,
        totals: Totals,
        ids: Sequence[int],
        wanted: list[str],
        condition: sa.ColumnElement[bool] | None = None,
    ) -> dict[int, dict[str, float]]:
        rows, occurrences = totals
        average = occurrences / rows if rows else 1.0
        weights = _idf(self._frequencies(connection, totals, wanted), totals)
        prefixes = [term for term in wanted if is_prefix(term)]
        whole = set(wanted)
        found: dict[int, dict[str, float]] = {}
        query = _TERMS
        if condition is not None:
            query = query.join(documents, documents.c.active_revision_id == chunks.c.revision_id).where(condition)
        for start in range(0, len(ids), IDS_PER_QUERY):
            rows_text = connection.scalar(query, id_list(ids[start : start + IDS_PER_QUERY])) or ""
            for row in rows_text.split("\n") if rows_text else ():
                chunk, _blank, text = row.partition(" ")
                words = text.split(" ")
                counts = {term: words.count(term) for term in whole.intersection(words)}
                for prefix in prefixes:
                    counts[prefix] = sum(word.startswith(prefix) for word in words)
                norm = K1 * (1 - B + B * len(words) / average)
                found[int(chunk)] = {
                    term: weights[term] * count * (K1 + 1) / (count + norm)
                    for term in wanted
                    if (count := counts.get(term, 0))
                }
        return found

    def idf(self, terms: Iterable[str]) -> dict[str, float]:
        """Return the inverse document frequency of terms: > 0, at most about the logarithm of the number of chunks."""
        with self._database.read() as connection:
            totals = _totals(connection)
            return _idf(self._frequencies(connection, totals, list(dict.fromkeys(terms))), totals)

    def frequencies(self, terms: Iterable[str]) -> dict[str, int]:
        """Return in how many chunks each term is; the counts of frequent terms may be a few per cent old."""
        with self._database.read() as connection:
            return self._frequencies(connection, _totals(connection), list(dict.fromkeys(terms)))

    def nearest(self, word: str, groups: Collection[int] | None = None) -> str | None:
        """Return the word of the vocabulary that is one edit away, or two from long words; None if there is none.

        With `groups`, a word that stands in these collections.
        """
        with self._database.read() as connection:
            totals = _totals(connection)

            def is_there(term: str) -> bool:
                return has_word(connection, term) if groups is None else is_present(connection, term, groups)

            return nearest_word(connection, word, lambda terms: self._frequencies(connection, totals, terms), is_there)

    def is_present(self, term: str, groups: Collection[int]) -> bool:
        """Return whether a term is in a searchable chunk of these collections."""
        with self._database.read() as connection:
            return is_present(connection, term, groups)

    def _frequencies(self, connection: Connection, totals: Totals, terms: list[str]) -> dict[str, int]:
        rows, occurrences = totals
        with self._lock:
            if self._recent_totals != (rows, occurrences) or len(self._recent) > _RECENT_TERMS:
                self._recent.clear()
                self._recent_totals = rows, occurrences
            if abs(rows - self._counted_at) > self._counted_at // 20:
                self._frequent.clear()
                self._counted_at = rows
            known = {term: min(self._frequent[term], rows) for term in terms if term in self._frequent}
            for term in known:
                self._frequent.move_to_end(term)
            known.update((term, self._recent[term]) for term in terms if term in self._recent)
        missing = [term for term in terms if term not in known]
        counted = dict.fromkeys(missing, 0)
        index = lexical_index(connection)
        whole = [term for term in missing if not is_prefix(term)]
        for start in range(0, len(whole), IDS_PER_QUERY):
            counted.update(index.counts(connection, whole[start : start + IDS_PER_QUERY]))
        for term in missing:
            if is_prefix(term):
                counted[term] = min(index.prefix_count(connection, term), rows)
        with self._lock:
            if self._recent_totals == (rows, occurrences):
                self._recent.update((term, count) for term, count in counted.items() if count <= _FREQUENT)
            self._frequent.update((term, count) for term, count in counted.items() if count > _FREQUENT)
            while len(self._frequent) > _CACHED_TERMS:
                self._frequent.popitem(last=False)
        return {term: known.get(term, counted.get(term, 0)) for term in terms}

    def _looked_up(
        self, connection: Connection, totals: Totals, terms: Sequence[str], most_postings: int
    ) -> tuple[dict[str, float], bool]:
        """Return the terms to look up, the rarest first, with their weights, and whether their hits are few enough to
        be ranked; where they are not, all of the terms are wanted.
        """
        counts = self._frequencies(connection, totals, list(dict.fromkeys(terms)))
        weights = _idf(counts, totals)
        rarest = sorted((term for term, count in counts.items() if count), key=lambda term: counts[term])[:MAX_TERMS]
        looked_up: list[str] = []
        visited = 0
        for term in rarest:
            visited += counts[term]
            if visited > most_postings:
                break
            looked_up.append(term)
        # Only frequent terms: the chunks that have all of them, or else the rarest.
        return {term: weights[term] for term in looked_up or rarest}, bool(looked_up)


def _best(found: dict[int, dict[str, float]], k: int) -> dict[int, dict[str, float]]:
    """Return the `k` best matches, best first."""
    return dict(sorted(found.items(), key=lambda item: (-sum(item[1].values()), item[0]))[:k])


def _candidates(
    index: LexicalIndex, connection: Connection, terms: Mapping[str, float], most: int, *, ranked: bool
) -> list[int]:
    """Return the ids of chunks with any of the terms, best first, or with all of them."""
    return index.best(connection, terms, most) if ranked else index.having_all(connection, list(terms), most)


def _idf(counts: Mapping[str, int], totals: Totals) -> dict[str, float]:
    total = totals[0] + BACKGROUND
    return {term: math.log(1 + (total - count + 0.5) / (count + 0.5)) for term, count in counts.items()}


def _totals(connection: Connection) -> Totals:
    """Return how many chunks are searchable and how many terms they have in all; read once over a connection."""
    if (known := _known_totals.get(connection)) is not None:
        return known
    found = lexical_index(connection).totals(connection)
    _known_totals[connection] = found
    return found
