"""Which originals there should be, one after the other."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from services.core.database import Database
from services.knowledge.store.tables import documents, revisions

_AFTER = (
    sa.select(revisions.c.id, revisions.c.stored, revisions.c.sha256, documents.c.name)
    .join(documents, documents.c.id == revisions.c.document_id)
    .where(revisions.c.id > sa.bindparam("after"), revisions.c.stored != "")
    .order_by(revisions.c.id)
    .limit(sa.bindparam("count"))
)


@dataclass(frozen=True, slots=True)
class Original:
    """An original that a revision refers to, and the document that it belongs to."""

    revision_id: int
    stored: str
    sha256: str
    document: str


def next_originals(database: Database, after: int, count: int) -> list[Original]:
    """Return the originals of the first `count` revisions with an id above `after`; none after the last."""
    with database.read() as connection:
        return [Original(*row) for row in connection.execute(_AFTER, {"after": after, "count": count})]
