"""What the newest documents are about, by their own names and headings: questions to begin with are made of them."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from services.core.database import Database
from services.knowledge.store.tables import documents, sections
from services.knowledge.types import DocumentTopics

_SECTIONS = 24  # of each document, from its beginning


class TopicStore:
    """Reads names and headings of searchable documents. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self, groups: Collection[int] | None, most: int) -> list[DocumentTopics]:
        """Return the topics of the `most` documents that were added last, of some collections; None for all."""
        newest = sa.select(documents.c.id, documents.c.name, documents.c.active_revision_id).where(
            documents.c.enabled, documents.c.active_revision_id.is_not(None)
        )
        if groups is not None:
            newest = newest.where(documents.c.collection_id.in_(sorted(groups)))
        found = newest.order_by(documents.c.id.desc()).limit(most).subquery()
        query = (
            sa.select(found.c.id, found.c.name, sections.c.heading)
            .select_from(
                found.outerjoin(
                    sections,
                    sa.and_(sections.c.revision_id == found.c.active_revision_id, sections.c.position < _SECTIONS),
                )
            )
            .order_by(found.c.id.desc(), sections.c.position)
        )
        names: dict[int, str] = {}
        headings: dict[int, dict[tuple[str, ...], None]] = {}
        with self._database.read() as connection:
            for document_id, name, heading in connection.execute(query):
                names[document_id] = name
                if heading:
                    headings.setdefault(document_id, {})[tuple(heading)] = None
        return [DocumentTopics(name, tuple(headings.get(each, ()))) for each, name in names.items()]
