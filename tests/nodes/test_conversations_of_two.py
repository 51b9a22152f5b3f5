"""A conversation at two nodes: one answer at a time, the same history everywhere, and a stop that arrives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.chat.answer_service import AnswerService
from services.chat.conversation_locks import CLAIM_POLL_SECONDS
from services.chat.conversations import Conversations
from services.chat.models import ChatModels
from services.chat.types import AnswerState, Conversation, MessageRole
from services.core.actor import SERVICE
from services.core.database.change_log import Topic
from services.core.errors import ConflictError, DatabaseAwayError, UnavailableError
from services.core.preferences import Preferences
from services.core.settings import Settings
from services.nodes.store.node_tables import nodes
from tests.chat.conftest import FakeKnowledge
from tests.chat.test_cancelling import Reader
from tests.nodes.joined import JoinedNode, joined


@dataclass(frozen=True)
class Chat:
    """What answers at a node."""

    node: JoinedNode
    conversations: Conversations
    answers: AnswerService
    knowledge: FakeKnowledge

    def said(self, conversation: Conversation) -> list[tuple[str, str]]:
        """Return the messages, as this node sees them."""
        return [(each.role.value, each.text) for each in self.conversations.messages(SERVICE, conversation.id)]

    def questions(self, conversation: Conversation) -> list[str]:
        """Return the questions of the turns that a model would be given."""
        present = self.conversations.conversation(SERVICE, conversation.id)
        return [turn.question for turn in self.conversations.turns(SERVICE, present)]

    def ask(self, conversation: Conversation, question: str) -> None:
        """Ask, and read the answer to its end."""
        assert list(self.answers.ask(SERVICE, conversation.id, question))


@pytest.fixture
def chat_at(tmp_path: Path) -> Iterator[Callable[[str], Chat]]:
    with ExitStack() as closing:

        def make(name: str) -> Chat:
            node = closing.enter_context(joined(tmp_path, name))
            settings = Settings(data_dir=tmp_path / name, ollama_url="http://127.0.0.1:9")
            knowledge = FakeKnowledge()
            conversations = Conversations(node.database, settings)
            models = ChatModels(Preferences(node.database), settings)
            closing.callback(models.close)
            claims = node.nodes.claims
            answers = AnswerService(conversations, models, knowledge, settings, rss=lambda: 0, claims=claims)
            closing.callback(answers.close)
            closing.callback(knowledge.release.set)
            node.nodes.follower.on(Topic.STOPS, answers.follow_stops)
            return Chat(node, conversations, answers, knowledge)

        yield make


@pytest.fixture
def one(chat_at: Callable[[str], Chat]) -> Chat:
    return chat_at("one")


@pytest.fixture
def two(one: Chat, chat_at: Callable[[str], Chat]) -> Chat:
    return chat_at("two")


def answering(chat: Chat, conversation: Conversation, question: str) -> Reader:
    """Have an answer in progress: it waits for the documents."""
    chat.knowledge.held_up = True
    chat.knowledge.entered.clear()
    reader = Reader(chat.answers.ask(SERVICE, conversation.id, question))
    assert chat.knowledge.entered.wait(20)
    return reader


def test_one_answer_at_a_time(one: Chat, two: Chat) -> None:
    """Two questions at once would each be answered without the other, and stand in the history out of order."""
    conversation = one.conversations.create(SERVICE)
    reader = answering(one, conversation, "How long are seals covered?")
    with one.node.beating(), pytest.raises(ConflictError, match="at the node one"):
        two.ask(conversation, "And valves?")
    assert two.said(conversation) == [("user", "How long are seals covered?")]
    other = two.conversations.create(SERVICE)
    two.ask(other, "And valves?")
    one.knowledge.release.set()
    assert reader.done()
    two.ask(conversation, "And valves?")
    assert [role for role, _text in one.said(conversation)] == ["user", "assistant"] * 2


def test_a_conversation_goes_on_at_the_other_node(one: Chat, two: Chat) -> None:
    """What was said meanwhile at another node would be missing from the history that a model is given, or a deleted
    part of it still be there: the window that a node had in RAM would be older than the conversation.
    """
    conversation = one.conversations.create(SERVICE)
    one.ask(conversation, "How long are seals covered?")
    assert one.questions(conversation) == two.questions(conversation) == ["How long are seals covered?"]
    two.ask(conversation, "And valves?")
    assert one.questions(conversation) == ["How long are seals covered?", "And valves?"]
    two.conversations.clear(SERVICE, conversation.id)
    assert one.questions(conversation) == []
    one.ask(conversation, "Who is called?")
    assert two.questions(conversation) == ["Who is called?"]
    two.conversations.quotes.erase([1])
    (turn,) = one.conversations.turns(SERVICE, one.conversations.conversation(SERVICE, conversation.id))
    assert "erased" in turn.answer


def test_an_answer_is_stopped_from_the_other_node(one: Chat, two: Chat) -> None:
    """The button would do nothing where the answer is given at another node."""
    conversation = one.conversations.create(SERVICE)
    reader = answering(one, conversation, "How long are seals covered?")
    assert two.answers.stop(SERVICE, conversation.id)
    one.node.follow()
    one.knowledge.release.set()
    assert reader.done()
    states = [each.state for each in two.conversations.messages(SERVICE, conversation.id)]
    assert states == [AnswerState.COMPLETE, AnswerState.STOPPED]
    assert not two.answers.stop(SERVICE, conversation.id)


def test_a_conversation_is_free_once_its_node_was_taken_over(one: Chat, two: Chat) -> None:
    """Nobody could go on with a conversation whose node was killed while it answered."""
    conversation = one.conversations.create(SERVICE)
    reader = answering(one, conversation, "How long are seals covered?")
    two.node.take_over(one.node)
    two.ask(conversation, "And valves?")
    one.knowledge.release.set()
    assert reader.done()
    roles = [each.role for each in two.conversations.messages(SERVICE, conversation.id)]
    assert roles == [MessageRole.USER, MessageRole.ASSISTANT] * 2, "the silent node has written"


def test_an_interrupted_answer_is_marked_until_it_is_asked_again(one: Chat, two: Chat) -> None:
    """A question would stand there without an answer and without a word, or the mark stay above the answer."""
    conversation = one.conversations.create(SERVICE)
    reader = answering(one, conversation, "How long are seals covered?")
    two.node.take_over(one.node)
    mark = two.conversations.messages(SERVICE, conversation.id)[-1]
    assert (mark.role, mark.state, mark.text) == (MessageRole.ASSISTANT, AnswerState.FAILED, "")
    assert "interrupted" in mark.error
    assert mark.hint == "Ask again."
    assert list(two.answers.regenerate(SERVICE, conversation.id))
    one.node.nodes.membership.join()
    one.answers.claim_anew()
    one.knowledge.release.set()
    assert reader.done()
    states = [each.state for each in one.conversations.messages(SERVICE, conversation.id)]
    assert states == [AnswerState.COMPLETE] * 2, "the node that woke has written a second answer"


def test_a_node_that_goes_on_answers_in_the_place_of_the_mark(one: Chat, two: Chat) -> None:
    """Both would be there: that the answer was interrupted, and the answer."""
    conversation = one.conversations.create(SERVICE)
    reader = answering(one, conversation, "How long are seals covered?")
    two.node.take_over(one.node)
    one.node.nodes.membership.join()
    one.answers.claim_anew()
    one.knowledge.release.set()
    assert reader.done()
    states = [each.state for each in two.conversations.messages(SERVICE, conversation.id)]
    assert states == [AnswerState.COMPLETE] * 2


def test_who_asks_where_a_node_has_fallen_silent_is_told_to_come_again(one: Chat, two: Chat) -> None:
    """The conversation would be said to be in use, by a node that is dead, until that is taken over."""
    conversation = one.conversations.create(SERVICE)
    reader = answering(one, conversation, "How long are seals covered?")
    with one.node.database.aside() as connection:
        connection.execute(nodes.update().values(seen_at=nodes.c.seen_at - 3.0))
    with pytest.raises(UnavailableError, match="does not respond"):
        two.ask(conversation, "And valves?")
    one.knowledge.release.set()
    assert reader.done()
    assert two.said(conversation)[2:] == []


def test_what_could_not_be_answered_while_the_database_was_away_is_marked(
    one: Chat, two: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node lives, so nobody takes it over: the question would stand there without a word."""
    conversation = one.conversations.create(SERVICE)
    reader = answering(one, conversation, "How long are seals covered?")

    def away(*_arguments: object, **_keywords: object) -> None:
        raise DatabaseAwayError("away")

    with monkeypatch.context() as patch:
        patch.setattr(one.node.nodes.claims, "release_left", away)
        patch.setattr(one.conversations, "replace_from", away)
        one.knowledge.release.set()
        assert reader.done()
    assert two.said(conversation)[1:] == []
    one.node.nodes.claims.release_left()
    (mark,) = two.conversations.messages(SERVICE, conversation.id)[1:]
    assert "interrupted" in mark.error
    two.ask(conversation, "And valves?")


