"""Documents with made-up vectors, unit vectors around centres, and what an exact comparison finds among them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.core.database import Database
from services.knowledge.store.chunks import Ids, Vectors
from services.knowledge.store.revisions import Switch, activate, insert_chunks
from services.knowledge.store.tables import collections, documents, revisions
from services.knowledge.types import ChunkDraft

DIMENSION = 32
MODEL = "made up-32"


@dataclass
class Changed:
    """What a transaction changes, as a unit of work has it."""

    switches: Sequence[Switch] = ()
    regroupings: Sequence[object] = ()
    removed: Sequence[Ids] = ()
    hidden: Sequence[Ids] = ()
    removes: bool = False


def clustered(count: int, dimension: int = DIMENSION, seed: int = 3) -> Vectors:
    """Return unit vectors around a centre for each fifty of them, float32 (count, dimension)."""
    chance = np.random.default_rng(seed)
    centres = chance.standard_normal((max(2, count // 50), dimension)).astype(np.float32)
    noise = chance.standard_normal((count, dimension)).astype(np.float32)
    vectors = centres[chance.integers(0, len(centres), count)] + 0.5 * noise
    made: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return made


def add_collections(database: Database, *names: str) -> list[int]:
    with database.write() as connection:
        return [
            int(connection.execute(collections.insert().values(name=name).returning(collections.c.id)).scalar_one())
            for name in names
        ]


def add_document(
    connection: Connection, vectors: Vectors, collection: int, *, model: str = MODEL, active: bool = True
) -> Switch:
    """Write a document of one chunk for each vector; return what its activation changes."""
    now = datetime.now(UTC)
    number = connection.scalar(sa.select(sa.func.count()).select_from(revisions))
    document = connection.execute(
        documents.insert()
        .values(collection_id=collection, name=f"document {number}", enabled=True, created_at=now, updated_at=now)
        .returning(documents.c.id)
    ).scalar_one()
    revision = connection.execute(
        revisions.insert()
        .values(
            document_id=document,
            version=1,
            sha256=str(number),
            size_bytes=0,
            stored="",
            chunk_tokens=200,
            overlap=0,
            created_at=now,
        )
        .returning(revisions.c.id)
    ).scalar_one()
    drafts = [ChunkDraft(text=f"chunk {number}", tokens=1, terms=f"chunk {number}") for number in range(len(vectors))]
    ids = insert_chunks(connection, revision, drafts, vectors)
    if not active:
        return Switch(document, ids, np.empty(0, np.int64), -1, [])
    return activate(connection, revision, fingerprint=model)


def nearest(query: Vectors, vectors: dict[int, Vectors], k: int, among: Collection[int]) -> list[int]:
    """Return the ids of the k nearest by float32, best first."""
    ids = sorted(among)
    scores = np.stack([vectors[each] for each in ids]) @ query
    return [ids[place] for place in np.argsort(-scores, kind="stable")[:k]]
