"""Builds what handles chat: conversations, chat models, answers; and the retriever as chat knows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.app.build_secrets import remove_plain_keys
from services.chat.types import Passages
from services.core.claims import ALONE
from services.core.memory_report import Owner
from services.knowledge.types import Quotes, SearchResult
from services.memory.process import rss_bytes

if TYPE_CHECKING:
    from services.chat.answer_service import AnswerService
    from services.chat.conversations import Conversations
    from services.chat.models import ChatModels
    from services.core.actor import Actor
    from services.core.admission import Admission
    from services.core.cache import Caches
    from services.core.claims import Claims
    from services.core.database import Database
    from services.core.events import EventSink
    from services.core.preferences import Preferences
    from services.core.requests.registry import RequestRegistry
    from services.core.secret_store import SecretStore
    from services.core.settings import Settings
    from services.knowledge.retrieval import Retriever
    from services.knowledge.retrieval.quoter import Quoter
    from services.memory.clock import Clock
    from services.memory.monitor import MemoryMonitor
    from services.memory.objects.names import OwnerRules

IDLE_CHECK_SECONDS = 30.0  # idle times are minutes


@dataclass(frozen=True, slots=True)
class Chat:
    """What is built for chat."""

    conversations: Conversations
    models: ChatModels
    answers: AnswerService


def build_chat(  # noqa: PLR0917 - the composition root calls it, nobody else
    settings: Settings,
    database: Database,
    preferences: Preferences,
    secrets: SecretStore,
    clock: Clock,
    retriever: Retriever,
    requests: RequestRegistry,
    caches: Caches,
    memory: MemoryMonitor,
    reporter: EventSink,
    admission: Admission,
    library_stamp: Callable[[], str | None],
    count_tokens: Callable[[str], int],
    closing: ExitStack,
    claims: Claims,
) -> Chat:
    """Return conversations, chat models and answers.

    `library_stamp` stands for the documents and settings that cached answers depend on, see
    `services.app.cached_search`. `count_tokens` counts the tokens of answers that no model writes.
    """
    from services.chat.answer_cache import AnswerCache
    from services.chat.answer_service import AnswerService
    from services.chat.conversations import Conversations
    from services.chat.interruption_store import mark_all_interrupted
    from services.chat.models import ChatModels
    from services.knowledge.retrieval.quoter import Quoter
    from services.knowledge.store.chunks import ContentStore

    if claims is ALONE:  # of a node the others mark them, or itself when it joins
        mark_all_interrupted(database)
    conversations = Conversations(database, settings, reporter=reporter)
    models = ChatModels(preferences, settings, secrets=secrets, reporter=reporter, admission=admission, now=clock.time)
    models.encrypt_plain_key()
    remove_plain_keys(database)
    memory.add_task(models.local.unload_idle, IDLE_CHECK_SECONDS)
    closing.callback(models.close)
    answers = AnswerService(
        conversations,
        models,
        PassagesForChat(Quoter(retriever, ContentStore(database))),
        settings,
        rss=rss_bytes,
        reporter=reporter,
        admission=admission,
        requests=requests,
        cache=AnswerCache(caches.answers, library_stamp, models.choice),
        count_tokens=count_tokens,
        claims=claims,
    )
    closing.callback(answers.close)
    return Chat(conversations, models, answers)


def register_owners(rules: OwnerRules) -> None:
    """Register who owns what the modules built here hold."""
    from services import chat
    from services.chat import models

    rules.register(chat, Owner.CONVERSATIONS)
    rules.register(models, Owner.MODELS)
    rules.register_library("xllamacpp", Owner.MODELS)


class PassagesForChat:
    """Implements `services.chat.types.KnowledgeSource` with the retriever and what quotes from its hits."""

    def __init__(self, quoter: Quoter) -> None:
        self._quoter = quoter

    def passages(self, actor: Actor, question: str, collection_ids: Sequence[int]) -> SearchResult:
        return self._quoter.search(actor, question, collection_ids)

    def quotes(self, actor: Actor, question: str, passages: Passages, limit: int) -> Quotes:
        if not isinstance(passages, SearchResult):
            raise TypeError("quotes are taken from what `passages` returned")
        return self._quoter.quotes(actor, question, passages, limit)
