"""A store with documents in it, embedded and indexed, without parsing and queues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.core.database import Database
from services.knowledge.index import VectorIndex
from services.knowledge.retrieval import Retriever
from services.knowledge.store.chunks import ChunkStore
from services.knowledge.store.deletions import delete
from services.knowledge.store.lexical_index import lexical_index
from services.knowledge.store.revisions import activate, insert_chunks
from services.knowledge.store.tables import collections, documents, revisions
from services.knowledge.text.chunks import lexical_terms
from services.knowledge.types import ChunkDraft
from tests.databases import database_url


class ManualIndexManager:
    """An index that is filled by hand."""

    ready = True

    def __init__(self, dimension: int) -> None:
        self.index = VectorIndex(dimension)


class IndexedStore:
    """Each text becomes a chunk; `add` puts the chunks of one document where searches find them."""

    def __init__(self, folder: Path, embedder: Any) -> None:
        self.database = Database(database_url(folder))
        self.database.create_tables()
        self.chunks = ChunkStore(self.database)
        self.embedder = embedder
        self.index_manager = ManualIndexManager(embedder.dimension)
        self.retriever = Retriever(self.database, self.chunks, embedder, self.index_manager)
        with self.database.write() as connection:
            for number in (1, 2):
                connection.execute(collections.insert().values(id=number, name=f"collection {number}"))

    def add(self, name: str, texts: Sequence[str], collection: int = 1) -> list[int]:
        """Store a document; return the ids of its chunks."""
        now = datetime.now(UTC)
        vectors = self.embedder.embed_chunks(texts)
        drafts = [ChunkDraft(text=text, tokens=1, terms=lexical_terms(text, (), "")) for text in texts]
        with self.database.write() as connection:
            document = connection.execute(
                documents.insert().values(
                    collection_id=collection, name=name, enabled=True, created_at=now, updated_at=now
                )
            ).inserted_primary_key[0]
            revision = connection.execute(
                revisions.insert().values(
                    document_id=document,
                    version=1,
                    sha256=name,
                    size_bytes=0,
                    stored="",
                    chunk_tokens=200,
                    overlap=0,
                    created_at=now,
                )
            ).inserted_primary_key[0]
            insert_chunks(connection, revision, drafts, vectors)
            switch = activate(connection, revision, fingerprint=self.embedder.fingerprint)
        self.index_manager.index.add(switch.added, vectors, switch.group)
        return [int(chunk) for chunk in switch.added]

    def add_all(self, texts: Mapping[str, str]) -> dict[str, int]:
        """Store documents of one chunk each; return the chunk's id by name."""
        return {name: self.add(name, [text])[0] for name, text in texts.items()}

    def set_enabled(self, name: str, enabled: bool) -> None:
        """Switch a document in the database alone, as if the index had not heard of it yet."""
        with self.database.write() as connection:
            connection.execute(documents.update().where(documents.c.name == name).values(enabled=enabled))

    def delete(self, name: str) -> None:
        """Delete a document from the database alone."""
        with self.database.write() as connection:
            found = connection.scalar(sa.select(documents.c.id).where(documents.c.name == name))
            delete(connection, found)

    def count(self) -> int:
        with self.database.read() as connection:
            return int(connection.scalar(sa.select(sa.func.count()).select_from(documents)) or 0)

    def close(self) -> None:
        self.database.close()


def check_terms(connection: Connection) -> None:
    """Assert that the lexical index has exactly the terms of the chunks it was made from."""
    if connection.dialect.name == "sqlite":
        connection.execute(sa.text("INSERT INTO chunk_terms(chunk_terms, rank) VALUES('integrity-check', 1)"))
        return
    indexed = "FROM chunk_terms LEFT JOIN chunks ON id = chunk_id"
    words = "string_to_array(chunks.terms, ' ')"
    differing = f"SELECT chunk_id {indexed} WHERE (array_to_tsvector({words}) = chunk_terms.terms) IS NOT TRUE"
    assert connection.execute(sa.text(differing)).all() == []
    counted = "SELECT word, ndoc FROM ts_stat('SELECT terms FROM chunk_terms')"
    kept = "SELECT term, doc FROM chunk_vocabulary"
    assert set(connection.execute(sa.text(counted))) == set(connection.execute(sa.text(kept)))
    sizes = f"SELECT count(*), coalesce(sum(cardinality({words})), 0) {indexed}"
    assert connection.execute(sa.text(sizes)).one() == lexical_index(connection).totals(connection)
