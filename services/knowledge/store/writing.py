"""Writing a revision's sections and chunks, and switching a document to it. All inside a transaction of the caller.

A revision is written in any number of transactions; nobody sees it until `activate`, which is one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.knowledge.store.chunks import Ids, Vectors
from services.knowledge.store.tables import chunks, counters, documents, revisions, sections
from services.knowledge.types import ChunkDraft, Section


@dataclass(frozen=True, slots=True)
class Switch:
    """What has to follow a committed switch: in the vector index (`group` is -1 for a disabled document), on disk."""

    document_id: int
    added: Ids
    removed: Ids
    group: int
    unneeded: list[str]


def insert_chunks(
    connection: Connection,
    revision_id: int,
    drafts: Sequence[ChunkDraft],
    vectors: Vectors,
    *,
    position: int = 0,
    external_ids: Sequence[str] | None = None,
    metadatas: Sequence[dict[str, Any] | None] | None = None,
) -> Ids:
    """Append chunks to a revision that is not active yet; return their ids, int64 (n,).

    `vectors` is float32 (n, d); `position` is that of the first draft.
    """
    if not drafts:
        return np.empty(0, np.int64)
    first = reserve_ids(connection, len(drafts))
    raw = np.ascontiguousarray(vectors, dtype="<f4")
    connection.execute(
        chunks.insert(),
        [
            {
                "id": first + i,
                "revision_id": revision_id,
                "position": position + i,
                "tokens": draft.tokens,
                "page": draft.page,
                "sheet": draft.sheet,
                "heading": draft.heading,
                "vector": raw[i].tobytes(),
                "text": draft.text,
                "terms": draft.terms,
                "external_id": external_ids[i] if external_ids else None,
                "metadata": metadatas[i] if metadatas else None,
            }
            for i, draft in enumerate(drafts)
        ],
    )
    return np.arange(first, first + len(drafts), dtype=np.int64)


def insert_sections(connection: Connection, revision_id: int, parts: Sequence[Section], *, position: int = 0) -> None:
    """Append sections to a revision; `position` is that of the first one."""
    if parts:
        connection.execute(
            sections.insert(),
            [
                {
                    "revision_id": revision_id,
                    "position": position + i,
                    "page": part.page,
                    "sheet": part.sheet,
                    "heading": part.heading,
                    "text": part.text,
                }
                for i, part in enumerate(parts)
            ],
        )


def copy_chunks(connection: Connection, source: int, target: int, start: int, count: int) -> int:
    """Copy `count` chunks with their vectors from position `start` of one revision to another; return how many."""
    within = sa.and_(chunks.c.revision_id == source, chunks.c.position >= start, chunks.c.position < start + count)
    number = connection.scalar(sa.select(sa.func.count()).select_from(chunks).where(within)) or 0
    if number:
        first = reserve_ids(connection, number)
        kept = ("position", "tokens", "page", "sheet", "heading", "vector", "text", "terms")
        connection.execute(
            chunks.insert().from_select(
                ["id", "revision_id", *kept],
                sa.select(
                    sa.literal(first - start) + chunks.c.position,
                    sa.literal(target),
                    *(chunks.c[name] for name in kept),
                ).where(within),
            )
        )
    return number


def copy_sections(connection: Connection, source: int, target: int) -> None:
    """Copy all sections of one revision to another."""
    kept = ("position", "page", "sheet", "heading", "text")
    connection.execute(
        sections.insert().from_select(
            ["revision_id", *kept],
            sa.select(sa.literal(target), *(sections.c[name] for name in kept)).where(sections.c.revision_id == source),
        )
    )


def activate(connection: Connection, revision_id: int, **facts: Any) -> Switch:
    """Make a fully written revision the one that answers; the one before it goes, with chunks and terms.

    `facts` are columns of `revisions` that are known now (media_type, pages, fingerprint).
    """
    document = connection.execute(
        sa.select(documents)
        .join(revisions, revisions.c.document_id == documents.c.id)
        .where(revisions.c.id == revision_id)
    ).one()
    removed = np.empty(0, np.int64)
    old = document.active_revision_id
    if old is not None and old != revision_id:
        removed = revision_ids(connection, old)
        drop_terms(connection, old)
    added = revision_ids(connection, revision_id)
    connection.execute(revisions.update().where(revisions.c.id == revision_id).values(chunks=len(added), **facts))
    connection.execute(
        sa.text("INSERT INTO chunk_terms(rowid, terms) SELECT id, terms FROM chunks WHERE revision_id = :revision"),
        {"revision": revision_id},
    )
    connection.execute(
        documents.update()
        .where(documents.c.id == document.id)
        .values(active_revision_id=revision_id, updated_at=datetime.now(UTC))
    )
    unneeded: list[str] = []
    if old is not None and old != revision_id:
        stored = connection.scalar(sa.select(revisions.c.stored).where(revisions.c.id == old)) or ""
        drop_content(connection, old)
        connection.execute(revisions.delete().where(revisions.c.id == old))
        unneeded = unreferenced(connection, [stored])
    group = document.collection_id if document.enabled else -1
    return Switch(document.id, added, removed, group, unneeded)


def drop_terms(connection: Connection, revision_id: int) -> None:
    """Take an active revision's chunks out of the lexical index; must come before `drop_content`.

    Never for a revision that is not active: taking out what is not in would damage the index.
    """
    connection.execute(
        sa.text("DELETE FROM chunk_terms WHERE rowid IN (SELECT id FROM chunks WHERE revision_id = :revision)"),
        {"revision": revision_id},
    )


def drop_content(connection: Connection, revision_id: int) -> None:
    """Delete a revision's sections and chunks; its row stays."""
    connection.execute(chunks.delete().where(chunks.c.revision_id == revision_id))
    connection.execute(sections.delete().where(sections.c.revision_id == revision_id))


