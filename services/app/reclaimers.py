"""What each part can give back, registered for people and the memory budget alike."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from services.core.cache import ByteCache, Caches
from services.core.i18n import _, plural
from services.core.memory_report import Owner
from services.memory.ledger.foreign import cuda_in_use
from services.memory.process import trim_heap
from services.memory.reclaimers import Reclaimer, Reclaimers

if TYPE_CHECKING:
    from services.chat.conversations import Conversations
    from services.chat.models import ChatModels
    from services.core.database import Database
    from services.knowledge.embedding.embedder_protocol import EmbeddingModel
    from services.knowledge.retrieval import Retriever
    from services.memory.ledger.ledger import LedgerBuilder

IDLE_SECONDS = 300.0  # a conversation that nobody has used for so long is idle


def register_reclaimers(
    reclaimers: Reclaimers,
    *,
    ledger: LedgerBuilder,
    conversations: Conversations,
    retriever: Retriever,
    caches: Caches,
    models: ChatModels,
    embedder: EmbeddingModel,
    database: Database,
) -> None:
    """Register what the services can give back; the shell adds what the user interface keeps."""
    for reclaimer in (
        _heap(ledger),
        _cuda(),
        _conversations(conversations),
        _search_caches(retriever),
        *_byte_caches(caches),
        _chat_model(models),
        _embedding_model(embedder),
        _database(database),
    ):
        reclaimers.add(reclaimer)


def _heap(ledger: LedgerBuilder) -> Reclaimer:
    def estimate() -> int | None:
        """Return what the last ledger found free in the C library's heap: at most half a minute old."""
        last = ledger.last
        return last.owners.get(Owner.NATIVE_FREE, 0) if last else None

    def release() -> str:
        trim_heap()
        return _("free pages were given back to the system")

    return Reclaimer(
        "heap",
        _("Free pages of the allocator"),
        _("Nothing is lost. What is needed again is asked of the system again, which takes microseconds a page."),
        estimate,
        release,
    )


def _cuda() -> Reclaimer:
    def release() -> str:
        _torch().cuda.empty_cache()
        return _("the GPU's unused blocks were given back to the driver")

    return Reclaimer(
        "cuda",
        _("Unused blocks of GPU memory"),
        _("The next computations on the GPU wait a little, until the blocks are there again."),
        lambda: sum(
            _torch().cuda.memory_reserved(device) - _torch().cuda.memory_allocated(device)
            for device in range(_torch().cuda.device_count())
        ),
        release,
        cuda_in_use,
    )


def _torch() -> Any:
    """Return torch as another module has imported it: importing it for this would cost more than it frees."""
    return sys.modules["torch"]


def _chat_model(models: ChatModels) -> Reclaimer:
    def estimate() -> int:
        """Return what it allocated and what of its file was read; 0 while an answer uses it."""
        report = models.local.memory_report()
        return report.bytes if report is not None and not models.local.busy else 0

    def release() -> str:
        if models.local.unload():
            return _("the local chat model was unloaded")
        if models.local.memory_report() is not None:
            return _("an answer uses the local chat model; it was spared")
        return _("no local chat model is loaded")

    return Reclaimer(
        "chat_model",
        _("Local chat model"),
        _("The next question waits until it is loaded again, a second or more."),
        estimate,
        release,
    )


def _embedding_model(embedder: EmbeddingModel) -> Reclaimer:
    def release() -> str:
        if embedder.release():
            return _("the weights of the embedding model were released")
        return _("the embedding model is in use, or was released already")

    return Reclaimer(
        "embedding_model",
        _("Embedding model"),
        _("The next search or document waits about half a second until its weights are read again."),
        lambda: embedder.memory_report().bytes,
        release,
    )


def _conversations(conversations: Conversations) -> Reclaimer:
    def release() -> str:
        count, _size = conversations.release_idle(IDLE_SECONDS)
        return plural("{count} idle conversation released", "{count} idle conversations released", count)

    return Reclaimer(
        "windows",
        _("Idle conversations"),
        _("Nothing is lost: their last turns are read from disk with the next question."),
        lambda: conversations.idle(IDLE_SECONDS)[1],
        release,
    )


def _search_caches(retriever: Retriever) -> Reclaimer:
    def release() -> str:
        retriever.clear_caches()
        return _("frequencies of words and scripts of letters are forgotten")

    return Reclaimer(
        "search_caches",
        _("Search caches"),
        _("The next searches count frequent words anew: some milliseconds each."),
        lambda: retriever.memory_report().bytes,
        release,
    )


def _byte_caches(caches: Caches) -> list[Reclaimer]:
    costs = (
        (caches.embeddings, _("The next questions are embedded anew: some milliseconds each.")),
        (caches.answers, _("Questions that were answered before are answered anew.")),
        (caches.searches, _("Searches that were made before are made anew.")),
    )

    def reclaimer(cache: ByteCache, cost: str) -> Reclaimer:
        def release() -> str:
            entries = cache.stats().entries
            cache.clear()
            return plural("{count} entry released", "{count} entries released", entries)

        return Reclaimer(cache.name, cache.label, cost, lambda: cache.stats().bytes, release, lambda: cache.enabled)

    return [reclaimer(cache, cost) for cache, cost in costs]


def _database(database: Database) -> Reclaimer:
    def release() -> str:
        count = database.shrink()
        return plural("{count} connection gave back its pages", "{count} connections gave back their pages", count)

    return Reclaimer(
        "database",
        _("Cached pages of the database"),
        _("The next queries read pages from the file again."),
        lambda: None,  # SQLite reports what it has in all, not how much of it is cache
        release,
    )
