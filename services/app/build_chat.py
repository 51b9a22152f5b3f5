"""Builds the chat room: conversations, chat models, answering.

The retriever, as chat knows it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING

from services.app.build_documents import unload_when_idle
from services.chat.types import Passages
from services.knowledge.types import Quote, SearchResult
from services.memory.process import rss_bytes

if TYPE_CHECKING:
    from services.app.container import Runtime
    from services.knowledge.retrieval import Retriever


def open_chat(runtime: Runtime, closing: ExitStack) -> None:
    """Give `runtime` its conversations, chat models and answering."""
    from services.chat.answer_cache import AnswerCache
    from services.chat.answer_service import AnswerService
    from services.chat.conversations import Conversations
    from services.chat.models import ChatModels

    settings = runtime.settings
    runtime.conversations = Conversations(runtime.database, settings, reporter=runtime.reporter)
    runtime.models = ChatModels(
        runtime.preferences, settings, reporter=runtime.reporter, admission=runtime.admission, now=runtime.clock.time
    )
    unload_when_idle(runtime, runtime.models.local.unload_idle)
    closing.callback(runtime.models.close)
    knowledge = PassagesForChat(runtime.retriever)
    runtime.answering = AnswerService(
        runtime.conversations,
        runtime.models,
        knowledge,
        settings,
        rss=rss_bytes,
        reporter=runtime.reporter,
        admission=runtime.admission,
        scopes=runtime.scopes,
        cache=AnswerCache(runtime.caches.answers, lambda: library_stamp(runtime), runtime.models.choice),
    )
    closing.callback(runtime.answering.close)


def library_stamp(runtime: Runtime) -> str | None:
    """Return what stands for everything that retrieval depends on, None while that changes."""
    version = runtime.ingestion.writer.version.current() if runtime.keeper.ready else None
    if version is None:
        return None
    settings = asdict(runtime.library.retrieval_settings())
    return json.dumps([version, settings, runtime.embedder.fingerprint, runtime.settings.language], sort_keys=True)


class PassagesForChat:
    """Implements `services.chat.types.KnowledgeSource` with the retriever."""

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever

    def passages(self, question: str, collection_ids: Sequence[int]) -> SearchResult:
        return self._retriever.search(question, collection_ids=collection_ids)

    def quotes(self, question: str, passages: Passages, limit: int) -> Sequence[Quote]:
        if not isinstance(passages, SearchResult):
            raise TypeError("quotes are taken from what `passages` returned")
        return self._retriever.quotes(question, passages, limit)
