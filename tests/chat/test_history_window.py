from __future__ import annotations

import gc
import re
from datetime import UTC, datetime
from typing import TypeVar

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from services.chat.conversations import Conversations
from services.chat.history_window import MAX_TEXT_CHARACTERS, MAX_WINDOWS, HistoryWindows, Turn
from services.chat.store import ChatStore
from services.chat.types import AnswerState, Message, MessageRole
from services.core.actor import SERVICE
from services.core.database import Database
from services.core.errors import BadInputError
from services.integrations.langchain import WindowedMessageHistory
from tests.chat.test_conversations import said, talk

T = TypeVar("T")


def alive(kind: type[T]) -> list[T]:
    """Every object of a kind in this process; not by `isinstance`, which runs code of other libraries' lazy objects."""
    return [thing for thing in gc.get_objects() if issubclass(type(thing), kind)]


def test_three_thousand_turns_hold_the_last_five(conversations: Conversations, database: Database) -> None:
    """RAM holds k turns however many there were; disk holds all of them."""
    made = conversations.create(SERVICE, history_turns=5)
    store = ChatStore(database)
    moment = datetime.now(UTC)
    with store.write() as connection:
        for number in range(2990):
            store.insert_message(
                connection, Message(0, made.id, MessageRole.USER, f"old question {number}", moment), None
            )
            store.insert_message(
                connection, Message(0, made.id, MessageRole.ASSISTANT, f"old answer {number}", moment), None
            )
    history = WindowedMessageHistory(conversations, made.id)
    for number in range(2990, 3000):
        history.add_messages([HumanMessage(f"question {number}"), AIMessage(f"answer {number}")])
        assert len(history.messages) == 10
    assert [m.text for m in history.messages][-2:] == ["question 2999", "answer 2999"]
    held = conversations.memory_report()
    assert held.attributes == {"turns": "5", "conversations": "1"}
    assert held.bytes < 4000
    gc.collect()
    turns = [turn for turn in alive(Turn) if re.fullmatch(r"(old )?answer \d+", turn.answer)]
    stored = [message for message in alive(Message) if message.conversation_id == made.id]
    langchain = [message for message in alive(BaseMessage) if "er 2" in str(message.content)]
    assert len(turns) <= 5
    assert len(stored) <= 2
    assert len(langchain) <= 2
    assert conversations.conversation(SERVICE, made.id).messages == 6000
    assert conversations.messages(SERVICE, made.id, limit=2, before=3)[0].text == "old question 0"


def test_windows_of_the_conversations_used_last_are_held(conversations: Conversations, database: Database) -> None:
    """The number of windows is bounded; the one that was not used for longest goes."""
    ids = [talk(conversations, "q", "a") for _ in range(4)]
    windows = HistoryWindows(ChatStore(database), windows=3)
    for conversation_id in [ids[0], ids[1], ids[2], ids[0], ids[3]]:
        assert windows.turns(conversation_id, 5) == (Turn("q", "a"),)
    assert windows.memory_report().attributes["conversations"] == "3"
    assert windows.memory_report().loads == 4
    windows.turns(ids[0], 5)
    assert windows.memory_report().loads == 4
    windows.turns(ids[1], 5)
    assert windows.memory_report().loads == 5


