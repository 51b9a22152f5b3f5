"""Content that is deleted in portions: large revisions of which a transaction has taken leave.

Whoever deletes or replaces a document does so in one transaction: from its commit on nothing shows the old content.
Of a large revision chunks, terms and sections are deleted afterwards, in short transactions, so that others who write
do not wait; a document that went keeps its row, hidden, as long as that takes. After a kill the next start goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.knowledge.store.recognized_pages import drop_pages
from services.knowledge.store.revisions import AT_ONCE_CHUNKS, drop_span, unreferenced
from services.knowledge.store.tables import PRESENT, chunks, documents, revisions, sections

PORTION_ROWS = 256  # that are deleted in one transaction


@dataclass(slots=True)
class PortionDropped:
    """What a portion was: whether something is left, and which originals nothing refers to any more."""

    left: bool
    unneeded: list[str] = field(default_factory=list)


def is_large(connection: Connection, revision_id: int) -> bool:
    """Return whether a revision is deleted in portions."""
    query = sa.select(sa.func.max(chunks.c.position)).where(chunks.c.revision_id == revision_id)
    return (connection.scalar(query) or 0) >= AT_ONCE_CHUNKS


def hide_document(connection: Connection, document_id: int) -> None:
    """Hide a document until what is left of it is deleted; its name becomes free."""
    connection.execute(
        documents.update()
        .where(documents.c.id == document_id)
        .values(active_revision_id=None, newest_revision_id=None, name=f"\x7f {document_id}", attached=False)
    )


def drop_portion(connection: Connection, revision_id: int) -> PortionDropped:
    """Delete a portion of a revision that is neither active nor about to be, from its end; at last its row.

    A hidden document goes with its last revision.
    """
    for table in (chunks, sections):
        last = connection.scalar(sa.select(sa.func.max(table.c.position)).where(table.c.revision_id == revision_id))
        if last is not None:
            start = max(0, last + 1 - PORTION_ROWS)
            if table is chunks:
                drop_span(connection, revision_id, start)
            else:
                connection.execute(
                    sections.delete().where(sections.c.revision_id == revision_id, sections.c.position >= start)
                )
            return PortionDropped(left=True)
    return PortionDropped(left=False, unneeded=_forget(connection, revision_id))


def _forget(connection: Connection, revision_id: int) -> list[str]:
    """Delete the row of an empty revision; return the originals to remove."""
    row = connection.execute(sa.select(revisions).where(revisions.c.id == revision_id)).one_or_none()
    if row is None:
        return []
    drop_pages(connection, revision_id)
    connection.execute(revisions.delete().where(revisions.c.id == revision_id))
    others = sa.select(revisions.c.id).where(revisions.c.document_id == row.document_id)
    connection.execute(documents.delete().where(documents.c.id == row.document_id, ~PRESENT, ~sa.exists(others)))
    return unreferenced(connection, [row.stored])


def left_over_revisions(connection: Connection) -> list[int]:
    """Return the revisions that a kill has left: neither active nor the newest of their document."""
    query = (
        sa.select(revisions.c.id)
        .join(documents, documents.c.id == revisions.c.document_id)
        .where(
            revisions.c.id.is_distinct_from(documents.c.active_revision_id),
            revisions.c.id.is_distinct_from(documents.c.newest_revision_id),
        )
    )
    return list(connection.execute(query).scalars())
