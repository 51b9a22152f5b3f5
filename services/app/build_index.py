"""Builds what finds the nearest vectors: the index in this process's memory, or PostgreSQL as the settings say."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.core.database import Database
    from services.core.events import EventSink
    from services.core.settings import Settings
    from services.knowledge.embedding.serving_model import ServingModel
    from services.knowledge.store import ChunkStore
    from services.knowledge.store.dense_index import DenseIndexManager

SNAPSHOTS = "index"  # a folder in the data folder


def build_index(
    settings: Settings,
    database: Database,
    chunks: ChunkStore,
    embedder: ServingModel,
    reporter: EventSink,
    *,
    enter: Callable[[str], object],
) -> DenseIndexManager:
    """Return the index, not started; `enter` is called with what takes a while, in words.

    Raises:
        BadInputError: PostgreSQL is to search, and cannot.
    """
    folder, model = settings.data_dir / SNAPSHOTS, embedder.fingerprint
    if settings.vector_search == "database":
        from services.knowledge.vector_search.database_index import DatabaseIndexManager

        # What a start with an index in memory has left there would outlive the deletion of its chunks.
        shutil.rmtree(folder, ignore_errors=True)
        return DatabaseIndexManager(database, dimension=embedder.dimension, fingerprint=model, enter=enter)
    from services.knowledge.index import IndexManager, IndexSnapshotStore  # FAISS, 30 MB

    return IndexManager(
        chunks,
        dimension=embedder.dimension,
        fingerprint=model,
        snapshots=IndexSnapshotStore(folder, kept=settings.snapshots_kept),
        settings=settings,
        reporter=reporter,
    )
