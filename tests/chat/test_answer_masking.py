from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from services.chat.answer_service import AnswerService
from services.chat.conversations import Conversations
from services.chat.models import ChatModels
from services.chat.types import AnswerEvent, BackendChoice, BackendKind, Finished, Retrieved, Token
from services.core.actor import SERVICE
from services.core.database import Database
from services.core.settings import Settings
from tests.chat.conftest import APassage, AQuote, FakeKnowledge
from tests.chat.model_server import ModelServer
from tests.chat.scripted_server import answer

CALL = APassage(21, 2, "联系人 13812345678.pdf", "Call Li Wei at 138 1234 5678 or write to li.wei@example.com.", 0.9)
PERSONAL = ("13812345678", "138 1234 5678", "1234 5678", "li.wei@example.com")


def asked(answering: AnswerService, conversations: Conversations) -> tuple[str, list[AnswerEvent]]:
    made = conversations.create(SERVICE)
    return made.id, list(answering.ask(SERVICE, made.id, "How can I reach 13812345678?"))


def text_of(events: list[AnswerEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Token))


@pytest.fixture
def knowledge() -> FakeKnowledge:
    return FakeKnowledge(hits=(CALL,), quoted=(AQuote(0, CALL.text),))


def test_quotes_stay_as_they_are_by_default(answering: AnswerService, conversations: Conversations) -> None:
    """The document says a number, and the answer that quotes it does not."""
    _name, events = asked(answering, conversations)
    assert "138 1234 5678" in text_of(events)


def test_answers_and_their_quotes_are_masked_by_setting(
    answering_with: Callable[..., AnswerService], conversations: Conversations
) -> None:
    """What is streamed, the citations beside it, or what is stored shows a number in spite of the setting."""
    name, events = asked(answering_with(mask_answers=True), conversations)
    assert text_of(events).startswith("“Call Li Wei at [phone …5678] or write to [email].” [1]")
    assert isinstance(events[0], Retrieved)
    stored = conversations.messages(SERVICE, name)[1]
    finished = events[-1]
    assert isinstance(finished, Finished)
    for shown in (text_of(events), str(events[0].citations), str(stored.citations), stored.text, str(finished.message)):
        for each in PERSONAL:
            assert each not in shown
    assert stored.text == text_of(events)
    assert stored.citations[0].document == "联系人 [phone …5678].pdf"


def test_a_number_in_two_pieces_of_a_stream_is_masked(
    answering_with: Callable[..., AnswerService],
    conversations: Conversations,
    models: ChatModels,
    server: ModelServer,
) -> None:
    """A model sends a number word by word; its first half was shown before the second came."""
    said = "The number is 138 1234 5678 [1], the card 4111 1111 1111 1111; mail li.wei@example.com now [1]."
    server.script = lambda body: answer(body, said)
    models.choose(SERVICE, BackendChoice(BackendKind.OPENAI, server.openai("good"), "tiny", "sk-secret"))
    name, events = asked(answering_with(mask_answers=True), conversations)
    whole = "The number is [phone …5678] [1], the card [card …1111]; mail [email] now [1]."
    assert text_of(events) == whole
    assert len([event for event in events if isinstance(event, Token)]) > 3
    stored = conversations.messages(SERVICE, name)[1]
    assert stored.text == whole
    assert "1234" not in str(stored.citations)


@pytest.mark.parametrize("form", ["markdown", "json"])
def test_exports_are_masked_by_setting(
    answering: AnswerService, conversations: Conversations, database: Database, settings: Settings, form: str
) -> None:
    """A file that leaves the house has numbers in it although the setting forbids it, or has none although it may."""
    name, _events = asked(answering, conversations)
    answer = conversations.messages(SERVICE, name)[1]
    conversations.feedback(SERVICE, answer.id, -1, text="The number 138 1234 5678 is an old one.")
    as_is = conversations.export(SERVICE, name, form)  # type: ignore[arg-type] # one of the two
    assert "138 1234 5678" in as_is
    masking = Conversations(database, settings.model_copy(update={"mask_exports": True}))
    masked = masking.export(SERVICE, name, form)  # type: ignore[arg-type] # one of the two
    for each in PERSONAL:
        assert each not in masked
    assert "How can I reach [phone …5678]?" in masked
    if form == "json":
        assert json.loads(masked)["messages"][0]["text"] == "How can I reach [phone …5678]?"
    assert "138 1234 5678" in conversations.messages(SERVICE, name)[1].text
