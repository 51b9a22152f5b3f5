"""Questions that a process which was killed has left without an answer: marked at the next start, and asked again."""

from __future__ import annotations

from datetime import UTC, datetime

from services.chat.answer_service import AnswerService
from services.chat.conversations import Conversations
from services.chat.interruption_store import mark_all_interrupted
from services.chat.questions import question_message
from services.chat.types import AnswerState, Message, MessageRole
from services.core.actor import SERVICE
from services.core.database import Database
from services.core.i18n import speaking


def states(conversations: Conversations, conversation_id: str) -> list[AnswerState]:
    return [each.state for each in conversations.messages(SERVICE, conversation_id)]


def test_what_a_killed_process_left_is_marked_once(conversations: Conversations, database: Database) -> None:
    """A question would stand without an answer and without a word, or have one mark more after each start."""
    asked, answered, empty = (conversations.create(SERVICE).id for _number in range(3))
    for each in (asked, answered):
        conversations.add_question(SERVICE, question_message(each, "How long are seals covered?"))
    answer = Message(0, answered, MessageRole.ASSISTANT, "A year.", datetime.now(UTC))
    conversations.replace_from(SERVICE, None, answer, question="How long are seals covered?")
    assert mark_all_interrupted(database) == 1
    assert mark_all_interrupted(database) == 0
    assert states(conversations, asked) == [AnswerState.COMPLETE, AnswerState.FAILED]
    assert states(conversations, answered) == [AnswerState.COMPLETE] * 2
    assert states(conversations, empty) == []


def test_it_can_be_asked_again(conversations: Conversations, answering: AnswerService, database: Database) -> None:
    """The mark would stay above the answer, or be found again as one in another language."""
    conversation = conversations.create(SERVICE)
    conversations.add_question(SERVICE, question_message(conversation.id, "How long are seals covered?"))
    with speaking("zh-CN"):
        mark_all_interrupted(database)
    mark = conversations.messages(SERVICE, conversation.id)[-1]
    assert (mark.error.startswith("This answer was interrupted"), mark.hint) == (True, "Ask again.")
    assert list(answering.regenerate(SERVICE, conversation.id))
    assert states(conversations, conversation.id) == [AnswerState.COMPLETE] * 2


def test_an_answer_to_what_is_gone_is_not_kept(
    conversations: Conversations, answering: AnswerService, database: Database
) -> None:
    """A conversation that was emptied while its answer was written would begin with an answer to nothing."""
    conversation = conversations.create(SERVICE)
    answer = answering.ask(SERVICE, conversation.id, "How long are seals covered?")
    next(iter(answer))
    conversations.clear(SERVICE, conversation.id)
    assert list(answer)
    assert states(conversations, conversation.id) == []
