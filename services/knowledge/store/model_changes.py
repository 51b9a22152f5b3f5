"""Which model the corpus is embedded with, and the vectors of another one beside them until it is changed to that.

A chunk's vector of a model is in `chunk_vectors` if a row of that model is there, and else in `chunks`. While a change
runs, the rows beside are those of the coming model; after the switch they are those of the serving one, and move into
`chunks` in portions. Each step is one short transaction, and the next start goes on from what the last one left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from services.core.database import Database
from services.knowledge.store.chunks import Ids, Vectors, indexed_ids
from services.knowledge.store.prepared import NOT_EMBEDDED
from services.knowledge.store.tables import chunk_vectors, chunks, documents, embedding_models, revisions

PORTION = 256  # vectors that move or go in one transaction
_SERVING, _COMING = "serving", "coming"


class ChangeState(StrEnum):
    """What is to become of the coming model."""

    OFFERED = "offered"  # nobody has decided yet
    RUNNING = "running"
    PAUSED = "paused"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class CorpusModel:
    """A model of the corpus; `model` is the setting that it was found by. The rest is known of the coming one alone."""

    fingerprint: str
    name: str
    model: str
    state: ChangeState = ChangeState.OFFERED
    person: str = ""
    error: str = ""
    hint: str = ""
    chunks_per_second: float | None = None
    model_bytes: int | None = None
    started_at: datetime | None = None
    changed_at: datetime | None = None


# Documents that a program added are for that program to embed.
_OURS = revisions.c.sha256 != ""
_ACTIVE = revisions.c.id.in_(
    sa.select(documents.c.active_revision_id).where(documents.c.active_revision_id.is_not(None))
)
_NEXT = (
    sa.select(chunks.c.id, chunks.c.text)
    .join(revisions, revisions.c.id == chunks.c.revision_id)
    .where(chunks.c.id > sa.bindparam("after"), _OURS)
    .order_by(chunks.c.id)
    .limit(sa.bindparam("most"))
)
# The addition keeps SQLite from reading the wide rows in the order of ids: a narrow index has all that is counted.
_COUNT = (
    sa.select(
        sa.func.count(),
        sa.func.coalesce(sa.func.sum(sa.case((chunks.c.id + 0 > sa.bindparam("after"), 1), else_=0)), 0),
    )
    .select_from(chunks)
    .join(revisions, revisions.c.id == chunks.c.revision_id)
    .where(_OURS)
)
_HIGHEST = sa.select(sa.func.max(chunk_vectors.c.chunk_id))
_FIRST = sa.select(chunk_vectors.c.fingerprint).order_by(chunk_vectors.c.chunk_id).limit(1)
_FIRST_IDS = sa.select(chunk_vectors.c.chunk_id).order_by(chunk_vectors.c.chunk_id).limit(PORTION)
_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
_MOVE = (
    chunks.update()
    .where(chunks.c.id.in_(_IDS))
    .values(
        vector=sa.select(chunk_vectors.c.vector)
        .where(chunk_vectors.c.chunk_id == chunks.c.id)
        .correlate(chunks)
        .scalar_subquery()
    )
)
_DROP = chunk_vectors.delete().where(chunk_vectors.c.chunk_id.in_(_IDS))
_THERE = sa.select(chunks.c.id).where(chunks.c.id.in_(_IDS))


class ModelChangeStore:
    """Reads and writes the models of the corpus, and vectors beside. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def serving(self) -> CorpusModel | None:
        """Return the model that made the vectors that answer; None before any is recorded and there are vectors.

        Data folders of versions that did not record it tell its fingerprint alone: that of most of their chunks.
        """
        with self._database.read() as connection:
            row = connection.execute(_model(_SERVING)).one_or_none()
            if row is not None:
                return _corpus_model(row)
            query = (
                sa.select(revisions.c.fingerprint)
                .where(_ACTIVE, _OURS, revisions.c.fingerprint.not_in(["", NOT_EMBEDDED]))
                .group_by(revisions.c.fingerprint)
                .order_by(sa.func.sum(revisions.c.chunks).desc())
            )
            found = connection.scalar(query.limit(1))
        return None if found is None else CorpusModel(found, found.rpartition("-")[0] or found, "")

    def coming(self) -> CorpusModel | None:
        """Return the model that the corpus is being changed to, or could be."""
        with self._database.read() as connection:
            row = connection.execute(_model(_COMING)).one_or_none()
        return None if row is None else _corpus_model(row)

    def may_be_another(self, model: str) -> bool:
        """Return whether the corpus may have another model than the one that this setting names."""
        serving = self.serving()
        return serving is not None and (serving.model != model or self.coming() is not None)

    def is_empty(self) -> bool:
        """Return whether there is no chunk of which our model makes the vector."""
        with self._database.read() as connection:
            return not connection.execute(_NEXT, {"after": 0, "most": 1}).first()

    def set_serving(self, model: CorpusModel) -> None:
        """Record the model that answers, if it is not recorded."""
        with self._database.write() as connection:
            row = connection.execute(_model(_SERVING)).one_or_none()
            if row is None or (row.fingerprint, row.model) != (model.fingerprint, model.model):
                _put(connection, _SERVING, model)

    def set_coming(self, model: CorpusModel) -> None:
        """Record the model that the corpus could be changed to, in place of another one."""
        with self._database.write() as connection:
            _put(connection, _COMING, model)

    def update_coming(self, **values: Any) -> None:
        """Change what is known of the coming model."""
        with self._database.write() as connection:
            connection.execute(
                embedding_models.update()
                .where(embedding_models.c.role == _COMING)
                .values(**values, changed_at=datetime.now(UTC))
            )

    def forget_coming(self) -> None:
        """Record that there is no other model."""
        with self._database.write() as connection:
            connection.execute(embedding_models.delete().where(embedding_models.c.role == _COMING))

    def position(self, fingerprint: str) -> int:
        """Return the id up to which every chunk has its vector of the coming model; 0: none has."""
        with self._database.read() as connection:
            return _position(connection, fingerprint)

    def progress(self, fingerprint: str) -> tuple[int, int]:
        """Return of how many chunks the vectors of a model are there, and how many chunks there are."""
        with self._database.read() as connection:
            total, left = connection.execute(_COUNT, {"after": _position(connection, fingerprint)}).one()
        return int(total) - int(left), int(total)

    def next_chunks(self, fingerprint: str, most: int) -> list[tuple[int, str]]:
        """Return (id, text) of the next chunks without a vector of the coming model, at most so many."""
        with self._database.read() as connection:
            rows = connection.execute(_NEXT, {"after": _position(connection, fingerprint), "most": most})
            return [(row.id, row.text) for row in rows]

    def sample(self, most: int) -> list[str]:
        """Return texts of chunks from all over the corpus, at most so many."""
        with self._database.read() as connection:
            total = connection.execute(_COUNT, {"after": 0}).one()[0]
            highest = connection.scalar(sa.select(sa.func.max(chunks.c.id))) or 0
            found: dict[int, str] = {}
            for after in np.linspace(0, highest, min(most, max(1, total)), endpoint=False, dtype=np.int64).tolist():
                found |= {row.id: row.text for row in connection.execute(_NEXT, {"after": after, "most": 1})}
        return list(found.values())

    def keep(self, ids: Sequence[int], vectors: Vectors, fingerprint: str, chunks_per_second: float | None) -> None:
        """Store vectors, float32 (n, d), beside those of the serving model; of chunks that are gone, none.

        Raises:
            StorageError: the disk is full; nothing of them was stored.
        """
        raw = np.ascontiguousarray(vectors, dtype="<f4")
        with self._database.write() as connection:
            there = set(connection.execute(_THERE, {"ids": list(ids)}).scalars())
            rows = [
                {"chunk_id": chunk, "fingerprint": fingerprint, "vector": raw[row].tobytes()}
                for row, chunk in enumerate(ids)
                if chunk in there
            ]
            if rows:
                connection.execute(chunk_vectors.insert(), rows)
            if chunks_per_second is not None:
                connection.execute(
                    embedding_models.update()
                    .where(embedding_models.c.role == _COMING)
                    .values(chunks_per_second=chunks_per_second)
                )

    def searchable_ids(self) -> tuple[Ids, Ids]:
        """Return (ids, groups) of what is in the index after the switch, as `ChunkStore.active_ids` does."""
        return indexed_ids(self._database, _OURS)

    def has_beside(self) -> bool:
        """Return whether there are vectors beside."""
        with self._database.read() as connection:
            return connection.scalar(_FIRST) is not None

    def tidy(self, serving: str, coming: str) -> bool:
        """Move or delete a portion of what stands beside and is not of the coming model; return whether there was any.

        What the serving model made moves into `chunks`; what a cancelled change has left is deleted.
        """
        with self._database.read() as connection:
            found = connection.scalar(_FIRST)
        if found is None or found == coming:
            return False
        with self._database.write() as connection:
            ids = list(connection.execute(_FIRST_IDS).scalars())
            if found == serving:
                connection.execute(_MOVE, {"ids": ids})
            connection.execute(_DROP, {"ids": ids})
        return True

    def adopt(self, model: CorpusModel) -> int:
        """Have the revisions answer whose vectors of `model` are all there, where the model before is gone.

        The few vectors of others are dropped. Returns the number of revisions.
        """
        missing = (
            sa.select(chunks.c.id)
            .outerjoin(
                chunk_vectors,
                sa.and_(chunk_vectors.c.chunk_id == chunks.c.id, chunk_vectors.c.fingerprint == model.fingerprint),
            )
            .where(chunks.c.revision_id == revisions.c.id, chunk_vectors.c.chunk_id.is_(None))
            .correlate(revisions)
        )
        others = sa.select(chunks.c.id).join(revisions, revisions.c.id == chunks.c.revision_id)
        with self._database.write() as connection:
            adopted = 0
            if connection.scalar(_FIRST) == model.fingerprint:
                adopted = connection.execute(
                    revisions.update()
                    .where(_ACTIVE, _OURS, revisions.c.chunks > 0, ~sa.exists(missing))
                    .values(fingerprint=model.fingerprint)
                ).rowcount
                connection.execute(
                    chunk_vectors.delete().where(
                        chunk_vectors.c.chunk_id.in_(others.where(revisions.c.fingerprint != model.fingerprint))
                    )
                )
            connection.execute(embedding_models.delete().where(embedding_models.c.role == _COMING))
            _put(connection, _SERVING, model)
        return adopted


