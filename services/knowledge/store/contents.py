"""Reading what is in a document: its chunks and its sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from services.database import Database
from services.knowledge.store.tables import chunks, documents, sections
from services.knowledge.types import Chunk, Section

_BATCH = 500
_COLUMNS = [chunks.c[name] for name in ("id", "position", "text", "tokens", "page", "sheet", "heading")]


class ContentStore:
    """Reads the active revisions' chunks and sections. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def chunks(self, document_id: int, limit: int, offset: int) -> list[Chunk]:
        """Return a document's chunks in reading order, a page of them."""
        query = _chunks().where(documents.c.id == document_id).order_by(chunks.c.position)
        with self._database.read() as connection:
            rows = connection.execute(query.limit(max(limit, 0)).offset(max(offset, 0)))
            return [_chunk(row) for row in rows]

    def chunk(self, chunk_id: int) -> Chunk | None:
        """Return one chunk, or None when it is gone."""
        with self._database.read() as connection:
            row = connection.execute(_chunks().where(chunks.c.id == chunk_id)).one_or_none()
        return None if row is None else _chunk(row)

    def containing(self, document_id: int, text: str) -> Chunk | None:
        """Return a document's first chunk that contains `text` exactly, or None."""
        query = (
            _chunks()
            .where(documents.c.id == document_id, sa.func.instr(chunks.c.text, text) > 0)
            .order_by(chunks.c.position)
            .limit(1)
        )
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _chunk(row)

    def each_chunk(self, document_id: int) -> Iterator[Chunk]:
        """Yield a document's chunks in reading order, a few hundred in RAM at a time."""
        offset = 0
        while batch := self.chunks(document_id, _BATCH, offset):
            yield from batch
            offset += len(batch)

    def sections(self, document_id: int) -> list[Section]:
        """Return a document's text in reading order."""
        query = (
            sa.select(sections)
            .join(documents, documents.c.active_revision_id == sections.c.revision_id)
            .where(documents.c.id == document_id)
            .order_by(sections.c.position)
        )
        with self._database.read() as connection:
            return [Section(row.text, row.page, row.sheet, tuple(row.heading)) for row in connection.execute(query)]


def _chunks() -> sa.Select[Any]:
    return (
        sa.select(documents.c.id.label("document_id"), documents.c.name, *_COLUMNS)
        .select_from(chunks)
        .join(documents, documents.c.active_revision_id == chunks.c.revision_id)
    )


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
