from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from services.chat.conversations import Conversations
from services.chat.store import citations_of, messages
from services.chat.types import Citation, FeedbackReason, Message, MessageRole
from services.core.actor import SERVICE
from services.core.database import Database
from services.core.document_quotes import Quoted


def said(conversation_id: str, role: MessageRole, text: str, citations: tuple[Citation, ...] = ()) -> Message:
    return Message(0, conversation_id, role, text, datetime.now(UTC), citations=citations)


def quote(document_id: int, name: str = "plan.txt") -> Citation:
    return Citation(1, 11, document_id, name, heading=(f"heading in {name}",), quote="the words of the plan")


def answered(conversations: Conversations, *citations: Citation) -> str:
    name = conversations.create(SERVICE).id
    conversations.add_question(SERVICE, said(name, MessageRole.USER, "What does it say?"))
    answer = said(name, MessageRole.ASSISTANT, "It says: the words of the plan.", citations)
    conversations.replace_from(SERVICE, None, answer, question="What does it say?")
    return name


def test_answers_that_quote_a_document_are_counted(conversations: Conversations) -> None:
    """What stays after a deletion is said before it."""
    first = answered(conversations, quote(1), quote(2))
    answered(conversations, quote(1), quote(1))
    answered(conversations)
    assert conversations.quotes.count([1]) == Quoted(2, 2)
    assert conversations.quotes.count([2, 3]) == Quoted(1, 1)
    assert conversations.quotes.count([]) == Quoted()
    conversations.delete(SERVICE, first)
    assert conversations.quotes.count([1, 2]) == Quoted(1, 1)


def test_quotes_of_a_deleted_document_are_named_as_such(conversations: Conversations) -> None:
    """A quote must not look as if the document could still be opened."""
    name = answered(conversations, quote(1), quote(2))
    conversations.quotes.mark_deleted([1])
    _question, answer = conversations.messages(SERVICE, name)
    assert [citation.deleted for citation in answer.citations] == [True, False]
    assert answer.citations[0].quote == "the words of the plan"
    assert "deleted since" in conversations.export(SERVICE, name)
    assert conversations.quotes.of_deleted(SERVICE) == Quoted(1, 1)


def test_erased_answers_keep_nothing_of_the_document(conversations: Conversations, database: Database) -> None:
    """Words, names and headings are gone; the question and what other documents said stay."""
    name = answered(conversations, quote(1, "secret plan.txt"), quote(2, "other.txt"))
    other = answered(conversations, quote(2))
    answer = conversations.messages(SERVICE, name)[1]
    conversations.feedback(SERVICE, answer.id, -1, FeedbackReason.WRONG, "The secret plan says otherwise.")
    assert conversations.quotes.erase([1]) == Quoted(1, 1)
    question, answer = conversations.messages(SERVICE, name)
    assert question.text == "What does it say?"
    assert "erased" in answer.text
    stored = answer.citations[0]
    assert (stored.document, stored.quote, stored.heading, stored.deleted) == ("a deleted document", "", (), True)
    assert answer.citations[1].document == "other.txt"
    assert not any(
        "words of the plan" in turn.answer
        for turn in conversations.turns(SERVICE, conversations.conversation(SERVICE, name))
    )
    assert conversations.messages(SERVICE, other)[1].text == "It says: the words of the plan."
    assert (answer.feedback, answer.feedback_reason, answer.feedback_text) == (-1, FeedbackReason.WRONG, "")
    with database.read() as connection:
        row = connection.execute(sa.select(messages).where(messages.c.id == answer.id)).one()
    assert "secret" not in json.dumps([str(value) for value in row])
    assert conversations.quotes.count([1]) == Quoted()


def test_quotes_of_documents_that_went_unmarked_are_found(conversations: Conversations) -> None:
    """A process that was killed, or an answer that was being written meanwhile, leaves quotes unmarked."""
    answered(conversations, quote(1))
    answered(conversations, quote(2))
    conversations.quotes.mark_missing({1}.intersection)
    assert conversations.quotes.of_deleted(SERVICE) == Quoted(1, 1)
    assert conversations.quotes.erase_deleted(SERVICE) == Quoted(1, 1)
    assert conversations.quotes.of_deleted(SERVICE) == Quoted()
    assert conversations.quotes.count([1]) == Quoted(1, 1)


def test_answers_of_versions_before_are_known(conversations: Conversations, database: Database) -> None:
    """Their citations are collected when the table is made."""
    if database.path is None:
        pytest.skip("versions before knew SQLite alone")
    answered(conversations, quote(1), quote(2))
    with database.write() as connection:
        citations_of.drop(connection)
        connection.execute(messages.update().where(messages.c.role == "user").values(citations="not JSON"))
    database.create_tables()
    assert conversations.quotes.count([1]) == conversations.quotes.count([2]) == Quoted(1, 1)
