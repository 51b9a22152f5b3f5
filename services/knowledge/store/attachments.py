"""Attachments as documents of their own: taken in with the document that brought them, in its transaction.

A link says which document brought which. A document that came only as an attachment goes with the last one that
brought it; one that was added for itself, before or after, stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.core.actor import Actor
from services.knowledge.file_names import attachment_name, numbered_name
from services.knowledge.files.stored_file import StoredFile
from services.knowledge.store import deletions
from services.knowledge.store.deletions import Removal
from services.knowledge.store.intake import RevisionPlan, admit
from services.knowledge.store.rights import may_change_everything, unchangeable
from services.knowledge.store.tables import attachments, documents

# A mail in a mail in a mail: deeper ones are noted, not taken in.
MOST_DEPTH = 5
_UNLIMITED = 2**31  # their mail had its place in the queue


@dataclass(slots=True)
class AttachmentsAdmitted:
    """What became of the attachments of a document: which files are needed, what the new ones replaced or ended."""

    kept: list[bool] = field(default_factory=list)
    removal: Removal = field(default_factory=Removal)
    unneeded: list[str] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)


def admit_attachments(
    connection: Connection,
    parent_id: int,
    files: Sequence[tuple[str, StoredFile]],
    plan: RevisionPlan,
    *,
    is_stored: Callable[[str], bool],
) -> AttachmentsAdmitted:
    """Queue the files that a document brings, (name, file) each; what its last version brought and this one does not
    is deleted, unless it is there for another reason.

    A content that the collection has already is linked, not stored again.
    """
    parent = connection.execute(sa.select(documents).where(documents.c.id == parent_id)).one()
    before = set(_children(connection, parent_id))
    now: set[int] = set()
    admitted = AttachmentsAdmitted()
    unlimited = replace(plan, queue_limit=_UNLIMITED)
    for name, file in files:
        shown = _free_name(connection, parent.collection_id, attachment_name(parent.name, name), parent_id, now)
        found = _document_named(connection, parent.collection_id, shown)
        result = admit(connection, file, shown, parent.collection_id, unlimited, is_stored=is_stored)
        if found is None and not result.duplicate and result.document_id not in before | now:
            connection.execute(
                documents.update()
                .where(documents.c.id == result.document_id, documents.c.name == shown)
                .values(attached=True)
            )
        admitted.kept.append(result.keep_file)
        admitted.unneeded += result.unneeded
        admitted.ended += result.ended
        if result.document_id != parent_id:
            now.add(result.document_id)
    _link(connection, parent_id, now - before)
    if before - now:
        connection.execute(
            attachments.delete().where(
                attachments.c.parent_id == parent_id, attachments.c.document_id.in_(before - now)
            )
        )
        admitted.removal = deletions.delete_unheld(connection, before - now)
    return admitted


def keep_for_itself(connection: Connection, document_id: int) -> None:
    """Record that a document was added for itself, too: it stays when the mail that brought it is deleted."""
    connection.execute(
        documents.update().where(documents.c.id == document_id, documents.c.attached).values(attached=False)
    )


def keep_unchangeable(connection: Connection, actor: Actor, document_id: int) -> None:
    """Have those attachments stay that somebody moved to where `actor` may change nothing: before a deletion."""
    if not may_change_everything(actor):
        for kept in sorted(unchangeable(connection, actor, with_attachments(connection, [document_id]))):
            keep_for_itself(connection, kept)


def with_attachments(connection: Connection, document_ids: Iterable[int]) -> list[int]:
    """Return documents with all that would be deleted with them, each once, the given ones first."""
    found = dict.fromkeys(document_ids)
    pending = list(found)
    while pending:
        brought = set()
        for parent in pending:
            brought.update(_children(connection, parent))
        pending = [child for child in sorted(brought - found.keys()) if deletions.is_unheld(connection, child, found)]
        found.update(dict.fromkeys(pending))
    return list(found)


def relatives(connection: Connection, document_id: int) -> tuple[list[int], list[int]]:
    """Return which documents a document brought, and which brought it."""
    brought_by = sa.select(attachments.c.parent_id).where(attachments.c.document_id == document_id)
    return sorted(_children(connection, document_id)), sorted(connection.execute(brought_by).scalars())


def depth_of(connection: Connection, document_id: int) -> int:
    """Return in how many documents a document is nested: 0 for one that was added for itself."""
    seen = {document_id}
    level = {document_id}
    for depth in range(MOST_DEPTH):
        query = (
            sa.select(attachments.c.parent_id)
            .join(documents, documents.c.id == attachments.c.document_id)
            .where(attachments.c.document_id.in_(level), documents.c.attached)
        )
        level = set(connection.execute(query).scalars()) - seen
        if not level:
            return depth
        seen |= level
    return MOST_DEPTH


def _children(connection: Connection, parent_id: int) -> list[int]:
    query = sa.select(attachments.c.document_id).where(attachments.c.parent_id == parent_id)
    return list(connection.execute(query).scalars())


def _link(connection: Connection, parent_id: int, children: Iterable[int]) -> None:
    rows = [{"parent_id": parent_id, "document_id": child} for child in children]
    if rows:
        connection.execute(attachments.insert(), rows)


def _free_name(connection: Connection, collection_id: int, wanted: str, parent_id: int, taken: set[int]) -> str:
    """Return `wanted`, with a number if a document has that name that this parent alone did not bring before."""
    name, number = wanted, 1
    while True:
        found = _document_named(connection, collection_id, name)
        if found is None or (found not in taken and _is_only_child(connection, found, parent_id)):
            return name
        number += 1
        name = numbered_name(wanted, number)


def _document_named(connection: Connection, collection_id: int, name: str) -> int | None:
    return connection.scalar(
        sa.select(documents.c.id).where(documents.c.collection_id == collection_id, documents.c.name == name)
    )


def _is_only_child(connection: Connection, document_id: int, parent_id: int) -> bool:
    query = (
        sa.select(attachments.c.parent_id)
        .join(documents, documents.c.id == attachments.c.document_id)
        .where(attachments.c.document_id == document_id, documents.c.attached)
    )
    return set(connection.execute(query).scalars()) == {parent_id}
