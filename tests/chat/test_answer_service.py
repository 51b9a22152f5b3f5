from __future__ import annotations

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from services.chat.answer_service import AnswerService
from services.chat.conversations import Conversations
from services.chat.models import ChatModels
from services.chat.types import (
    AnswerEvent,
    AnswerState,
    BackendChoice,
    BackendKind,
    Finished,
    Message,
    MessageRole,
    Retrieved,
    Token,
)
from services.core.actor import SERVICE
from services.core.errors import BadInputError, ConflictError, MillpondError, NotFoundError, TooLargeError
from tests.chat.conftest import FakeKnowledge
from tests.chat.model_server import ModelServer


def finished(events: list[AnswerEvent]) -> Message:
    last = events[-1]
    assert isinstance(last, Finished)
    return last.message


def texts(conversations: Conversations, conversation_id: str) -> list[str]:
    return [message.text for message in conversations.messages(SERVICE, conversation_id)]


def use(models: ChatModels, server: ModelServer, manner: str = "good") -> None:
    models.choose(SERVICE, BackendChoice(BackendKind.OPENAI, server.openai(manner), "tiny", "sk-secret"))


def test_without_a_model_the_sentences_that_answer_are_quoted(
    answering: AnswerService, conversations: Conversations
) -> None:
    """The quotes are numbered in their order, cited with place and words, and a short hint tells how to connect."""
    made = conversations.create(SERVICE)
    events = list(answering.ask(SERVICE, made.id, "How long are valves covered?"))
    message = finished(events)
    assert isinstance(events[0], Retrieved)
    assert events[0].relevant
    assert events[0].citations == message.citations
    assert "".join(e.text for e in events if isinstance(e, Token)) == message.text
    assert message.text.startswith("“Valves are covered for 24 months.” [1]\n\n“Check the oil weekly.” [2]\n\n")
    assert "No language model is connected" in message.text
    assert [(c.number, c.chunk_id, c.page, c.quote) for c in message.citations] == [
        (1, 12, 4, "Valves are covered for 24 months."),
        (2, 11, 3, "Check the oil weekly."),
    ]
    assert conversations.messages(SERVICE, made.id)[1] == message
    assert message.model == ""


def test_the_cost_of_an_answer_is_kept(
    conversations: Conversations, models: ChatModels, knowledge: FakeKnowledge, answering: AnswerService
) -> None:
    """Times are there and in order; the change of resident memory comes from the injected measure."""
    rss = iter(range(1000, 100_000, 10))
    answering = AnswerService(conversations, models, knowledge, answering._settings, rss=lambda: next(rss))
    cost = finished(list(answering.ask(SERVICE, conversations.create(SERVICE).id, "How long?"))).cost
    assert cost.retrieval_ms is not None
    assert cost.first_token_ms is not None
    assert cost.total_ms is not None
    assert 0 <= cost.retrieval_ms <= cost.first_token_ms + 1 <= cost.total_ms + 2
    assert cost.rss_change_bytes is not None
    assert cost.rss_change_bytes > 0
    assert cost.answer_tokens is None


def test_nothing_relevant_is_said_instead_of_guessed(
    answering: AnswerService,
    conversations: Conversations,
    knowledge: FakeKnowledge,
    models: ChatModels,
    server: ModelServer,
) -> None:
    """The model is not even asked."""
    use(models, server)
    knowledge.relevant = False
    events = list(answering.ask(SERVICE, conversations.create(SERVICE).id, "Who won the cup?"))
    assert events[0] == Retrieved((), relevant=False)
    message = finished(events)
    assert message.text.startswith("Nothing relevant to this question was found")
    assert message.citations == ()
    assert server.requests == []


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("", BadInputError),
        (" \t\n\u3000\u200b\u200f", BadInputError),
        ("\U000e6977\u00ae ?!", BadInputError),
        ("x" * 4001, TooLargeError),
        ("x" * 100_000, TooLargeError),
    ],
)
def test_a_question_out_of_bounds_stores_nothing(
    answering: AnswerService, conversations: Conversations, question: str, kind: type[MillpondError]
) -> None:
    """Neither when it is asked nor when a question is edited into it."""
    made = conversations.create(SERVICE)
    with pytest.raises(kind) as caught:
        next(answering.ask(SERVICE, made.id, question))
    assert caught.value.hint
    assert texts(conversations, made.id) == []
    list(answering.ask(SERVICE, made.id, "x" * 4000))
    before = conversations.messages(SERVICE, made.id)
    with pytest.raises(kind):
        next(answering.edit(SERVICE, made.id, question))
    assert conversations.messages(SERVICE, made.id) == before
    with pytest.raises(kind):
        next(answering.complete(SERVICE, [(MessageRole.USER, question)]))