def revision_ids(connection: Connection, revision_id: int) -> Ids:
    """Return the ids of a revision's chunks, int64 (n,), by position."""
    query = sa.select(chunks.c.id).where(chunks.c.revision_id == revision_id).order_by(chunks.c.position)
    return np.fromiter(connection.execute(query).scalars(), dtype=np.int64)


def reserve_ids(connection: Connection, count: int) -> int:
    """Return the first of `count` chunk ids that were never used before and never will be again."""
    value = connection.scalar(
        counters.update()
        .where(counters.c.name == "chunk")
        .values(value=counters.c.value + count)
        .returning(counters.c.value)
    )
    if value is None:
        connection.execute(counters.insert().values(name="chunk", value=count))
        value = count
    return int(value) - count + 1


def set_newest(connection: Connection, document_id: int, revision_id: int | None) -> None:
    """Note which revision of a document is the newest."""
    connection.execute(
        documents.update()
        .where(documents.c.id == document_id)
        .values(newest_revision_id=revision_id, updated_at=datetime.now(UTC))
    )


def unreferenced(connection: Connection, names: Collection[str]) -> list[str]:
    """Return those of the stored originals that no revision refers to any more."""
    wanted = [name for name in names if name]
    query = sa.select(revisions.c.stored).where(revisions.c.stored.in_(wanted))
    used = set(connection.execute(query).scalars()) if wanted else set()
    return [name for name in wanted if name not in used]


def read_drafts(connection: Connection, revision_id: int, start: int, count: int) -> list[ChunkDraft]:
    """Return chunks of a revision from position `start` as they were before they were stored."""
    query = (
        sa.select(chunks)
        .where(chunks.c.revision_id == revision_id, chunks.c.position >= start, chunks.c.position < start + count)
        .order_by(chunks.c.position)
    )
    return [
        ChunkDraft(row.text, row.tokens, row.terms, row.page, row.sheet, tuple(row.heading))
        for row in connection.execute(query)
    ]


def revision_facts(connection: Connection, revision_id: int) -> dict[str, Any] | None:
    """Return what is known of a revision's content (media_type, pages, chunks), or None when it is gone."""
    row = connection.execute(
        sa.select(revisions.c.media_type, revisions.c.pages, revisions.c.chunks).where(revisions.c.id == revision_id)
    ).one_or_none()
    return None if row is None else {"media_type": row.media_type, "pages": row.pages, "chunks": row.chunks}
