from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from services.chat.answer_cache import AnswerCache
from services.chat.answer_service import AnswerService
from services.chat.conversations import Conversations
from services.chat.models import ChatModels
from services.chat.types import (
    AnswerState,
    BackendChoice,
    BackendKind,
    Finished,
    Message,
    MessageRole,
    Retrieved,
    Token,
)
from services.core.actor import SERVICE, Actor
from services.core.cache import ByteCache
from services.core.errors import MillpondError
from services.core.settings import Settings
from tests.chat.conftest import SEALS, FakeKnowledge
from tests.chat.model_server import ModelServer
from tests.chat.test_answer_service import finished, use

QUESTION = "How long are seals covered?"


class Library:
    """What the stamp of the documents is; None while they change."""

    def __init__(self) -> None:
        self.stamp: str | None = "1"


@pytest.fixture
def library() -> Library:
    return Library()


@pytest.fixture
def cache() -> ByteCache:
    return ByteCache("answers", "Answers", 1_000_000, 3600.0)


@pytest.fixture
def remembering(
    conversations: Conversations,
    models: ChatModels,
    knowledge: FakeKnowledge,
    settings: Settings,
    library: Library,
    cache: ByteCache,
) -> AnswerService:
    """Answering with a cache."""
    answers = AnswerCache(cache, lambda: library.stamp, models.choice)
    return AnswerService(conversations, models, knowledge, settings, rss=lambda: 100_000_000, cache=answers)


@pytest.fixture
def asked(remembering: AnswerService, conversations: Conversations) -> Callable[..., Message]:
    """Ask in a conversation of its own; returns the answer."""

    def ask(question: str = QUESTION, **options: object) -> Message:
        made = conversations.create(SERVICE, **options)  # type: ignore[arg-type] # keywords as they come
        message = finished(list(remembering.ask(SERVICE, made.id, question)))
        assert conversations.messages(SERVICE, made.id)[1] == message
        return message

    return ask


def test_the_same_question_is_answered_from_the_cache(
    asked: Callable[..., Message], knowledge: FakeKnowledge, models: ChatModels, server: ModelServer
) -> None:
    """Text, sources and model are those of the first time; neither retrieval nor model is asked; it is marked."""
    use(models, server)
    first, second = asked(), asked("How long  are seals covered?\n")
    assert (second.text, second.citations, second.model) == (first.text, first.citations, first.model)
    assert (first.cost.cached, second.cost.cached) == (False, True)
    assert second.cost.answer_tokens is None
    assert (len(knowledge.asked), len(server.requests)) == (1, 1)


def test_it_streams_as_any_other(remembering: AnswerService, conversations: Conversations, asked: object) -> None:
    """Sources first, then words, then the stored message: the same events as the first time."""
    streams = [list(remembering.ask(SERVICE, conversations.create(SERVICE).id, QUESTION)) for _turn in range(2)]
    for events in streams:
        assert isinstance(events[0], Retrieved)
        assert isinstance(events[-1], Finished)
        assert len([event for event in events if isinstance(event, Token)]) > 3
    assert streams[0][0] == streams[1][0]
    assert [event for event in streams[0] if isinstance(event, Token)] == [
        event for event in streams[1] if isinstance(event, Token)
    ]


def test_nothing_relevant_is_remembered_as_that(asked: Callable[..., Message], knowledge: FakeKnowledge) -> None:
    """The sentence that says so comes from the cache, without sources."""
    knowledge.relevant = False
    first, second = asked(), asked()
    assert (second.text, second.citations, second.cost.cached) == (first.text, (), True)


@pytest.mark.parametrize("change", ["library", "collections", "model", "question"])
def test_what_an_answer_depends_on_makes_it_another(
    asked: Callable[..., Message],
    knowledge: FakeKnowledge,
    library: Library,
    models: ChatModels,
    server: ModelServer,
    change: str,
) -> None:
    """Other documents, collections, model or words: answered anew."""
    asked()
    if change == "library":
        library.stamp = "2"
    elif change == "model":
        use(models, server)
    message = asked(
        QUESTION if change != "question" else QUESTION.lower(),
        **({"collection_ids": [3]} if change == "collections" else {}),
    )
    assert not message.cost.cached
    assert len(knowledge.asked) == 2


