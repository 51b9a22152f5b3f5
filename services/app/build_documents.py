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
from typing import TYPE_CHECKING, Any

import structlog

from services.core.errors import MillpondError
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
    from services.knowledge.embedding.serving_model import ServingModel
    from services.knowledge.ingestion import Ingestion
    from services.knowledge.library import Library
    from services.knowledge.model_change import ModelChange
    from services.knowledge.model_change.model_choice import ModelChoice
    from services.knowledge.original_check import OriginalCheck
    from services.knowledge.parsing.pool import ParserPool
    from services.knowledge.retrieval import Retriever
    from services.knowledge.store.dense_index import DenseIndexManager
    from services.memory.monitor import MemoryMonitor
    from services.memory.objects.names import OwnerRules
    from services.nodes.pond_nodes import Nodes

log = structlog.get_logger(__name__)

IDLE_CHECK_SECONDS = 30.0  # idle times are minutes
TERMS_SECONDS = 10.0  # of a start that may be spent on terms; about 10,000 chunks


@dataclass(frozen=True, slots=True)
class LoadedEmbedder:
    """An embedding model, the seconds that loading it took, and the RSS before that in bytes."""

    embedder: ServingModel
    seconds: float
    rss_before: int


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is built over the embedding model."""

    index: DenseIndexManager
    parser: ParserPool
    ingestion: Ingestion
    library: Library
    importer: DocumentImporter
    retriever: Retriever
    originals: OriginalCheck
    model_change: ModelChange


def load_embedder(settings: Settings, closing: ExitStack) -> LoadedEmbedder:
    """Load the embedding model.

    Raises:
        MillpondError: it cannot be had.
    """
    from services.knowledge.embedding import Embedder
    from services.knowledge.embedding.serving_model import ServingModel

    began, rss_before = time.monotonic(), rss_bytes()
    embedder = ServingModel(Embedder.load(settings))
    closing.callback(embedder.close)
    return LoadedEmbedder(embedder, time.monotonic() - began, rss_before)


def load_serving(
    settings: Settings,
    database: Database,
    prepared: LoadedEmbedder | None,
    closing: ExitStack,
    agree: Callable[[str], object] = lambda _fingerprint: None,
) -> tuple[LoadedEmbedder, ModelChoice]:
    """Load the model that made the vectors of the corpus, be it the configured one or not, and record what serves.

    `prepared` is the configured one, where it was loaded ahead. `agree` raises where another node has another one: what
    serves is not recorded then.

    Raises:
        MillpondError: it cannot be had.
    """
    from services.knowledge.embedding import Embedder
    from services.knowledge.model_change.model_choice import choose_model, record_choice
    from services.knowledge.store.model_changes import CorpusModel, ModelChangeStore

    store, loaded = ModelChangeStore(database), prepared
    if loaded is None and not store.may_be_another(settings.embedding_model):
        loaded = load_embedder(settings, closing)
    choice = choose_model(settings, store, loaded.embedder.files if loaded is not None else None)
    if choice.coming is not None:
        try:
            if loaded is None:
                loaded = load_embedder(choice.settings, closing)
            else:
                loaded.embedder.replace(Embedder.load(choice.settings)).discard()
        except MillpondError as error:
            log.warning("the corpus's embedding model cannot be loaded", reason=str(error))
            choice = choice.without_corpus_model(settings)
    if loaded is None:
        loaded = load_embedder(settings, closing)
    embedder = loaded.embedder
    agree(embedder.fingerprint)
    serving = CorpusModel(embedder.fingerprint, embedder.files.name, choice.settings.embedding_model)
    record_choice(choice, store, serving, settings)
    return loaded, choice


def register_owners(rules: OwnerRules, settings: Settings) -> None:
    """Register who owns what the modules built here hold."""
    from services.knowledge import embedding

    if settings.vector_search == "database":
        from services.knowledge import vector_search

        rules.register(vector_search, Owner.INDEX)
    else:
        from services.knowledge import index

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
    embedder: ServingModel,
    choice: ModelChoice,
    caches: Caches,
    reporter: EventSink,
    admission: Admission,
    closing: ExitStack,
    nodes: Nodes | None = None,
    enter: Callable[[str], object] = lambda _stage: None,
) -> Knowledge:
    """Return index, parsers, ingestion (not started), library and retriever; `enter` gets what takes a while."""
    from services.app.build_index import build_index
    from services.app.build_nodes import claims_of, nodes_beside
    from services.knowledge.document_import import DocumentImporter
    from services.knowledge.embedding import Embedder
    from services.knowledge.files.open_store import open_file_store
    from services.knowledge.ingestion import Ingestion
    from services.knowledge.library import Library
    from services.knowledge.model_change import ModelChange
    from services.knowledge.original_check import OriginalCheck
    from services.knowledge.parsing.pool import ParserPool
    from services.knowledge.retrieval import Retriever
    from services.knowledge.retrieval.encoder_cache import PinnableEncoder
    from services.knowledge.store import ChunkStore

    chunks = ChunkStore(database)
    index = build_index(settings, database, chunks, embedder, reporter, enter=enter)
    index.start()
    closing.callback(index.close)
    files = open_file_store(settings)
    closing.callback(files.close)
    parser = ParserPool(settings, embedder.tokenizer_file, embedder.max_tokens, admission=admission)
    closing.callback(parser.close)
    claims = claims_of(nodes)
    reports: dict[str, Any] = {"reporter": reporter, "admission": admission}
    ingestion = Ingestion(database, files, parser, embedder, index, settings, claims=claims, **reports)
    library = Library(database, files, parser, ingestion, preferences, settings, claims=claims, **reports)
    encoder = PinnableEncoder(embedder, caches.embeddings)
    retriever = Retriever(
        database,
        chunks,
        encoder,
        index,
        library.retrieval_settings,
        question_characters=settings.question_characters,
        reporter=reporter,
        pin=encoder.pinned,
    )
    importer = DocumentImporter(database, ingestion, embedder, settings, reporter=reporter, admission=admission)
    model_change = ModelChange(
        database,
        files,
        embedder,
        index,
        ingestion,
        parser,
        choice,
        lambda: Embedder.load(settings),
        claims=claims,
        nodes=nodes_beside(nodes),
        **reports,
    )
    originals = OriginalCheck(database, files)
    return Knowledge(index, parser, ingestion, library, importer, retriever, originals, model_change)
