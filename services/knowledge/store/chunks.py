"""Reading chunks, vectors and sections of active revisions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection, Row

from services.core.database import Database
from services.core.database.sql import place_of
from services.knowledge.store.id_lists import WANTED, id_list
from services.knowledge.store.tables import chunk_vectors, chunks, documents, revisions, sections
from services.knowledge.text.kinds import TextKind
from services.knowledge.types import Chunk, DocumentTopics, Hit, Section

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]
Groups = Collection[int] | None
"""Collections that are looked into; None for all."""
# SQLite allows 32,766 bound values in a statement (https://www.sqlite.org/limits.html#max_variable_number).
IDS_PER_QUERY = 1000
_BATCH = 500
_BEGINNING = 120  # characters
_TOPIC_SECTIONS = 24  # of a document, from its beginning
# Put together once: making an expression takes longer than finding the rows.
_VECTORS = sa.select(chunks.c.id, chunks.c.vector).where(WANTED)
_BESIDE = sa.and_(chunk_vectors.c.chunk_id == chunks.c.id, chunk_vectors.c.fingerprint == sa.bindparam("model"))
_MODEL_VECTORS = (
    sa.select(chunks.c.id, sa.func.coalesce(chunk_vectors.c.vector, chunks.c.vector))
    .select_from(chunks.outerjoin(chunk_vectors, _BESIDE))
    .where(WANTED)
)
# Of chunks that the model answers for.
_COMPARABLE = (
    _MODEL_VECTORS.add_columns(chunks.c.kind, sa.func.substr(chunks.c.text, 1, _BEGINNING))
    .join(revisions, revisions.c.id == chunks.c.revision_id)
    .where(revisions.c.fingerprint == sa.bindparam("model"))
)
_HITS = (
    sa.select(
        chunks.c.id,
        documents.c.id,
        documents.c.name,
        documents.c.collection_id,
        chunks.c.position,
        chunks.c.text,
        chunks.c.tokens,
        chunks.c.page,
        chunks.c.sheet,
        chunks.c.heading,
        chunks.c.external_id,
        chunks.c["metadata"],
    )
    .select_from(chunks)
    .join(documents, documents.c.active_revision_id == chunks.c.revision_id)
    .where(WANTED, documents.c.enabled)
)
_COLUMNS = [chunks.c[name] for name in ("id", "position", "text", "tokens", "page", "sheet", "heading")]


@dataclass(frozen=True, slots=True)
class HitRow:
    """A searchable chunk, with the fields of its document that a hit shows."""

    chunk_id: int
    document_id: int
    document: str
    collection_id: int
    position: int
    text: str
    tokens: int
    page: int | None
    sheet: str
    heading: tuple[str, ...]
    external_id: str | None
    metadata: dict[str, Any] | None

    def as_hit(self, score: float, dense: float | None, lexical: float | None) -> Hit:
        """Return it as a hit with these scores; `score` is brought between 0 and 1."""
        return Hit(
            chunk_id=self.chunk_id,
            document_id=self.document_id,
            document=self.document,
            collection_id=self.collection_id,
            text=self.text,
            score=min(max(score, 0.0), 1.0),
            dense_score=dense,
            lexical_score=lexical,
            page=self.page,
            sheet=self.sheet,
            heading=self.heading,
        )


@dataclass(frozen=True, slots=True)
class ComparableChunks:
    """Chunks whose vectors are of one model: ids int64 (n,), vectors float32 (n, d), normalised, in the same order.

    By id: `kinds`, what those that are not prose look like (`TextKind`), and `beginnings` of the texts, enough to see
    their script.
    """

    ids: Ids
    vectors: Vectors
    kinds: dict[int, str]
    beginnings: dict[int, str]


class ChunkStore:
    """Reads chunks and vectors for index and retrieval: only those of active revisions. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def active_ids(self, fingerprint: str | None = None) -> tuple[Ids, Ids]:
        """Return (ids, groups) of all chunks that belong in the vector index, ordered by id, each int64 (n,).

        The group is the collection's id, or -1 where the document is disabled. With `fingerprint`, only chunks
        whose vectors that embedder made.
        """
        return indexed_ids(self._database, None if fingerprint is None else revisions.c.fingerprint == fingerprint)

    def active_among(self, ids: Ids, fingerprint: str) -> tuple[Ids, Ids]:
        """Return (ids, groups) as `active_ids` of those of the given chunks that belong in the index of a model."""
        with self._database.reading():
            parts = [
                indexed_ids(self._database, sa.and_(revisions.c.fingerprint == fingerprint, WANTED), id_list(part))
                for part in _parts(ids.tolist())
            ]
        if not parts:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        found, groups = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(found, kind="stable")
        return found[order], groups[order]

    def vectors(self, ids: Sequence[int] | Ids, fingerprint: str | None = None) -> tuple[Ids, Vectors]:
        """Return (ids, vectors) in the order asked for: int64 (n,) and float32 (n, d), normalised.

        Chunks that are no longer there are left out; with none left the vectors are (0, 0). With `fingerprint` they are
        that model's, where they are still beside those of the model before.
        """
        with self._database.read() as connection:
            return read_vectors(connection, ids, fingerprint)

    def comparable(self, ids: Sequence[int], fingerprint: str) -> ComparableChunks:
        """Return those of the given chunks whose vectors the model `fingerprint` made, in the order asked for."""
        found: dict[int, bytes] = {}
        kinds: dict[int, str] = {}
        beginnings: dict[int, str] = {}
        with self._database.read() as connection:
            for part in _parts(list(ids)):
                rows = connection.execute(_COMPARABLE, {**id_list(part), "model": fingerprint})
                for chunk, vector, kind, beginning in rows:
                    found[chunk], beginnings[chunk] = vector, beginning
                    if kind is not None and kind != TextKind.PROSE.value:
                        kinds[chunk] = kind
        return ComparableChunks(*_in_order(ids, found), kinds, beginnings)

    def first_vectors(self, revision_ids: Sequence[int], most: int, fingerprint: str) -> Iterator[tuple[str, Vectors]]:
        """Yield how the text of the first chunks of revisions begins, at most so many of each, and the vectors that the
        model `fingerprint` made of them.
        """
        for part in _parts([int(i) for i in revision_ids]):
            query = (
                sa.select(
                    sa.func.substr(chunks.c.text, 1, _BEGINNING),
                    sa.func.coalesce(chunk_vectors.c.vector, chunks.c.vector),
                )
                .select_from(chunks.outerjoin(chunk_vectors, _BESIDE))
                .join(revisions, revisions.c.id == chunks.c.revision_id)
                .where(
                    revisions.c.id.in_(part),
                    revisions.c.fingerprint == sa.bindparam("model"),
                    chunks.c.position < most,
                )
            )
            with self._database.read() as connection:
                rows = connection.execute(query, {"model": fingerprint}).all()
            for text, vector in rows:
                yield text, np.frombuffer(vector, dtype="<f4").astype(np.float32, copy=False)

    def iter_vectors(
        self, ids: Sequence[int] | Ids, batch: int = 4096, fingerprint: str | None = None
    ) -> Iterator[tuple[Ids, Vectors]]:
        """Yield `vectors` of at most `batch` ids at a time, so that they are never all in RAM."""
        for start in range(0, len(ids), batch):
            yield self.vectors(ids[start : start + batch], fingerprint)

    def hits(self, ids: Sequence[int] | Ids) -> dict[int, HitRow]:
        """Return the searchable ones of the given chunks by id: of active revisions, of enabled documents."""
        found: dict[int, HitRow] = {}
        with self._database.read() as connection:
            for part in _parts([int(i) for i in ids]):
                for row in connection.execute(_HITS, id_list(part)):
                    values = list(row)
                    values[9] = tuple(values[9])
                    found[row[0]] = HitRow(*values)
        return found

    def sizes(self) -> dict[int, int]:
        """Return the number of chunks of each active revision, by its id."""
        query = sa.select(revisions.c.id, revisions.c.chunks).join(
            documents, documents.c.active_revision_id == revisions.c.id
        )
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query.where(revisions.c.chunks > 0))}

    def searchable_count(self) -> int:
        """Return how many chunks searches can find, by whichever model."""
        query = (
            sa.select(sa.func.sum(revisions.c.chunks))
            .join(documents, documents.c.active_revision_id == revisions.c.id)
            .where(documents.c.enabled)
        )
        with self._database.read() as connection:
            return int(connection.scalar(query) or 0)

    def sample(self, revision_id: int, positions: Sequence[int]) -> list[tuple[str, TextKind]]:
        """Return texts and kinds of the chunks at these positions of a revision."""
        query = sa.select(chunks.c.text, chunks.c.kind).where(
            chunks.c.revision_id == revision_id, chunks.c.position.in_(positions)
        )
        with self._database.read() as connection:
            return [(row[0], TextKind(row[1] or TextKind.PROSE)) for row in connection.execute(query)]

    def iter_texts(self, ids: Sequence[int] | Ids, batch: int = 1000) -> Iterator[list[tuple[int, str]]]:
        """Yield (id, text) of the given chunks, at most `batch` at a time."""
        with self._database.read() as connection:
            for part in _parts([int(i) for i in ids], batch):
                query = sa.select(chunks.c.id, chunks.c.text).where(chunks.c.id.in_(part))
                yield [(row[0], row[1]) for row in connection.execute(query)]