def test_the_turns_before_belong_to_the_question(
    remembering: AnswerService, conversations: Conversations, knowledge: FakeKnowledge
) -> None:
    """In a conversation with other turns the same words are another question; with the same turns the same one."""
    for _turn in range(2):
        made = conversations.create(SERVICE)
        for question in ("Who makes the pump?", QUESTION):
            list(remembering.ask(SERVICE, made.id, question))
    assert [question for question, _ids in knowledge.asked] == ["Who makes the pump?", QUESTION]
    other = conversations.create(SERVICE)
    for question in ("Who sells the pump?", QUESTION):
        message = finished(list(remembering.ask(SERVICE, other.id, question)))
        assert not message.cost.cached


def test_regenerating_asks_anew_and_keeps_that(
    remembering: AnswerService, conversations: Conversations, knowledge: FakeKnowledge
) -> None:
    """Who asks again wants another answer; the next one who asks gets the newest."""
    made = conversations.create(SERVICE)
    list(remembering.ask(SERVICE, made.id, QUESTION))
    knowledge.hits = (replace(SEALS, document_id=99),)
    knowledge.quoted = knowledge.quoted[1:]
    again = finished(list(remembering.regenerate(SERVICE, made.id)))
    assert (again.cost.cached, len(knowledge.asked)) == (False, 2)
    third = finished(list(remembering.ask(SERVICE, conversations.create(SERVICE).id, QUESTION)))
    assert (third.cost.cached, third.citations) == (True, again.citations)


def test_a_completion_may_refuse_the_cache(remembering: AnswerService, knowledge: FakeKnowledge) -> None:
    """`fresh` retrieves and answers anew; without it the answer is shared between conversations and completions."""
    for fresh in (False, False, True):
        list(remembering.complete(SERVICE, [(MessageRole.USER, QUESTION)], fresh=fresh))
    assert len(knowledge.asked) == 2


def test_nothing_is_kept_while_documents_change(
    asked: Callable[..., Message], library: Library, knowledge: FakeKnowledge, cache: ByteCache
) -> None:
    """Neither when they change at the beginning nor when they have changed by the end."""
    library.stamp = None
    assert not asked().cost.cached
    library.stamp = "1"
    knowledge.error = None
    held_up = knowledge.passages

    def change_meanwhile(actor: Actor, question: str, ids: object) -> object:
        library.stamp = "2"
        return held_up(actor, question, ids)  # type: ignore[arg-type] # handed on as it came

    knowledge.passages = change_meanwhile  # type: ignore[method-assign,assignment] # a change in mid-answer
    assert not asked().cost.cached
    assert cache.stats().entries == 0


@pytest.mark.parametrize("manner", ["500", "dies"])
def test_failures_are_not_remembered(
    remembering: AnswerService,
    conversations: Conversations,
    models: ChatModels,
    server: ModelServer,
    cache: ByteCache,
    manner: str,
) -> None:
    """Only whole answers are worth a second look."""
    use(models, server, manner)
    made = conversations.create(SERVICE)
    with pytest.raises(MillpondError):
        list(remembering.ask(SERVICE, made.id, QUESTION))
    assert conversations.messages(SERVICE, made.id)[1].state is AnswerState.FAILED
    assert cache.stats().entries == 0


def test_what_somebody_else_wrote_is_ignored(asked: Callable[..., Message], cache: ByteCache) -> None:
    """What is no answer counts as none, whatever put it there."""
    asked()
    assert list(cache._store)
    for key in list(cache._store):
        cache.put(key, b'{"text": 7}')
    assert not asked().cost.cached


def test_keys_hold_no_secret(models: ChatModels, cache: ByteCache, server: ModelServer) -> None:
    """The model's key is no part of what is kept, and another key makes no other answer."""
    answers = AnswerCache(cache, lambda: "1", models.choice)
    keys = set()
    for secret in ("sk-one", "sk-two"):
        models.choose(SERVICE, BackendChoice(BackendKind.OPENAI, server.openai("good"), "tiny", secret))
        key = answers.key_for(SERVICE, QUESTION, (), ())
        assert key is not None
        keys.add(key.key)
    assert len(keys) == 1
