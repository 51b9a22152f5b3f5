"""Builds the chat room: conversations, chat models, answering."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from services.memory.process import rss_bytes
from services.wiring.idle import unload_when_idle
from services.wiring.passages import PassagesForChat, library_stamp

if TYPE_CHECKING:
    from services.runtime import Runtime


def open_chat(runtime: Runtime, closing: ExitStack) -> None:
    """Give `runtime` its conversations, chat models and answering."""
    from services.chat.answering import Answering
    from services.chat.conversations import Conversations
    from services.chat.models import ChatModels
    from services.chat.remembering import AnswerCache

    settings = runtime.settings
    runtime.conversations = Conversations(runtime.database, settings, reporter=runtime.reporter)
    runtime.models = ChatModels(
        runtime.preferences, settings, reporter=runtime.reporter, admission=runtime.admission, now=runtime.clock.time
    )
    unload_when_idle(runtime, runtime.models.local.unload_idle)
    closing.callback(runtime.models.close)
    knowledge = PassagesForChat(runtime.retriever)
    runtime.answering = Answering(
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