def read_vectors(
    connection: Connection, ids: Sequence[int] | Ids, fingerprint: str | None = None
) -> tuple[Ids, Vectors]:
    """Return what `ChunkStore.vectors` does, as a part of a transaction."""
    wanted = [int(i) for i in ids]
    found: dict[int, bytes] = {}
    query = _VECTORS if fingerprint is None else _MODEL_VECTORS
    for part in _parts(wanted):
        rows = connection.execute(query, {**id_list(part), **({"model": fingerprint} if fingerprint else {})})
        found.update((row[0], row[1]) for row in rows)
    return _in_order(wanted, found)


def indexed_ids(
    database: Database, condition: sa.ColumnElement[bool] | None = None, values: Mapping[str, Any] | None = None
) -> tuple[Ids, Ids]:
    """Return (ids, groups) as `ChunkStore.active_ids`, of the chunks that meet a condition with the bound `values`."""
    group = sa.case((documents.c.enabled, documents.c.collection_id), else_=-1)
    query = (
        sa.select(chunks.c.id, group)
        .select_from(documents)
        .join(chunks, chunks.c.revision_id == documents.c.active_revision_id)
    )
    if condition is not None:
        query = query.join(revisions, revisions.c.id == documents.c.active_revision_id).where(condition)
    with database.read() as connection:
        rows = connection.execute(query.execution_options(yield_per=10_000), values or {})
        flat = np.fromiter((value for row in rows for value in row), dtype=np.int64)
    pairs = flat.reshape(-1, 2)
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    return np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])