def test_idle_windows_are_let_go_and_come_back(
    conversations: Conversations, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows that are in use would go too, idle ones stay, or what is let go be lost."""
    now = 1000.0
    monkeypatch.setattr("services.chat.history_window.time.monotonic", lambda: now)
    idle, busy = talk(conversations, "q", "a" * 5000), talk(conversations, "q", "a")
    windows = HistoryWindows(ChatStore(database))
    windows.turns(idle, 5)
    now = 1200.0
    windows.turns(busy, 5)
    count, size = windows.idle(200.0)
    assert count == 1
    assert 5000 < size < 7000
    before = windows.memory_report().bytes
    assert windows.release_idle(200.0) == (1, size)
    assert before - windows.memory_report().bytes == pytest.approx(size, abs=300)
    assert windows.memory_report().attributes["conversations"] == "1"
    assert windows.release_idle(200.0) == (0, 0)
    assert windows.turns(idle, 5) == (Turn("q", "a" * 5000),)
    assert len(windows._used) == 2


def test_a_window_is_bounded_in_characters(conversations: Conversations) -> None:
    """Of an enormous answer only what a prompt could take is held."""
    talked = talk(conversations, "q", "x" * 1_000_000)
    (turn,) = conversations.turns(SERVICE, conversations.conversation(SERVICE, talked))
    assert len(turn.answer) == MAX_TEXT_CHARACTERS
    assert len(conversations.messages(SERVICE, talked)[1].text) == 1_000_000
    assert MAX_WINDOWS == 64


def test_windows_are_bounded_together(conversations: Conversations, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long conversations push out those that were used longest ago, when they are read and when they go on."""
    monkeypatch.setattr("services.chat.history_window.MAX_TOTAL_CHARACTERS", 3500)
    ids = [talk(conversations, "q", "a" * 999) for _ in range(3)]
    for talked in ids:
        conversations.turns(SERVICE, conversations.conversation(SERVICE, talked))
    assert conversations.memory_report().attributes["conversations"] == "3"
    conversations.add_question(SERVICE, said(ids[2], MessageRole.USER, "again"))
    conversations.replace_from(SERVICE, None, said(ids[2], MessageRole.ASSISTANT, "b" * 999), question="again")
    assert conversations.memory_report().attributes["conversations"] == "2"
    loads = conversations.memory_report().loads
    conversations.turns(SERVICE, conversations.conversation(SERVICE, ids[2]))
    conversations.turns(SERVICE, conversations.conversation(SERVICE, ids[1]))
    assert conversations.memory_report().loads == loads
    conversations.turns(SERVICE, conversations.conversation(SERVICE, ids[0]))
    assert conversations.memory_report().loads == loads + 1


def test_failed_answers_are_no_turns(conversations: Conversations) -> None:
    """Questions without an answer are left out, however many there are; stopped answers count."""
    talked = talk(conversations, "first", "one")
    for number in range(30):
        conversations.add_question(SERVICE, said(talked, MessageRole.USER, f"lost {number}"))
        conversations.replace_from(SERVICE, None, said(talked, MessageRole.ASSISTANT, "half", state=AnswerState.FAILED))
    conversations.add_question(SERVICE, said(talked, MessageRole.USER, "second"))
    conversations.replace_from(SERVICE, None, said(talked, MessageRole.ASSISTANT, "two", state=AnswerState.STOPPED))
    conversations.add_question(SERVICE, said(talked, MessageRole.USER, "open"))
    conversation = conversations.set_history_turns(SERVICE, talked, 2)
    assert conversations.turns(SERVICE, conversation) == (Turn("first", "one"), Turn("second", "two"))


def test_the_window_follows_its_setting(conversations: Conversations) -> None:
    """k is set for each conversation; 0 sends and holds nothing; too much is refused."""
    talked = talk(conversations, *"abcdefgh")
    assert conversations.turns(SERVICE, conversations.set_history_turns(SERVICE, talked, 1)) == (Turn("g", "h"),)
    assert conversations.turns(SERVICE, conversations.set_history_turns(SERVICE, talked, 3))[0] == Turn("c", "d")
    assert conversations.turns(SERVICE, conversations.set_history_turns(SERVICE, talked, 0)) == ()
    assert conversations.memory_report().attributes["turns"] == "0"
    with pytest.raises(BadInputError):
        conversations.set_history_turns(SERVICE, talked, 51)


def test_the_window_sees_what_is_stored_and_deleted(conversations: Conversations) -> None:
    """A window in RAM is never older than the disk."""
    talked = talk(conversations, "a", "b")
    conversation = conversations.conversation(SERVICE, talked)
    assert len(conversations.turns(SERVICE, conversation)) == 1
    conversations.add_question(SERVICE, said(talked, MessageRole.USER, "c"))
    conversations.replace_from(SERVICE, None, said(talked, MessageRole.ASSISTANT, "d"))
    assert len(conversations.turns(SERVICE, conversation)) == 2
    WindowedMessageHistory(conversations, talked).clear()
    assert conversations.turns(SERVICE, conversation) == ()
    assert conversations.conversation(SERVICE, talked).messages == 0


def test_a_window_goes_on_with_each_answer(conversations: Conversations, database: Database) -> None:
    """An answer takes its place in the window without a new reading, and the window is what the disk says."""
    talked = talk(conversations, "a", "b")
    conversation = conversations.conversation(SERVICE, talked)
    conversations.turns(SERVICE, conversation)
    for number, state in enumerate((AnswerState.COMPLETE, AnswerState.FAILED, AnswerState.STOPPED)):
        conversations.add_question(SERVICE, said(talked, MessageRole.USER, f"q{number}"))
        answer = said(talked, MessageRole.ASSISTANT, f"a{number}" * MAX_TEXT_CHARACTERS, state=state)
        conversations.replace_from(SERVICE, None, answer, question=f"q{number}")
    turns = conversations.turns(SERVICE, conversation)
    assert [turn.question for turn in turns] == ["a", "q0", "q2"]
    assert turns == HistoryWindows(ChatStore(database)).turns(talked, conversation.history_turns)
    assert conversations.memory_report().loads == 1


def test_the_langchain_face_takes_questions_and_answers_only(conversations: Conversations) -> None:
    """A system message is refused and nothing of its batch is stored."""
    made = conversations.create(SERVICE)
    history = WindowedMessageHistory(conversations, made.id)
    with pytest.raises(BadInputError):
        history.add_messages([HumanMessage("q"), SystemMessage("s")])
    assert conversations.messages(SERVICE, made.id) == []