def test_characters_that_no_database_takes_are_dropped(answering: AnswerService, conversations: Conversations) -> None:
    """NUL and half characters do not make a question fail."""
    made = conversations.create(SERVICE)
    list(answering.ask(SERVICE, made.id, "How\0 long\ud800?"))
    assert texts(conversations, made.id)[0] == "How long??"


def test_an_unknown_conversation_is_not_found(answering: AnswerService) -> None:
    """Nothing is asked of it."""
    with pytest.raises(NotFoundError):
        next(answering.ask(SERVICE, "none", "How long?"))


def test_a_model_answers_with_citations_and_history(
    answering: AnswerService, conversations: Conversations, models: ChatModels, server: ModelServer
) -> None:
    """Marks cut by the stream are put together, wrong ones marked; tokens are counted; turns are sent along."""
    use(models, server)
    made = conversations.create(SERVICE, history_turns=1)
    for question in ("First: how long are seals covered?", "Second: how long are seals covered?"):
        list(answering.ask(SERVICE, made.id, question))
    events = list(answering.ask(SERVICE, made.id, "Third: how long are seals covered?"))
    message = finished(events)
    assert message.text == "Seals are covered for 12 months [1]. Not [99: no such source]."
    assert "".join(e.text for e in events if isinstance(e, Token)) == message.text
    assert [(c.number, c.quote, c.cited) for c in message.citations] == [
        (1, "Seals are covered for 12 months [7].", True)
    ]
    assert (message.cost.prompt_tokens, message.cost.answer_tokens, message.model) == (70, 9, "tiny")
    _path, headers, body = server.requests[-1]
    assert headers["authorization"] == "Bearer sk-secret"
    assert [m["role"] for m in body["messages"]] == ["system", "user", "assistant", "user"]
    assert body["messages"][1]["content"] == "Second: how long are seals covered?"
    assert body["messages"][2]["content"] == "Seals are covered for 12 months. Not."
    assert "Question: Third" in body["messages"][3]["content"]


def test_a_question_that_leans_is_searched_with_the_one_before(
    answering: AnswerService, conversations: Conversations, knowledge: FakeKnowledge
) -> None:
    """A question that stands alone is searched as it is, in the conversation's collections."""
    made = conversations.create(SERVICE, collection_ids=[3])
    for question in ("How long are valves covered?", "And when does it start?", "Who makes the pump housing?"):
        list(answering.ask(SERVICE, made.id, question))
    assert knowledge.asked == [
        ("How long are valves covered?", (3,)),
        ("How long are valves covered? And when does it start?", (3,)),
        ("Who makes the pump housing?", (3,)),
    ]


def test_regenerating_replaces_the_last_answer(
    answering: AnswerService, conversations: Conversations, models: ChatModels, server: ModelServer
) -> None:
    """The question stays, the new answer takes the old one's place, and the old one is not sent along."""
    made = conversations.create(SERVICE)
    list(answering.ask(SERVICE, made.id, "How long are seals covered?"))
    use(models, server)
    message = finished(list(answering.regenerate(SERVICE, made.id)))
    assert texts(conversations, made.id) == ["How long are seals covered?", message.text]
    assert message.text.startswith("Seals are covered")
    assert [m["role"] for m in server.requests[-1][2]["messages"]] == ["system", "user"]
    assert len(conversations.turns(SERVICE, conversations.conversation(SERVICE, made.id))) == 1


