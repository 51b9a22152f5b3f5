"""Writing the sections and chunks of a revision, and activating it, inside a transaction of the caller.

A revision is written in any number of transactions; it is invisible until `activate`, which is one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from services.core.database import WHOLE
from services.knowledge.store.chunks import Ids, Vectors
from services.knowledge.store.lexical_index import lexical_index
from services.knowledge.store.recognized_pages import drop_pages
from services.knowledge.store.tables import chunk_vectors, chunks, counters, documents, revisions, sections
from services.knowledge.store.term_erasure import count_terms_to_erase
from services.knowledge.text.kinds import kind_of
from services.knowledge.types import ChunkDraft, Section

# Chunks of a revision that is deleted in one transaction; a larger one is deleted in portions, see `left_over`.
AT_ONCE_CHUNKS = 1024
# Statements are built once: for a small file, building them would cost more than executing them.
_ID: sa.BindParameter[int] = sa.bindparam("revision", type_=WHOLE)
_COPIED = ("position", "tokens", "page", "sheet", "heading", "vector", "text", "terms", "kind", "metadata")
_COPIED_SECTIONS = ("position", "page", "sheet", "heading", "text")
_INSERT_CHUNKS = chunks.insert()
_INSERT_SECTIONS = sections.insert()
_RANGE = sa.and_(
    chunks.c.revision_id == _ID,
    chunks.c.position >= sa.bindparam("start"),
    chunks.c.position < sa.bindparam("end"),
)
_COUNT_RANGE = sa.select(sa.func.count()).select_from(chunks).where(_RANGE)
_READ_RANGE = sa.select(chunks).where(_RANGE).order_by(chunks.c.position)
# After a change of the model a chunk's vector may still be beside the one of the model before.
_BESIDE = (
    sa.select(chunk_vectors.c.vector)
    .join(revisions, revisions.c.fingerprint == chunk_vectors.c.fingerprint)
    .where(chunk_vectors.c.chunk_id == chunks.c.id, revisions.c.id == chunks.c.revision_id)
    .correlate(chunks)
    .scalar_subquery()
)
_COPY_RANGE = chunks.insert().from_select(
    ["id", "revision_id", *_COPIED],
    sa.select(
        sa.bindparam("base", type_=WHOLE) + chunks.c.position,
        sa.bindparam("target", type_=WHOLE),
        *(sa.func.coalesce(_BESIDE, chunks.c.vector) if name == "vector" else chunks.c[name] for name in _COPIED),
    ).where(_RANGE),
)
_SET_TERMS = chunks.update().where(chunks.c.id == sa.bindparam("chunk")).values(terms=sa.bindparam("new_terms"))
_COPY_SECTIONS = sections.insert().from_select(
    ["revision_id", *_COPIED_SECTIONS],
    sa.select(sa.bindparam("target", type_=WHOLE), *(sections.c[name] for name in _COPIED_SECTIONS)).where(
        sections.c.revision_id == _ID,
        sections.c.position >= sa.bindparam("start"),
        sections.c.position < sa.bindparam("end"),
    ),
)
_DOCUMENT = sa.select(documents).join(revisions, revisions.c.document_id == documents.c.id).where(revisions.c.id == _ID)
_ACTIVATE = (
    documents.update()
    .where(documents.c.id == sa.bindparam("document"))
    .values(active_revision_id=_ID, updated_at=sa.bindparam("now"))
)
_CHUNK_IDS = sa.select(chunks.c.id).where(chunks.c.revision_id == _ID).order_by(chunks.c.position)
_OF_REVISION = chunks.c.revision_id == _ID
_SPAN_IDS = sa.select(chunks.c.id).where(_RANGE).order_by(chunks.c.position)
_EARLY_TERMS = sa.select(revisions.c.terms_indexed).where(revisions.c.id == _ID)
_SET_EARLY_TERMS = revisions.update().where(revisions.c.id == _ID).values(terms_indexed=sa.bindparam("indexed"))
_DROP_CHUNKS = chunks.delete().where(chunks.c.revision_id == _ID)
_DROP_CHUNKS_FROM = chunks.delete().where(chunks.c.revision_id == _ID, chunks.c.position >= sa.bindparam("start"))
_DROP_SECTIONS = sections.delete().where(sections.c.revision_id == _ID)
_DROP_REVISION = revisions.delete().where(revisions.c.id == _ID)
_STORED = sa.select(revisions.c.stored).where(revisions.c.id == _ID)
_FACTS = sa.select(*(revisions.c[name] for name in ("media_type", "pages", "notes", "recognition", "chunks"))).where(
    revisions.c.id == _ID
)
_INCREMENT = (
    counters.update()
    .where(counters.c.name == "chunk")
    .values(value=counters.c.value + sa.bindparam("count"))
    .returning(counters.c.value)
)


@dataclass(frozen=True, slots=True)
class Switch:
    """The consequences of an activated revision: vectors to add and remove, originals to delete.

    `group` is -1 for a disabled document. `early`: what is added is in the index already, in group -1. `left_over`: the
    large revision before it, which is to be deleted in portions.
    """

    document_id: int
    added: Ids
    removed: Ids
    group: int
    unneeded: list[str]
    early: bool = False
    left_over: int | None = None


def insert_chunks(
    connection: Connection,
    revision_id: int,
    drafts: Sequence[ChunkDraft],
    vectors: Vectors,
    *,
    position: int = 0,
    external_ids: Sequence[str] | None = None,
) -> Ids:
    """Append chunks to a revision that is not active yet; return their ids, int64 (n,).

    `vectors` is float32 (n, d); `position` is that of the first draft.
    """
    if not drafts:
        return np.empty(0, np.int64)
    first = reserve_ids(connection, len(drafts))
    raw = np.ascontiguousarray(vectors, dtype="<f4")
    connection.execute(
        _INSERT_CHUNKS,
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
                "kind": kind_of(draft.text, draft.tokens),
                "external_id": external_ids[i] if external_ids else None,
                "metadata": draft.metadata,
            }
            for i, draft in enumerate(drafts)
        ],
    )
    return np.arange(first, first + len(drafts), dtype=np.int64)


def insert_sections(connection: Connection, revision_id: int, parts: Sequence[Section], *, position: int = 0) -> None:
    """Append sections to a revision; `position` is that of the first one."""
    if parts:
        connection.execute(
            _INSERT_SECTIONS,
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
    span = {"revision": source, "start": start, "end": start + count}
    number = connection.scalar(_COUNT_RANGE, span) or 0
    if number:
        base = reserve_ids(connection, number) - start
        connection.execute(_COPY_RANGE, {"base": base, "target": target, **span})
    return number


def rename_terms(
    connection: Connection, revision_id: int, start: int, count: int, terms: Callable[[ChunkDraft], str]
) -> None:
    """Recompute the terms of copied chunks, because they include the name of the document."""
    rows = connection.execute(_READ_RANGE, {"revision": revision_id, "start": start, "end": start + count})
    changed = [{"chunk": row.id, "new_terms": terms(_draft(row))} for row in rows]
    if changed:
        connection.execute(_SET_TERMS, changed)


def copy_sections(connection: Connection, source: int, target: int, start: int, count: int) -> int:
    """Copy `count` sections from position `start` of one revision to another; return how many there were."""
    span = {"target": target, "revision": source, "start": start, "end": start + count}
    return connection.execute(_COPY_SECTIONS, span).rowcount


def index_early(connection: Connection, revision_id: int, start: int, count: int) -> Ids:
    """Put the terms of `count` chunks from position `start` into the lexical index before their revision is active.

    No search shows them. Portion by portion this keeps the activation of a large revision short. Returns the chunks'
    ids, int64 (n,): their vectors may go into the vector index, hidden.
    """
    span = {"revision": revision_id, "start": start, "end": start + count}
    lexical_index(connection).add(connection, _RANGE, span)
    connection.execute(_SET_EARLY_TERMS, {"revision": revision_id, "indexed": start + count})
    return np.fromiter(connection.execute(_SPAN_IDS, span).scalars(), dtype=np.int64)


def drop_early_terms(connection: Connection, revision_id: int) -> None:
    """Take what `index_early` put into the lexical index out again, if anything; the chunks must still be there."""
    indexed = connection.scalar(_EARLY_TERMS, {"revision": revision_id})
    if indexed:
        span = {"revision": revision_id, "start": 0, "end": indexed}
        count_terms_to_erase(connection, lexical_index(connection).remove(connection, _RANGE, span))
        connection.execute(_SET_EARLY_TERMS, {"revision": revision_id, "indexed": None})


def drop_span(connection: Connection, revision_id: int, start: int) -> None:
    """Delete the chunks of an inactive revision from position `start` on, with their terms."""
    indexed = connection.scalar(_EARLY_TERMS, {"revision": revision_id}) or 0
    if indexed > start:
        span = {"revision": revision_id, "start": start, "end": indexed}
        count_terms_to_erase(connection, lexical_index(connection).remove(connection, _RANGE, span))
        connection.execute(_SET_EARLY_TERMS, {"revision": revision_id, "indexed": start})
    connection.execute(_DROP_CHUNKS_FROM, {"revision": revision_id, "start": start})


def retire(connection: Connection, revision_id: int, count: int) -> None:
    """Record that a revision of `count` chunks is no longer active; its terms are to be deleted in portions."""
    connection.execute(_SET_EARLY_TERMS, {"revision": revision_id, "indexed": count})


def activate(connection: Connection, revision_id: int, *, early: bool = False, **facts: Any) -> Switch:
    """Make a fully written revision the active one; the one before it is deleted, with chunks and terms.

    `early`: its terms are in the lexical index already. `facts` are columns of `revisions` (media_type, pages, notes,
    recognition, fingerprint).
    """
    this = {"revision": revision_id}
    document = connection.execute(_DOCUMENT, this).one()
    removed = np.empty(0, np.int64)
    old = document.active_revision_id
    if old == revision_id:
        raise ValueError(f"revision {revision_id} is active already")
    gradually = False
    if old is not None:
        removed = revision_ids(connection, old)
        gradually = len(removed) > AT_ONCE_CHUNKS
        if gradually:
            retire(connection, old, len(removed))
        else:
            drop_terms(connection, old)
    added = revision_ids(connection, revision_id)
    columns = {"chunks": len(added), "terms_indexed": None, **facts}
    connection.execute(_set_facts(*columns), {**this, **{f"new_{name}": value for name, value in columns.items()}})
    if not early:
        lexical_index(connection).add(connection, _OF_REVISION, this)
    connection.execute(_ACTIVATE, {"document": document.id, "now": datetime.now(UTC), **this})
    unneeded: list[str] = []
    if old is not None and not gradually:
        stored = connection.scalar(_STORED, {"revision": old}) or ""
        drop_content(connection, old)
        connection.execute(_DROP_REVISION, {"revision": old})
        unneeded = unreferenced(connection, [stored])
    group = document.collection_id if document.enabled else -1
    return Switch(document.id, added, removed, group, unneeded, early, old if gradually else None)


@lru_cache(maxsize=16)
def _set_facts(*names: str) -> sa.Update:
    values: dict[str, Any] = {name: sa.bindparam(f"new_{name}", type_=revisions.c[name].type) for name in names}
    return revisions.update().where(revisions.c.id == _ID).values(values)


def drop_terms(connection: Connection, revision_id: int) -> None:
    """Remove an active revision's chunks from the lexical index; must come before `drop_content`.

    Never for an inactive revision: removing rows that are not in it would corrupt the index.
    """
    dropped = lexical_index(connection).remove(connection, _OF_REVISION, {"revision": revision_id})
    count_terms_to_erase(connection, dropped)


def drop_content(connection: Connection, revision_id: int) -> None:
    """Delete a revision's sections, recognised pages and chunks; its row stays."""
    drop_early_terms(connection, revision_id)
    drop_pages(connection, revision_id)
    connection.execute(_DROP_CHUNKS, {"revision": revision_id})
    connection.execute(_DROP_SECTIONS, {"revision": revision_id})