def test_a_conversation_is_waited_for_that_is_released_in_a_moment(one: Chat, two: Chat) -> None:
    """Once the database is back after an outage, a question would be refused because of one that has ended."""
    conversation = one.conversations.create(SERVICE)
    with ExitStack() as claim:
        assert claim.enter_context(one.node.nodes.claims.held(f"conversation::{conversation.id}"))
        release = threading.Timer(2 * CLAIM_POLL_SECONDS, claim.pop_all().close)
        release.start()
        two.ask(conversation, "How long are seals covered?")
        release.join()


def test_a_node_that_joins_again_gives_way(one: Chat, two: Chat) -> None:
    """It would write an answer into a conversation that goes on elsewhere; an answer that nobody claimed goes on."""
    taken, kept = one.conversations.create(SERVICE), one.conversations.create(SERVICE)
    readers = [answering(one, each, "How long are seals covered?") for each in (taken, kept)]
    two.node.take_over(one.node)
    two_reader = answering(two, taken, "And valves?")
    one.node.nodes.membership.join()
    one.answers.claim_anew()
    with one.node.beating(), pytest.raises(ConflictError, match="at the node one"):
        two.ask(kept, "And valves?")
    one.knowledge.release.set()
    assert all(reader.done() for reader in readers)
    two.knowledge.release.set()
    assert two_reader.done()
    ends = [each.state for each in two.conversations.messages(SERVICE, kept.id)]
    assert ends == [AnswerState.COMPLETE, AnswerState.COMPLETE]
    states = {
        each.state for each in two.conversations.messages(SERVICE, taken.id) if each.role is MessageRole.ASSISTANT
    }
    assert states == {AnswerState.FAILED, AnswerState.COMPLETE}, "the interrupted answer, and that of the other node"
    two.ask(kept, "And valves?")


def test_a_stopped_answer_leaves_its_conversation_free(one: Chat, two: Chat) -> None:
    """A claim that was forgotten would shut the conversation for the other node for as long as this one works."""
    conversation = one.conversations.create(SERVICE)
    reader = answering(one, conversation, "How long are seals covered?")
    assert one.answers.stop(SERVICE, conversation.id)
    one.knowledge.release.set()
    assert reader.done()
    two.ask(conversation, "And valves?")