def test_a_failed_regeneration_keeps_the_old_answer(
    answering: AnswerService, conversations: Conversations, models: ChatModels, server: ModelServer
) -> None:
    """An answer that is there is given up only for one that is as good; a failed one is replaced."""
    made = conversations.create(SERVICE)
    old = finished(list(answering.ask(SERVICE, made.id, "How long are seals covered?")))
    use(models, server, "500")
    with pytest.raises(MillpondError):
        list(answering.regenerate(SERVICE, made.id))
    assert conversations.messages(SERVICE, made.id)[1] == old
    with pytest.raises(MillpondError):
        list(answering.ask(SERVICE, made.id, "And what of the valves then?"))
    with pytest.raises(MillpondError):
        list(answering.regenerate(SERVICE, made.id))
    assert [m.state for m in conversations.messages(SERVICE, made.id)] == [
        AnswerState.COMPLETE,
        AnswerState.COMPLETE,
        AnswerState.COMPLETE,
        AnswerState.FAILED,
    ]
    use(models, server)
    list(answering.regenerate(SERVICE, made.id))
    assert conversations.messages(SERVICE, made.id)[3].state is AnswerState.COMPLETE
    assert len(conversations.messages(SERVICE, made.id)) == 4


def test_a_question_that_was_never_answered_can_be_answered_later(
    answering: AnswerService, conversations: Conversations
) -> None:
    """As after a crash in the middle of an answer."""
    made = conversations.create(SERVICE)
    conversations.add_question(SERVICE, Message(0, made.id, MessageRole.USER, "How long?", made.created_at))
    list(answering.regenerate(SERVICE, made.id))
    assert [m.role for m in conversations.messages(SERVICE, made.id)] == [MessageRole.USER, MessageRole.ASSISTANT]


def test_editing_replaces_the_last_question_and_its_answer(
    answering: AnswerService, conversations: Conversations
) -> None:
    """Turns before it stay; a title that came from the question follows it, one that was given does not."""
    made = conversations.create(SERVICE)
    list(answering.ask(SERVICE, made.id, "How lnog are seals covered?"))
    list(answering.edit(SERVICE, made.id, "How long are seals covered?"))
    assert conversations.conversation(SERVICE, made.id).title == "How long are seals covered?"
    list(answering.ask(SERVICE, made.id, "Where is the oil?"))
    list(answering.edit(SERVICE, made.id, "Where is the valve?"))
    assert [m.text for m in conversations.messages(SERVICE, made.id) if m.role is MessageRole.USER] == [
        "How long are seals covered?",
        "Where is the valve?",
    ]
    assert conversations.conversation(SERVICE, made.id).title == "How long are seals covered?"
    assert len(conversations.messages(SERVICE, made.id)) == 4


def test_one_question_at_a_time_in_a_conversation(answering: AnswerService, conversations: Conversations) -> None:
    """The second is refused and not stored; another conversation is free, and so is this one afterwards."""
    made, other = conversations.create(SERVICE), conversations.create(SERVICE)
    running = answering.ask(SERVICE, made.id, "How long?")
    next(running)
    for late in (
        answering.ask(SERVICE, made.id, "And now?"),
        answering.regenerate(SERVICE, made.id),
        answering.edit(SERVICE, made.id, "Or?"),
    ):
        with pytest.raises(ConflictError):
            next(late)
    assert texts(conversations, made.id) == ["How long?"]
    list(answering.ask(SERVICE, other.id, "How long?"))
    list(running)
    list(answering.ask(SERVICE, made.id, "And now?"))
    assert len(texts(conversations, made.id)) == 4


