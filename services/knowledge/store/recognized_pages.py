"""Pages read by text recognition, by revision: written, copied and deleted with it, read for display."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.core.database import WHOLE, Database
from services.knowledge.recognition.recognized import RecognizedPage, packed_words, unpacked_words
from services.knowledge.store.rights import Readable, only_readable
from services.knowledge.store.tables import documents, recognized_pages

_ID: sa.BindParameter[int] = sa.bindparam("revision", type_=WHOLE)
_COLUMNS = ("page", "confidence", "least_confidence", "words")
_COPY = recognized_pages.insert().from_select(
    ["revision_id", *_COLUMNS],
    sa.select(sa.bindparam("target", type_=WHOLE), *(recognized_pages.c[name] for name in _COLUMNS)).where(
        recognized_pages.c.revision_id == _ID
    ),
)
_DROP = recognized_pages.delete().where(recognized_pages.c.revision_id == _ID)


def insert_pages(connection: Connection, revision_id: int, pages: Sequence[RecognizedPage]) -> None:
    """Add pages to a revision."""
    if pages:
        connection.execute(
            recognized_pages.insert(),
            [
                {
                    "revision_id": revision_id,
                    "page": page.page,
                    "confidence": page.confidence,
                    "least_confidence": page.least_confidence,
                    "words": packed_words(page.words),
                }
                for page in pages
            ],
        )


def copy_pages(connection: Connection, source: int, target: int) -> None:
    """Copy the pages of one revision to another that has none."""
    connection.execute(_DROP, {"revision": target})
    connection.execute(_COPY, {"revision": source, "target": target})


def drop_pages(connection: Connection, revision_id: int) -> None:
    """Delete the pages of a revision."""
    connection.execute(_DROP, {"revision": revision_id})


class RecognizedPageStore:
    """Reads the pages of documents' active revisions. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, document_id: int, page: int, readable: Readable) -> RecognizedPage | None:
        """Return a page with its words; None: text recognition has not read it, or the document may not be read."""
        query = only_readable(
            sa.select(recognized_pages)
            .join(documents, documents.c.active_revision_id == recognized_pages.c.revision_id)
            .where(documents.c.id == document_id, recognized_pages.c.page == page),
            readable,
        )
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return RecognizedPage(row.page, row.confidence, row.least_confidence, unpacked_words(row.words))

    def pages(self, document_id: int, readable: Readable) -> list[RecognizedPage]:
        """Return all pages, without their words."""
        columns = (recognized_pages.c[name] for name in _COLUMNS if name != "words")
        query = only_readable(
            sa.select(*columns)
            .join(documents, documents.c.active_revision_id == recognized_pages.c.revision_id)
            .where(documents.c.id == document_id)
            .order_by(recognized_pages.c.page),
            readable,
        )
        with self._database.read() as connection:
            return [RecognizedPage(*row) for row in connection.execute(query)]