def _in_order(wanted: Sequence[int], found: Mapping[int, bytes]) -> tuple[Ids, Vectors]:
    """Return the ids that were found, in the order asked for, and their vectors."""
    present = [i for i in wanted if i in found]
    if not present:
        return np.empty(0, np.int64), np.empty((0, 0), np.float32)
    flat = np.frombuffer(b"".join([found[i] for i in present]), dtype="<f4").astype(np.float32, copy=False)
    return np.array(present, dtype=np.int64), flat.reshape(len(present), -1)


def _parts(ids: list[int], size: int = IDS_PER_QUERY) -> Iterator[list[int]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


class ContentStore:
    """Reads a document's chunks and sections for display: those of its active revision. Thread-safe.

    Of a document outside of the `readable` collections there is nothing, as of one that does not exist.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def chunks(self, document_id: int, limit: int, offset: int, readable: Groups) -> list[Chunk]:
        """Return a document's chunks in reading order, a page of them."""
        query = _chunks(readable).where(documents.c.id == document_id).order_by(chunks.c.position)
        with self._database.read() as connection:
            rows = connection.execute(query.limit(max(limit, 0)).offset(max(offset, 0)))
            return [_chunk(row) for row in rows]

    def chunk(self, chunk_id: int, readable: Groups) -> Chunk | None:
        """Return one chunk, or None when it is gone."""
        with self._database.read() as connection:
            row = connection.execute(_chunks(readable).where(chunks.c.id == chunk_id)).one_or_none()
        return None if row is None else _chunk(row)

    def containing(self, document_id: int, text: str, readable: Groups) -> Chunk | None:
        """Return a document's first chunk that contains `text` exactly, or None."""
        query = (
            _chunks(readable)
            .where(documents.c.id == document_id, place_of(chunks.c.text, text) > 0)
            .order_by(chunks.c.position)
            .limit(1)
        )
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _chunk(row)

    def only_document(self, groups: Groups) -> int | None:
        """Return the document that is searched, if it is the only one; `groups`: ids of collections, None for all."""
        query = sa.select(documents.c.id).where(documents.c.enabled, documents.c.active_revision_id.is_not(None))
        if groups is not None:
            query = query.where(documents.c.collection_id.in_(groups))
        with self._database.read() as connection:
            found = list(connection.execute(query.limit(2)).scalars())
        return found[0] if len(found) == 1 else None

    def each_chunk(self, document_id: int, readable: Groups) -> Iterator[Chunk]:
        """Yield a document's chunks in reading order, a few hundred in RAM at a time."""
        offset = 0
        while batch := self.chunks(document_id, _BATCH, offset, readable):
            yield from batch
            offset += len(batch)

    def sections(self, document_id: int, readable: Groups) -> list[Section]:
        """Return a document's text in reading order."""
        query = _within(
            sa.select(sections)
            .join(documents, documents.c.active_revision_id == sections.c.revision_id)
            .where(documents.c.id == document_id)
            .order_by(sections.c.position),
            readable,
        )
        with self._database.read() as connection:
            return [Section(row.text, row.page, row.sheet, tuple(row.heading)) for row in connection.execute(query)]

    def newest_topics(self, groups: Groups, most: int) -> list[DocumentTopics]:
        """Return the names and first headings of the `most` searchable documents that were added last."""
        newest = _within(
            sa.select(documents.c.id, documents.c.name, documents.c.active_revision_id).where(
                documents.c.enabled, documents.c.active_revision_id.is_not(None)
            ),
            groups,
        )
        found = newest.order_by(documents.c.id.desc()).limit(most).subquery()
        first = sa.and_(sections.c.revision_id == found.c.active_revision_id, sections.c.position < _TOPIC_SECTIONS)
        query = (
            sa.select(found.c.id, found.c.name, sections.c.heading)
            .select_from(found.outerjoin(sections, first))
            .order_by(found.c.id.desc(), sections.c.position)
        )
        names: dict[int, str] = {}
        headings: dict[int, dict[tuple[str, ...], None]] = {}
        with self._database.read() as connection:
            for document_id, name, heading in connection.execute(query):
                names[document_id] = name
                if heading:
                    headings.setdefault(document_id, {})[tuple(heading)] = None
        return [DocumentTopics(name, tuple(headings.get(each, ()))) for each, name in names.items()]


def _chunks(readable: Groups) -> sa.Select[Any]:
    return _within(
        sa.select(documents.c.id.label("document_id"), documents.c.name, *_COLUMNS)
        .select_from(chunks)
        .join(documents, documents.c.active_revision_id == chunks.c.revision_id),
        readable,
    )


def _within(query: sa.Select[Any], readable: Groups) -> sa.Select[Any]:
    return query if readable is None else query.where(documents.c.collection_id.in_(sorted(readable)))


def _chunk(row: Row[Any]) -> Chunk:
    return Chunk(
        id=row.id,
        document_id=row.document_id,
        document=row.name,
        position=row.position,
        text=row.text,
        tokens=row.tokens,
        page=row.page,
        sheet=row.sheet,
        heading=tuple(row.heading),
    )
