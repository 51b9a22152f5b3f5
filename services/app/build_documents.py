"""Builds the knowledge room: embedding model, index, ingestion, library, retriever.

Models that nobody asked for a while are unloaded.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from services.core.events import EventKind
from services.core.i18n import _
from services.memory.process import rss_bytes

if TYPE_CHECKING:
    from services.app.container import Runtime

LOOK_SECONDS = 30.0  # idle times are minutes


def load_embedder(runtime: Runtime, closing: ExitStack) -> None:
    """Give `runtime` its embedding model: the one that was prepared, else a new one."""
    from services.knowledge.embedding import Embedder

    began, before = time.monotonic(), rss_bytes()
    if runtime.prepared is not None:
        (runtime.embedder, seconds, before), runtime.prepared = runtime.prepared, None
    else:
        runtime.embedder = Embedder.load(runtime.settings)
        closing.callback(runtime.embedder.close)
        seconds = time.monotonic() - began
    idle = runtime.settings.embedding_idle_minutes
    unload_when_idle(runtime, lambda: runtime.embedder.release_idle(idle))
    held = runtime.embedder.memory_report()
    runtime.reporter.event(
        EventKind.MODEL,
        _("embedding model loaded: {name}").format(name=held.detail),
        seconds=seconds,
        bytes=held.bytes,
        rss_before=before,
    )


def load_knowledge(runtime: Runtime, closing: ExitStack) -> None:
    """Give `runtime` its index, parsers, ingestion, library and retriever; the index is read from disk."""
    from services.knowledge.file_store import FileStore
    from services.knowledge.index import IndexManager, IndexSnapshotStore
    from services.knowledge.ingestion import Ingestion
    from services.knowledge.library import Library
    from services.knowledge.parsing import ParserPool
    from services.knowledge.retrieval import Retriever
    from services.knowledge.retrieval.encoder_cache import CachedEncoder
    from services.knowledge.store import ChunkStore

    settings, database = runtime.settings, runtime.database
    chunks = ChunkStore(database)
    runtime.keeper = IndexManager(
        chunks,
        dimension=runtime.embedder.dimension,
        fingerprint=runtime.embedder.fingerprint,
        snapshots=IndexSnapshotStore(settings.data_dir / "index", kept=settings.snapshots_kept),
        settings=settings,
        reporter=runtime.reporter,
    )
    runtime.keeper.start()
    closing.callback(runtime.keeper.close)
    files = FileStore(settings.data_dir / "files", settings)
    runtime.parser = ParserPool(settings, runtime.embedder.tokenizer_file, runtime.embedder.max_tokens)
    closing.callback(runtime.parser.close)
    runtime.ingestion = Ingestion(
        database,
        files,
        runtime.parser,
        runtime.embedder,
        runtime.keeper,
        settings,
        reporter=runtime.reporter,
        admission=runtime.admission,
    )
    runtime.library = Library(
        database,
        files,
        runtime.parser,
        runtime.ingestion,
        runtime.keeper,
        runtime.preferences,
        settings,
        reporter=runtime.reporter,
        admission=runtime.admission,
    )
    runtime.retriever = Retriever(
        database,
        chunks,
        CachedEncoder(runtime.embedder, runtime.caches.embeddings),
        runtime.keeper,
        runtime.library.retrieval_settings,
        question_characters=settings.question_characters,
        reporter=runtime.reporter,
    )


def unload_when_idle(runtime: Runtime, unload: Callable[[], object]) -> None:
    """Have `unload` called again and again; it does nothing while its model is in use, or was lately."""
    runtime.memory.add_work(unload, LOOK_SECONDS)
