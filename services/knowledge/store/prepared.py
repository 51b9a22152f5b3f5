"""Storing a document that is chunked already: its revision is written and activated in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy.engine import Connection

from services.knowledge.store.chunks import Vectors
from services.knowledge.store.collections import require_collection
from services.knowledge.store.intake import (
    IntakeResult,
    RevisionPlan,
    begin_rebuild,
    find_or_create_document,
    insert_revision,
    same_content,
)
from services.knowledge.store.jobs import CANCELLED, FAILED
from services.knowledge.store.revisions import Switch, activate, insert_chunks, insert_sections
from services.knowledge.types import ChunkDraft, JobKind, Section

MEDIA_TYPE = "text/plain"
# Fingerprint of a revision without vectors; as it differs from the model's, the document is re-embedded.
NOT_EMBEDDED = "not embedded yet"
_BATCH = 500


@dataclass(frozen=True, slots=True)
class PreparedRevision:
    """The content of a revision; `vectors` is float32 (n, dimension), normalised, of the model `fingerprint`."""

    name: str
    sha256: str
    size_bytes: int
    drafts: Sequence[ChunkDraft]
    vectors: Vectors | None
    dimension: int
    fingerprint: str


def admit_prepared(
    connection: Connection, revision: PreparedRevision, collection_id: int, plan: RevisionPlan
) -> tuple[IntakeResult, Switch | None]:
    """Store a document; return the outcome, and the switch for the vector index (None: nothing changed).

    Without vectors it is searchable by its words, and a job that embeds it is queued.

    Raises:
        NotFoundError: there is no such collection.
        BusyError: it has no vectors, and too many jobs are waiting.
    """
    require_collection(connection, collection_id)
    same = same_content(connection, revision.sha256, collection_id, revision.name)
    if same is not None:
        if same.state in {FAILED, CANCELLED}:  # embedding failed: retry it
            _job_id, begun = begin_rebuild(connection, same.id, JobKind.REEMBED, plan)
            return replace(begun, duplicate=True), None
        return IntakeResult(same.id, duplicate=True), None
    document_id, version, unneeded, ended = find_or_create_document(connection, revision.name, collection_id, plan)
    revision_id = insert_revision(
        connection,
        document_id,
        plan,
        version=version,
        sha256=revision.sha256,
        size_bytes=revision.size_bytes,
        stored="",
    )
    _insert_content(connection, revision_id, revision)
    embedded = revision.vectors is not None
    switch = activate(
        connection,
        revision_id,
        media_type=MEDIA_TYPE,
        fingerprint=revision.fingerprint if embedded else NOT_EMBEDDED,
    )
    if not embedded:
        switch = replace(switch, added=np.empty(0, np.int64))
        _job_id, begun = begin_rebuild(connection, document_id, JobKind.REEMBED, plan)
        unneeded, ended = [*unneeded, *begun.unneeded], [*ended, *begun.ended]
    return IntakeResult(document_id, unneeded=unneeded, ended=ended), switch


def _insert_content(connection: Connection, revision_id: int, revision: PreparedRevision) -> None:
    for start in range(0, len(revision.drafts), _BATCH):
        drafts = revision.drafts[start : start + _BATCH]
        if revision.vectors is None:
            # Placeholders of the right dimension, with cosine 0 to every query.
            vectors = np.zeros((len(drafts), revision.dimension), np.float32)
        else:
            vectors = revision.vectors[start : start + _BATCH]
        insert_chunks(connection, revision_id, drafts, vectors, position=start)
        sections = [Section(draft.text, draft.page, draft.sheet, draft.heading) for draft in drafts]
        insert_sections(connection, revision_id, sections, position=start)
