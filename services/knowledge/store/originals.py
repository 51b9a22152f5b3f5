"""Which originals there should be, one after the other."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from services.core.database import Database
from services.knowledge.store.tables import documents, revisions


@dataclass(frozen=True, slots=True)
class Original:
    """An original that a revision refers to, and the document that it belongs to."""

    revision_id: int
    stored: str
    sha256: str
    document: str


def next_original(database: Database, after: int) -> Original | None:
    """Return the original of the first revision with an id above `after`, None after the last."""
    query = (
        sa.select(revisions.c.id, revisions.c.stored, revisions.c.sha256, documents.c.name)
        .join(documents, documents.c.id == revisions.c.document_id)
        .where(revisions.c.id > after, revisions.c.stored != "")
        .order_by(revisions.c.id)
        .limit(1)
    )
    with database.read() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else Original(*row)
