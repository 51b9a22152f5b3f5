"""Texts of LangChain programs, with their own ids and metadata: chunks of one document in a collection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.core.database import Database
from services.knowledge.store.chunks import IDS_PER_QUERY, Ids, Vectors
from services.knowledge.store.lexical_index import lexical_index
from services.knowledge.store.revisions import Switch, insert_chunks, set_newest
from services.knowledge.store.tables import chunks, documents, revisions
from services.knowledge.types import ChunkDraft


@dataclass(frozen=True, slots=True)
class ExternalText:
    """One text to store."""

    external_id: str
    draft: ChunkDraft
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ExternalChunk:
    """A stored text; `chunk_id` is its id in the vector index."""

    chunk_id: int
    external_id: str
    text: str
    metadata: dict[str, Any]


class ExternalStore:
    """The texts of one document, which is created with the first text."""

    def __init__(self, database: Database, collection_id: int, document: str, fingerprint: str) -> None:
        self._database = database
        self._collection_id = collection_id
        self._document = document
        self._fingerprint = fingerprint

    def upsert(self, connection: Connection, texts: Sequence[ExternalText], vectors: Vectors) -> Switch:
        """Store texts with distinct ids; texts with known ids are replaced.

        `vectors` is float32 (n, d), normalised.
        """
        document_id, revision_id, enabled = self._find_or_create(connection)
        keys = [_key(document_id, text.external_id) for text in texts]
        removed = _delete(connection, keys)
        last = connection.scalar(sa.select(sa.func.max(chunks.c.position)).where(chunks.c.revision_id == revision_id))
        added = insert_chunks(
            connection,
            revision_id,
            [replace(text.draft, metadata=text.metadata) for text in texts],
            vectors,
            position=0 if last is None else last + 1,
            external_ids=keys,
        )
        if len(added):
            lexical_index(connection).add(connection, chunks.c.id.between(int(added[0]), int(added[-1])), {})
        _count(connection, revision_id)
        return Switch(document_id, added, removed, self._collection_id if enabled else -1, [])

    def delete(self, connection: Connection, external_ids: Sequence[str] | None) -> Ids:
        """Delete texts (None: all) and return the ids of their chunks; unknown ids are ignored."""
        found_document = _find(connection, self._collection_id, self._document)
        if found_document is None:
            return np.empty(0, np.int64)
        document_id, revision_id, _enabled = found_document
        if external_ids is None:
            query = sa.select(chunks.c.external_id).where(chunks.c.revision_id == revision_id)
            keys = [key for key in connection.execute(query).scalars() if key]
        else:
            keys = [_key(document_id, external_id) for external_id in external_ids]
        removed = _delete(connection, keys)
        _count(connection, revision_id)
        return removed

    def get(self, external_ids: Sequence[str]) -> list[ExternalChunk]:
        """Return the texts with these ids, in their order; unknown ids are ignored."""
        with self._database.read() as connection:
            found_document = _find(connection, self._collection_id, self._document)
            if found_document is None:
                return []
            wanted = dict.fromkeys(_key(found_document[0], external_id) for external_id in external_ids)
            found = {}
            for part in _parts(list(wanted)):
                query = sa.select(chunks).where(chunks.c.external_id.in_(part))
                found.update({row.external_id: row for row in connection.execute(query)})
        return [
            ExternalChunk(found[key].id, external_id_of(key) or "", found[key].text, found[key].metadata or {})
            for key in wanted
            if key in found
        ]

    def _find_or_create(self, connection: Connection) -> tuple[int, int, bool]:
        found_document = _find(connection, self._collection_id, self._document)
        if found_document is not None:
            return found_document
        now = datetime.now(UTC)
        document_id = connection.execute(
            documents.insert()
            .values(
                collection_id=self._collection_id, name=self._document, enabled=True, created_at=now, updated_at=now
            )
            .returning(documents.c.id)
        ).scalar_one()
        revision_id = connection.execute(
            revisions.insert()
            .values(
                document_id=document_id,
                version=1,
                sha256="",
                size_bytes=0,
                stored="",
                media_type="text/plain",
                chunk_tokens=0,
                overlap=0,
                fingerprint=self._fingerprint,
                created_at=now,
            )
            .returning(revisions.c.id)
        ).scalar_one()
        set_newest(connection, document_id, revision_id)
        connection.execute(
            documents.update().where(documents.c.id == document_id).values(active_revision_id=revision_id)
        )
        return int(document_id), int(revision_id), True


def external_id_of(key: str | None) -> str | None:
    """Return the caller's id from a chunk's stored key; None for a chunk of a file."""
    return None if key is None else key.partition(":")[2]


def _key(document_id: int, external_id: str) -> str:
    # Ids are unique within their document only.
    return f"{document_id}:{external_id}"


def _find(connection: Connection, collection_id: int, name: str) -> tuple[int, int, bool] | None:
    row = connection.execute(
        sa.select(documents.c.id, documents.c.active_revision_id, documents.c.enabled).where(
            documents.c.collection_id == collection_id,
            documents.c.name == name,
            documents.c.active_revision_id.is_not(None),
        )
    ).one_or_none()
    return None if row is None else (row[0], row[1], row[2])


def _delete(connection: Connection, keys: Sequence[str]) -> Ids:
    removed: list[int] = []
    for part in _parts(keys):
        found = list(connection.execute(sa.select(chunks.c.id).where(chunks.c.external_id.in_(part))).scalars())
        if found:
            # Terms first: the lexical index needs the chunk's text to delete them.
            lexical_index(connection).remove(connection, chunks.c.id.in_(found), {})
            connection.execute(chunks.delete().where(chunks.c.id.in_(found)))
            removed += found
    return np.array(removed, dtype=np.int64)


def _count(connection: Connection, revision_id: int) -> None:
    number = sa.select(sa.func.count()).select_from(chunks).where(chunks.c.revision_id == revision_id)
    connection.execute(revisions.update().where(revisions.c.id == revision_id).values(chunks=number.scalar_subquery()))


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), IDS_PER_QUERY):
        yield keys[start : start + IDS_PER_QUERY]