def revision_ids(connection: Connection, revision_id: int) -> Ids:
    """Return the ids of a revision's chunks, int64 (n,), by position."""
    found = connection.execute(_CHUNK_IDS, {"revision": revision_id})
    return np.fromiter(found.scalars(), dtype=np.int64)


def reserve_ids(connection: Connection, count: int) -> int:
    """Return the first of `count` consecutive chunk ids that are never used again."""
    value = connection.scalar(_INCREMENT, {"count": count})
    if value is None:
        connection.execute(counters.insert().values(name="chunk", value=count))
        value = count
    return int(value) - count + 1


def set_newest(connection: Connection, document_id: int, revision_id: int | None) -> None:
    """Record the newest revision of a document."""
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
    """Return the chunks of a revision from position `start` as drafts."""
    rows = connection.execute(_READ_RANGE, {"revision": revision_id, "start": start, "end": start + count})
    return [_draft(row) for row in rows]


def _draft(row: Row[Any]) -> ChunkDraft:
    return ChunkDraft(row.text, row.tokens, row.terms, row.page, row.sheet, tuple(row.heading), row.metadata)


def revision_facts(connection: Connection, revision_id: int) -> dict[str, Any] | None:
    """Return media_type, pages, notes, recognition and chunks of a revision, or None when it is gone."""
    row = connection.execute(_FACTS, {"revision": revision_id}).mappings().one_or_none()
    return None if row is None else dict(row)
