"""Deletion of documents, collections and jobs, inside a transaction of the caller."""

from __future__ import annotations

from collections.abc import Collection, Container
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from services.core.errors import ConflictError, NotFoundError
from services.core.i18n import _
from services.knowledge.store.chunks import Ids
from services.knowledge.store.jobs import UNFINISHED_STATES, supersede
from services.knowledge.store.left_over import hide_document, is_large
from services.knowledge.store.revisions import drop_content, drop_terms, retire, revision_ids, unreferenced
from services.knowledge.store.tables import attachments, collections, documents, jobs, revisions

# By collection, because that is how names are indexed.
_BEARER = (
    sa.select(documents.c.id)
    .where(documents.c.collection_id.in_(sa.select(collections.c.id)), documents.c.name == sa.bindparam("name"))
    .limit(1)
)


@dataclass(slots=True)
class Removal:
    """What a deletion removed from the database, and what is still to be removed.

    `ids` are vectors to remove from the index, int64 (n,) each, `unneeded` originals, `ended` jobs of the pipeline,
    `gone` the names of the documents by id, `homes` their collections, `left_over` large revisions that are to be
    deleted in portions.
    """

    documents: int = 0
    chunks: int = 0
    bytes: int = 0
    ids: list[Ids] = field(default_factory=list)
    unneeded: list[str] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    gone: dict[int, str] = field(default_factory=dict)
    homes: dict[int, int] = field(default_factory=dict)
    left_over: list[int] = field(default_factory=list)

    def include(self, other: Removal) -> None:
        """Add what another deletion removed."""
        self.documents += other.documents
        self.chunks += other.chunks
        self.bytes += other.bytes
        self.ids += other.ids
        self.unneeded += other.unneeded
        self.ended += other.ended
        self.gone |= other.gone
        self.homes |= other.homes
        self.left_over += other.left_over


def delete(connection: Connection, document_id: int) -> Removal:
    """Delete a document with its revisions, chunks, terms, vectors and jobs, and with the attachments that only it
    brought; does nothing if it is gone.
    """
    document = connection.execute(sa.select(documents).where(documents.c.id == document_id)).one_or_none()
    if document is None:
        return Removal()
    removal = Removal(documents=1, gone={document_id: document.name}, homes={document_id: document.collection_id})
    ended = sa.select(jobs.c.id).where(jobs.c.document_id == document_id, jobs.c.state.in_(UNFINISHED_STATES))
    removal.ended = list(connection.execute(ended).scalars())
    if document.active_revision_id is not None:
        ids = revision_ids(connection, document.active_revision_id)
        removal.ids, removal.chunks = [ids], len(ids)
        if is_large(connection, document.active_revision_id):
            retire(connection, document.active_revision_id, len(ids))
        else:
            drop_terms(connection, document.active_revision_id)
    stored = set()
    for revision in connection.execute(sa.select(revisions).where(revisions.c.document_id == document_id)).all():
        if is_large(connection, revision.id):
            removal.left_over.append(revision.id)
        else:
            drop_content(connection, revision.id)
        if revision.stored and revision.stored not in stored:
            stored.add(revision.stored)
            removal.bytes += revision.size_bytes
    connection.execute(jobs.delete().where(jobs.c.document_id == document_id))
    connection.execute(
        revisions.delete().where(revisions.c.document_id == document_id, revisions.c.id.not_in(removal.left_over))
    )
    brought = sa.select(attachments.c.document_id).where(attachments.c.parent_id == document_id)
    children = set(connection.execute(brought).scalars())
    links = sa.or_(attachments.c.parent_id == document_id, attachments.c.document_id == document_id)
    connection.execute(attachments.delete().where(links))
    if removal.left_over:
        hide_document(connection, document_id)
    else:
        connection.execute(documents.delete().where(documents.c.id == document_id))
    removal.unneeded = unreferenced(connection, stored)
    removal.include(delete_unheld(connection, children))
    return removal


def delete_unheld(connection: Connection, document_ids: Collection[int]) -> Removal:
    """Delete those of former attachments that nothing holds any more."""
    removal = Removal()
    for document_id in sorted(document_ids):
        if is_unheld(connection, document_id, ()):
            removal.include(delete(connection, document_id))
    return removal


def is_unheld(connection: Connection, document_id: int, going: Container[int]) -> bool:
    """Return whether a document came only as an attachment of documents that are `going` or gone."""
    attached = connection.scalar(sa.select(documents.c.attached).where(documents.c.id == document_id))
    parents = sa.select(attachments.c.parent_id).where(attachments.c.document_id == document_id)
    return bool(attached) and all(parent in going for parent in connection.execute(parents).scalars())


def delete_collection(connection: Connection, collection_id: int) -> None:
    """Delete an empty collection.

    Raises:
        ConflictError: a document was added meanwhile.
    """
    try:
        connection.execute(collections.delete().where(collections.c.id == collection_id))
    except IntegrityError as error:
        raise ConflictError(
            _("A document was added to the collection meanwhile; the collection was kept."), _("Delete it again.")
        ) from error


def document_ids(connection: Connection, collection_id: int) -> list[int]:
    """Return the ids of a collection's documents."""
    return list(
        connection.execute(sa.select(documents.c.id).where(documents.c.collection_id == collection_id)).scalars()
    )


def names_in_use(connection: Connection, names: Collection[str]) -> set[str]:
    """Return those of `names` that documents bear."""
    return {name for name in set(names) if connection.scalar(_BEARER, {"name": name}) is not None}


def remove_job(connection: Connection, job_id: int) -> Removal:
    """Delete a job with the revision it was building; a document without any other revision goes with it.

    Raises:
        NotFoundError: there is no such job.
    """
    row = connection.execute(
        sa.select(documents.c.id, documents.c.active_revision_id, documents.c.newest_revision_id, jobs.c.revision_id)
        .join(jobs, jobs.c.document_id == documents.c.id)
        .where(jobs.c.id == job_id)
    ).one_or_none()
    if row is None:
        raise NotFoundError(_("This job does not exist any more."))
    removal = Removal()
    if row.revision_id == row.newest_revision_id != row.active_revision_id:
        if row.active_revision_id is None:
            return delete(connection, row.id)
        removal.unneeded, removal.ended = supersede(connection, row.id)
    if row.revision_id != row.active_revision_id:
        connection.execute(jobs.delete().where(jobs.c.id == job_id))
    return removal