def switch(connection: Connection, model: CorpusModel) -> None:
    """Have the vectors of the coming model answer, as part of a transaction; all of them must be there.

    Raises:
        ValueError: a chunk has none; nothing was changed.
    """
    after = _position(connection, model.fingerprint)
    if connection.execute(_NEXT, {"after": after, "most": 1}).first() is not None:
        raise ValueError("a chunk has no vector of the coming model")
    connection.execute(revisions.update().where(_ACTIVE, _OURS).values(fingerprint=model.fingerprint))
    connection.execute(embedding_models.delete().where(embedding_models.c.role == _COMING))
    _put(connection, _SERVING, model)


def _position(connection: Connection, fingerprint: str) -> int:
    return int(connection.scalar(_HIGHEST) or 0) if connection.scalar(_FIRST) == fingerprint else 0


def _model(role: str) -> sa.Select[Any]:
    return sa.select(embedding_models).where(embedding_models.c.role == role)


def _put(connection: Connection, role: str, model: CorpusModel) -> None:
    connection.execute(embedding_models.delete().where(embedding_models.c.role == role))
    values: dict[str, Any] = {"fingerprint": model.fingerprint, "name": model.name, "model": model.model}
    if role == _COMING:
        names = ("state", "person", "error", "hint", "chunks_per_second", "model_bytes", "started_at")
        values |= {name: getattr(model, name) for name in names}
    connection.execute(embedding_models.insert().values(role=role, **values, changed_at=datetime.now(UTC)))


def _corpus_model(row: Row[Any]) -> CorpusModel:
    return CorpusModel(
        row.fingerprint,
        row.name,
        row.model,
        ChangeState(row.state or ChangeState.OFFERED),
        row.person,
        row.error,
        row.hint,
        row.chunks_per_second,
        row.model_bytes,
        row.started_at,
        row.changed_at,
    )
