"""The lexical index in PostgreSQL: a tsvector for each chunk with a GIN index, and how many chunks have each term.

https://www.postgresql.org/docs/18/functions-textsearch.html, https://www.postgresql.org/docs/18/gin.html. What comes
first is told by the sum of the weights of a chunk's terms; their numbers, and the chunk's length, count elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.core.database.sql import insert_or_add
from services.knowledge.store.lexical_protocol import Ids, Totals, after_all, ids_of, is_prefix
from services.knowledge.store.tables import chunks

_INDEX = sa.table("chunk_terms", sa.column("chunk_id"), sa.column("terms"))
_VOCABULARY = sa.table("chunk_vocabulary", sa.column("term"), sa.column("doc"))


class PostgresIndex:
    """A tsvector for each chunk, GIN, and the terms' counts; what it ranks by is the sum of the weights.

    https://www.postgresql.org/docs/18/functions-textsearch.html, https://www.postgresql.org/docs/18/gin.html.
    """

    _BEST = sa.text(
        "SELECT string_agg(chunk_id::text, ',' ORDER BY weight DESC, chunk_id) FROM (SELECT chunk_id,"
        " sum(asked.weight) AS weight FROM unnest(CAST(:queries AS text[]), CAST(:weights AS float8[]))"
        " AS asked (query, weight) JOIN chunk_terms ON chunk_terms.terms @@ CAST(asked.query AS tsquery)"
        " GROUP BY chunk_id ORDER BY 2 DESC, 1 LIMIT :most) AS found"
    )
    _ALL = sa.text(
        "SELECT string_agg(chunk_id::text, ',') FROM"
        " (SELECT chunk_id FROM chunk_terms WHERE terms @@ CAST(:query AS tsquery) LIMIT :most) AS found"
    )
    _POSTINGS = sa.text(
        "SELECT string_agg(chunk_id::text, ',' ORDER BY chunk_id) FROM (SELECT chunk_id FROM chunk_terms"
        " WHERE terms @@ CAST(:query AS tsquery) AND chunk_id BETWEEN :first AND :last ORDER BY chunk_id LIMIT :most)"
        " AS found"
    )
    _COUNTS = sa.text("SELECT term, doc FROM chunk_vocabulary WHERE term = ANY(CAST(:terms AS text[]))")
    _COUNT_PREFIX = sa.text("SELECT coalesce(sum(doc), 0) FROM chunk_vocabulary WHERE term >= :first AND term < :after")
    _RANGES = sa.text(
        "SELECT term, doc FROM unnest(CAST(:firsts AS text[]), CAST(:afters AS text[])) WITH ORDINALITY"
        " AS asked (first, after, number)"
        " JOIN chunk_vocabulary ON term >= asked.first AND term < asked.after ORDER BY number"
    )
    _TOTALS = sa.text("SELECT rows, terms FROM chunk_terms_size")
    _RESIZE = sa.text("UPDATE chunk_terms_size SET rows = rows + :rows, terms = terms + :terms")

    def add(self, connection: Connection, which: sa.ColumnElement[bool], values: Mapping[str, Any]) -> None:
        vector = sa.func.array_to_tsvector(_terms_of(chunks.c.terms))
        chosen = sa.select(chunks.c.id, vector).where(which)
        connection.execute(_INDEX.insert().from_select(["chunk_id", "terms"], chosen), dict(values))
        self._count(connection, which, values, 1)

    def remove(self, connection: Connection, which: sa.ColumnElement[bool], values: Mapping[str, Any]) -> int:
        self._count(connection, which, values, -1)
        connection.execute(_VOCABULARY.delete().where(_VOCABULARY.c.doc <= 0))
        gone = _INDEX.delete().where(_INDEX.c.chunk_id.in_(sa.select(chunks.c.id).where(which)))
        return connection.execute(gone, dict(values)).rowcount

    @staticmethod
    def _count(connection: Connection, which: sa.ColumnElement[bool], values: Mapping[str, Any], sign: int) -> None:
        """Add what these chunks have to the counts, or take it off."""
        words = sa.func.unnest(sa.func.tsvector_to_array(_INDEX.c.terms)).table_valued("term").render_derived("words")
        # In the order of the terms: two nodes that wait for each other's rows would wait for good.
        counted = (
            sa.select(words.c.term, sa.literal(sign) * sa.func.count())
            .select_from(_INDEX.join(words, sa.true()))
            .where(_INDEX.c.chunk_id.in_(sa.select(chunks.c.id).where(which)))
            .group_by(words.c.term)
            .order_by(words.c.term)
        )
        change = insert_or_add(connection, _VOCABULARY, ["term"], ["doc"]).from_select(["term", "doc"], counted)
        connection.execute(change, dict(values))
        lengths = sa.func.sum(sa.func.cardinality(_terms_of(chunks.c.terms)))
        size = sa.select(sa.func.count(), sa.func.coalesce(lengths, 0)).select_from(chunks).where(which)
        rows, terms = connection.execute(size, dict(values)).one()
        connection.execute(PostgresIndex._RESIZE, {"rows": sign * rows, "terms": sign * terms})

    def clear(self, connection: Connection) -> None:
        connection.exec_driver_sql("TRUNCATE chunk_terms, chunk_vocabulary")
        connection.exec_driver_sql("UPDATE chunk_terms_size SET rows = 0, terms = 0")

    def totals(self, connection: Connection) -> Totals:
        rows, terms = connection.execute(self._TOTALS).one()
        return int(rows), int(terms)

    def counts(self, connection: Connection, terms: Sequence[str]) -> Iterable[tuple[str, int]]:
        asked = [term.replace("\0", "") for term in terms]  # no text of PostgreSQL has a zero byte
        return ((term, count) for term, count in connection.execute(self._COUNTS, {"terms": asked}))

    def prefix_count(self, connection: Connection, prefix: str) -> int:
        return int(connection.scalar(self._COUNT_PREFIX, {"first": prefix, "after": after_all(prefix)}) or 0)

    def beginning(self, connection: Connection, starts: Sequence[str]) -> Iterator[tuple[str, int]]:
        asked = {"firsts": list(starts), "afters": [f"{start}\U0010ffff" for start in starts]}
        yield from ((term, count) for term, count in connection.execute(self._RANGES, asked))

    def best(self, connection: Connection, terms: Mapping[str, float], most: int) -> list[int]:
        asked = {"queries": list(map(self._quoted, terms)), "weights": list(terms.values()), "most": _limit(most)}
        found: list[int] = ids_of(connection.scalar(self._BEST, asked)).tolist()
        return found

    def having_all(self, connection: Connection, terms: Sequence[str], most: int) -> list[int]:
        asked = {"query": " & ".join(map(self._quoted, terms)), "most": _limit(most)}
        found: list[int] = ids_of(connection.scalar(self._ALL, asked)).tolist()
        return found

    def postings(self, connection: Connection, term: str, first: int, last: int, most: int) -> Ids:
        asked = {"query": self._quoted(term), "first": first, "last": last, "most": most}
        return ids_of(connection.scalar(self._POSTINGS, asked))

    def may_have_removed(self, connection: Connection) -> bool:  # noqa: ARG002 - as the protocol has it
        return False

    def merge(self, connection: Connection, pages: int) -> bool:  # noqa: ARG002 - as above
        return True  # VACUUM takes what was deleted out of the files

    @staticmethod
    def _quoted(term: str) -> str:
        """Return a term as tsquery reads it literally."""
        string = "'" + term.replace("\0", "").replace("\\", "\\\\").replace("'", "''") + "'"
        return f"{string}:*" if is_prefix(term) else string


def _terms_of(terms: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
    return sa.func.string_to_array(terms, " ")


def _limit(most: int) -> int | None:
    """Return a LIMIT; below 0 it is none, as SQLite has it."""
    return most if most >= 0 else None