def test_who_has_the_whole_answer_can_ask_on(answering: AnswerService, conversations: Conversations) -> None:
    """The last event of an answer frees its conversation, even if its reader has not come to the end."""
    made = conversations.create(SERVICE)
    running = answering.ask(SERVICE, made.id, "How long?")
    while not isinstance(next(running), Finished):
        pass
    assert isinstance(list(answering.ask(SERVICE, made.id, "And now?"))[-1], Finished)
    running.close()
    assert len(texts(conversations, made.id)) == 4


def test_a_conversation_deleted_in_mid_answer_stays_deleted(
    answering: AnswerService, conversations: Conversations
) -> None:
    """The answer goes on for its reader and is not stored."""
    made = conversations.create(SERVICE)
    answer = answering.ask(SERVICE, made.id, "How long?")
    next(answer)
    conversations.delete(SERVICE, made.id)
    assert finished(list(answer)).id == 0
    assert conversations.conversations(SERVICE) == []


def test_completing_needs_no_conversation(
    answering: AnswerService,
    conversations: Conversations,
    models: ChatModels,
    server: ModelServer,
    knowledge: FakeKnowledge,
) -> None:
    """Earlier messages are the history, nothing is stored, other collections can be asked."""
    use(models, server)
    messages = [
        (MessageRole.USER, "One?"),
        (MessageRole.ASSISTANT, "Two."),
        (MessageRole.USER, "How long are seals covered?"),
    ]
    message = finished(list(answering.complete(SERVICE, messages, model="millpond", collection_ids=[5])))
    assert message.id == 0
    assert message.text.startswith("Seals")
    assert [m["content"] for m in server.requests[-1][2]["messages"][1:3]] == ["One?", "Two."]
    assert knowledge.asked[-1][1] == (5,)
    assert conversations.conversations(SERVICE) == []


def test_completing_refuses_what_is_no_question(answering: AnswerService) -> None:
    """No message, a last message of the model, a model that is not there."""
    for messages in ([], [(MessageRole.USER, "One?"), (MessageRole.ASSISTANT, "Two.")]):
        with pytest.raises(BadInputError):
            next(answering.complete(SERVICE, messages))
    with pytest.raises(NotFoundError):
        next(answering.complete(SERVICE, [(MessageRole.USER, "One?")], model="gpt-17"))


def test_an_unforeseen_defect_is_raised_and_noted(
    answering: AnswerService, conversations: Conversations, knowledge: FakeKnowledge
) -> None:
    """The shell sees the defect, the conversation says that there is no answer, the slot is free."""
    knowledge.error = ZeroDivisionError("defect")
    made = conversations.create(SERVICE)
    with pytest.raises(ZeroDivisionError):
        list(answering.ask(SERVICE, made.id, "How long?"))
    question, answer = conversations.messages(SERVICE, made.id)
    assert (question.text, answer.state) == ("How long?", AnswerState.FAILED)
    assert answer.error
    assert "defect" not in answer.error
    assert answering.slots() == (0, 0)


def test_each_stage_is_logged_with_resident_memory(answering: AnswerService, conversations: Conversations) -> None:
    """Question, retrieval, first token and end can be followed in the log; the question's text is not in it."""
    with capture_logs() as lines:
        list(answering.ask(SERVICE, conversations.create(SERVICE).id, "How long are valves covered?"))
    lines = [line for line in lines if line["event"] == "answer"]
    assert [line["stage"] for line in lines] == ["queued", "began", "retrieval", "first token", "done"]
    assert all(line["rss_bytes"] == 100_000_000 for line in lines)
    assert "valves" not in str(lines)


def test_the_question_is_stored_before_it_is_answered(
    answering_with: Callable[..., AnswerService], conversations: Conversations, knowledge: FakeKnowledge
) -> None:
    """A kill in the middle of an answer does not lose it."""
    made = conversations.create(SERVICE)
    answer = answering_with().ask(SERVICE, made.id, "How long?")
    next(answer)
    assert texts(conversations, made.id) == ["How long?"]
    answer.close()
