"""The lexical index in SQLite: FTS5, without a copy of the text (https://www.sqlite.org/fts5.html)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.knowledge.store.lexical_protocol import Ids, Totals, after_all, ids_of, is_prefix
from services.knowledge.store.tables import chunks


class SqliteIndex:
    """FTS5, which ranks by BM25."""

    _TABLE = sa.table("chunk_terms", sa.column("rowid"), sa.column("terms"))
    _RANKED = sa.text(
        "SELECT group_concat(rowid) FROM"
        " (SELECT rowid FROM chunk_terms WHERE chunk_terms MATCH :query ORDER BY rank LIMIT :most)"
    )
    _UNRANKED = sa.text(
        "SELECT group_concat(rowid) FROM (SELECT rowid FROM chunk_terms WHERE chunk_terms MATCH :query LIMIT :most)"
    )
    _POSTINGS = sa.text(
        "SELECT group_concat(rowid) FROM (SELECT rowid FROM chunk_terms"
        " WHERE chunk_terms MATCH :query AND rowid BETWEEN :first AND :last LIMIT :most)"
    )
    _COUNT = sa.text("SELECT term, doc FROM chunk_vocabulary WHERE term IN :terms").bindparams(
        sa.bindparam("terms", expanding=True)
    )
    _COUNT_PREFIX = sa.text("SELECT total(doc) FROM chunk_vocabulary WHERE term >= :first AND term < :after")
    _RANGE = "SELECT term, doc FROM chunk_vocabulary WHERE term >= ? AND term < ?"
    _MERGE = sa.text("INSERT INTO chunk_terms(chunk_terms, rank) VALUES ('merge', :pages)")
    _SEGMENTS = sa.text("SELECT count(DISTINCT segid) FROM chunk_terms_idx")
    # "The averages record": rows, then terms of the only column, as varints (ext/fts5/fts5_index.c).
    _TOTALS = sa.text("SELECT block FROM chunk_terms_data WHERE id = 1")

    def add(self, connection: Connection, which: sa.ColumnElement[bool], values: Mapping[str, Any]) -> None:
        chosen = sa.select(chunks.c.id, chunks.c.terms).where(which)
        connection.execute(self._TABLE.insert().from_select(["rowid", "terms"], chosen), dict(values))

    def remove(self, connection: Connection, which: sa.ColumnElement[bool], values: Mapping[str, Any]) -> int:
        gone = self._TABLE.delete().where(self._TABLE.c.rowid.in_(sa.select(chunks.c.id).where(which)))
        return max(0, connection.execute(gone, dict(values)).rowcount)

    def clear(self, connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO chunk_terms(chunk_terms) VALUES ('delete-all')")

    def totals(self, connection: Connection) -> Totals:
        numbers = []
        value = 0
        for byte in connection.scalar(self._TOTALS) or b"":
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                numbers.append(value)
                value = 0
        return (numbers[0], numbers[1]) if len(numbers) >= 2 else (0, 0)

    def counts(self, connection: Connection, terms: Sequence[str]) -> Iterable[tuple[str, int]]:
        return ((term, count) for term, count in connection.execute(self._COUNT, {"terms": list(terms)}))

    def prefix_count(self, connection: Connection, prefix: str) -> int:
        return int(connection.scalar(self._COUNT_PREFIX, {"first": prefix, "after": after_all(prefix)}) or 0)

    def beginning(self, connection: Connection, starts: Sequence[str]) -> Iterator[tuple[str, int]]:
        # Some 300 short ranges: SQLAlchemy would cost more than reading them.
        cursor = connection.connection.cursor()
        try:
            for start in starts:
                yield from cursor.execute(self._RANGE, (start, f"{start}\U0010ffff"))
        finally:
            cursor.close()

    def best(self, connection: Connection, terms: Mapping[str, float], most: int) -> list[int]:
        query = " OR ".join(map(self._quoted, terms))
        found: list[int] = ids_of(connection.scalar(self._RANKED, {"query": query, "most": most})).tolist()
        return found

    def having_all(self, connection: Connection, terms: Sequence[str], most: int) -> list[int]:
        query = " AND ".join(map(self._quoted, terms))
        found: list[int] = ids_of(connection.scalar(self._UNRANKED, {"query": query, "most": most})).tolist()
        return found

    def postings(self, connection: Connection, term: str, first: int, last: int, most: int) -> Ids:
        asked = {"query": self._quoted(term), "first": first, "last": last, "most": most}
        return ids_of(connection.scalar(self._POSTINGS, asked))

    def may_have_removed(self, connection: Connection) -> bool:
        return int(connection.scalar(self._SEGMENTS) or 0) > 1

    def merge(self, connection: Connection, pages: int) -> bool:
        driver = connection.connection.driver_connection
        assert driver is not None  # noqa: S101 - a connection that is open has one
        before = int(driver.total_changes)
        connection.execute(self._MERGE, {"pages": pages})
        return int(driver.total_changes) - before < 2  # as SQLite's documentation has it: nothing is left to merge

    @staticmethod
    def _quoted(term: str) -> str:
        """Return a term as FTS5 reads it literally (https://www.sqlite.org/fts5.html#fts5_strings)."""
        string = '"' + term.replace('"', '""') + '"'
        return f"{string} *" if is_prefix(term) else string
