"""Builds what handles documents: embedding model, index, parsers, ingestion, library, retriever.

The modules are heavy (torch, FAISS) and are imported when they are built.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.core.events import EventKind, EventSink
from services.core.i18n import _
from services.core.memory_report import Owner
from services.memory.process import rss_bytes

if TYPE_CHECKING:
    from services.core.admission import Admission
    from services.core.cache import Caches
    from services.core.database import Database
    from services.core.preferences import Preferences
    from services.core.settings import Settings
    from services.knowledge.document_import import DocumentImporter
    from services.knowledge.embedding import Embedder
    from services.knowledge.index import IndexManager
    from services.knowledge.ingestion import Ingestion
    from services.knowledge.library import Library
    from services.knowledge.original_check import OriginalCheck
    from services.knowledge.parsing.pool import ParserPool
    from services.knowledge.retrieval import Retriever
    from services.memory.monitor import MemoryMonitor
    from services.memory.objects.names import OwnerRules

IDLE_CHECK_SECONDS = 30.0  # idle times are minutes
TERMS_SECONDS = 10.0  # of a start that may be spent on terms; about 10,000 chunks


@dataclass(frozen=True, slots=True)
class LoadedEmbedder:
    """An embedding model, the seconds that loading it took, and the RSS before that in bytes."""

    embedder: Embedder
    seconds: float
    rss_before: int


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is built over the embedding model."""

    index: IndexManager
    parser: ParserPool
    ingestion: Ingestion
    library: Library
    importer: DocumentImporter
    retriever: Retriever
    originals: OriginalCheck


def load_embedder(settings: Settings, closing: ExitStack) -> LoadedEmbedder:
    """Load the embedding model.

    Raises:
        MillpondError: it cannot be had.
    """
    from services.knowledge.embedding import Embedder

    began, rss_before = time.monotonic(), rss_bytes()
    embedder = Embedder.load(settings)
    closing.callback(embedder.close)
    return LoadedEmbedder(embedder, time.monotonic() - began, rss_before)


def register_owners(rules: OwnerRules) -> None:
    """Register who owns what the modules built here hold."""
    from services.knowledge import embedding, index

    rules.register(index, Owner.INDEX)
    rules.register(embedding, Owner.MODELS)
    rules.register_library("faiss", Owner.INDEX)
    for library in ("onnxruntime", "sentence_transformers", "transformers", "tokenizers", "marisa_trie", "torch"):
        rules.register_library(library, Owner.MODELS)


def register_embedder(loaded: LoadedEmbedder, settings: Settings, memory: MemoryMonitor, reporter: EventSink) -> None:
    """Report the model that was loaded, and have it unloaded when nobody uses it for a while."""
    embedder, idle = loaded.embedder, settings.embedding_idle_minutes
    memory.add_task(lambda: embedder.release_idle(idle), IDLE_CHECK_SECONDS)
    report = embedder.memory_report()
    reporter.event(
        EventKind.MODEL,
        _("embedding model loaded: {name}").format(name=report.detail),
        seconds=loaded.seconds,
        bytes=report.bytes,
        rss_before=loaded.rss_before,
    )


def update_terms(database: Database, enter: Callable[[str], None], closing: ExitStack) -> None:
    """Make stored terms anew where another version made them: at first here, what takes long in the background.

    `enter` is called with the stage, in words.
    """
    from services.knowledge.store.term_version import TermRebuild

    rebuild = TermRebuild(database)
    if not rebuild.needed():
        return
    enter(_("bringing the words of the documents up to date"))
    if rebuild.run(TERMS_SECONDS):
        return
    stopping = threading.Event()
    thread = threading.Thread(target=rebuild.run, args=(math.inf, stopping.is_set), name="terms-update")
    closing.callback(thread.join)
    closing.callback(stopping.set)
    thread.start()


def build_knowledge(  # noqa: PLR0917 - the composition root calls it, nobody else
    settings: Settings,
    database: Database,
    preferences: Preferences,
    embedder: Embedder,
    caches: Caches,
    reporter: EventSink,
    admission: Admission,
    closing: ExitStack,
) -> Knowledge:
    """Return index, parsers, ingestion (not started), library and retriever; the index is read from disk."""
    from services.knowledge.document_import import DocumentImporter
    from services.knowledge.file_store import FileStore
    from services.knowledge.index import IndexManager, IndexSnapshotStore
    from services.knowledge.ingestion import Ingestion
    from services.knowledge.library import Library
    from services.knowledge.original_check import OriginalCheck
    from services.knowledge.parsing.pool import ParserPool
    from services.knowledge.retrieval import Retriever
    from services.knowledge.retrieval.encoder_cache import CachedEncoder
    from services.knowledge.store import ChunkStore

    chunks = ChunkStore(database)
    index = IndexManager(
        chunks,
        dimension=embedder.dimension,
        fingerprint=embedder.fingerprint,
        snapshots=IndexSnapshotStore(settings.data_dir / "index", kept=settings.snapshots_kept),
        settings=settings,
        reporter=reporter,
    )
    index.start()
    closing.callback(index.close)
    files = FileStore(settings.data_dir / "files", settings)
    parser = ParserPool(settings, embedder.tokenizer_file, embedder.max_tokens)
    closing.callback(parser.close)
    ingestion = Ingestion(database, files, parser, embedder, index, settings, reporter=reporter, admission=admission)
    library = Library(database, files, parser, ingestion, preferences, settings, reporter=reporter, admission=admission)
    retriever = Retriever(
        database,
        chunks,
        CachedEncoder(embedder, caches.embeddings),
        index,
        library.retrieval_settings,
        question_characters=settings.question_characters,
        reporter=reporter,
    )
    importer = DocumentImporter(database, ingestion, embedder, settings, reporter=reporter, admission=admission)
    return Knowledge(index, parser, ingestion, library, importer, retriever, OriginalCheck(database, files))
