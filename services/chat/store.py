"""Tables of conversations and messages, and the statements over them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.chat.types import (
    AnswerCost,
    AnswerState,
    Citation,
    Conversation,
    FeedbackReason,
    FinishReason,
    Message,
    MessageRole,
)
from services.core.database import WHOLE, Database, metadata
from services.core.database.change_log import Topic, record
from services.core.kept_column import KeptText

Person = int | None
"""Whose a conversation is: the id of an account; None while there are none."""
_MOST_IDS = 500  # in one query

conversations = sa.Table(
    "conversations",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),  # seconds since 1970, UTC
    sa.Column("updated_at", sa.Float, nullable=False, index=True),
    sa.Column("history_turns", WHOLE, nullable=False),
    sa.Column("collection_ids", sa.JSON, nullable=False),
    # Whose it is; null: of the time before there were accounts.
    sa.Column("person_id", WHOLE, index=True),
)

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("conversation_id", sa.String(32), sa.ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("model", sa.Text, nullable=False, default=""),
    sa.Column("citations", sa.Text, nullable=False, default="[]"),  # JSON
    sa.Column("cost", sa.Text, nullable=False, default="{}"),  # JSON
    sa.Column("feedback", WHOLE, nullable=False, default=0),
    sa.Column("error", KeptText, nullable=False, default=""),
    sa.Column("hint", KeptText, nullable=False, default=""),
    sa.Column("finish_reason", sa.String(20), nullable=False, server_default=FinishReason.STOP.value),
    sa.Column("corrections", sa.Text, nullable=False, server_default="[]"),  # JSON
    # Why an answer was marked down, and what the person wrote about it.
    sa.Column("feedback_reason", sa.String(32), nullable=False, server_default=""),
    sa.Column("feedback_text", sa.Text, nullable=False, server_default=""),
    sa.Index("messages_of_conversation", "conversation_id", "id"),
    sqlite_autoincrement=True,  # ids of deleted messages are never used again
)


# Which answers quote a document or were written from it; `deleted`: the document is gone.
citations_of = sa.Table(
    "citations_of",
    metadata,
    sa.Column("document_id", WHOLE, primary_key=True),
    sa.Column("message_id", sa.ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True, index=True),
    sa.Column("deleted", sa.Boolean, nullable=False, default=False),
    # Where the document was when it was deleted; null: it is there, or nobody knows any more.
    sa.Column("collection_id", WHOLE),
)
_STORED_CITATIONS = (
    "INSERT OR IGNORE INTO citations_of(document_id, message_id, deleted)"
    " SELECT json_extract(citation.value, '$.document_id'), messages.id, 0"
    " FROM messages, json_each(messages.citations) AS citation"
    " WHERE messages.citations != '[]' AND json_valid(messages.citations)"
)


@sa.event.listens_for(citations_of, "after_create")
def _collect_citations(_target: sa.Table, connection: Connection, **_: object) -> None:
    """Fill the new table from the answers that versions before this one have stored."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_STORED_CITATIONS)


class ChatStore:
    """Reads and writes conversations and messages; every write is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a transaction for the methods that take a connection."""
        with self._database.write() as connection:
            yield connection

    @property
    def several_nodes(self) -> bool:
        """Whether other processes may change conversations, too."""
        return bool(self._database.node)

    def record_stop(self, conversation_id: str, person: Person) -> None:
        """Tell the other nodes that the answer in a conversation is to be stopped."""
        with self._database.write() as connection:
            record(self._database, connection, Topic.STOPS, [person, conversation_id])

    def insert_conversation(self, conversation: Conversation, person: Person) -> None:
        with self._database.write() as connection:
            connection.execute(
                conversations.insert().values(
                    id=conversation.id,
                    title=conversation.title,
                    created_at=conversation.created_at.timestamp(),
                    updated_at=conversation.updated_at.timestamp(),
                    history_turns=conversation.history_turns,
                    collection_ids=list(conversation.collection_ids),
                    person_id=person,
                )
            )

    def update_conversation(self, conversation_id: str, person: Person, **values: Any) -> bool:
        """Set columns; return whether the person has such a conversation."""
        with self._database.write() as connection:
            return (
                connection.execute(
                    conversations.update().where(*_own(conversation_id, person)).values(**values)
                ).rowcount
                > 0
            )

    def replace_title(self, connection: Connection, conversation_id: str, old: str, new: str) -> None:
        """Set the title of a conversation whose title is `old`."""
        connection.execute(
            conversations.update()
            .where(conversations.c.id == conversation_id, conversations.c.title == old)
            .values(title=new)
        )

    def delete_conversation(self, conversation_id: str, person: Person) -> bool:
        """Delete a conversation with its messages; return whether the person had it."""
        with self._database.write() as connection:
            own = sa.select(conversations.c.id).where(*_own(conversation_id, person)).scalar_subquery()
            connection.execute(messages.delete().where(messages.c.conversation_id == own))
            return connection.execute(conversations.delete().where(*_own(conversation_id, person))).rowcount > 0

    def delete_conversations_of(self, person_id: int) -> list[str]:
        """Delete all conversations of a person with their messages; return their ids."""
        with self._database.write() as connection:
            own = conversations.c.person_id == person_id
            ids = list(connection.scalars(sa.select(conversations.c.id).where(own)))
            inside = sa.select(conversations.c.id).where(own).scalar_subquery()
            connection.execute(messages.delete().where(messages.c.conversation_id.in_(inside)))
            connection.execute(conversations.delete().where(own))
            return ids

    def hand_over(self, person_id: int) -> int:
        """Give the conversations that nobody has to a person; return how many there were."""
        with self._database.write() as connection:
            nobodys = conversations.update().where(conversations.c.person_id.is_(None))
            return connection.execute(nobodys.values(person_id=person_id)).rowcount

    def conversation(self, conversation_id: str, person: Person) -> Conversation | None:
        with self._database.read() as connection:
            row = connection.execute(_with_counts().where(*_own(conversation_id, person))).first()
        return _conversation(row) if row else None

    def documents_quoted_to(self, person: Person) -> set[int]:
        """Return the documents that answers in a person's conversations were written from."""
        query = (
            sa.select(citations_of.c.document_id)
            .join(messages, messages.c.id == citations_of.c.message_id)
            .join(conversations, conversations.c.id == messages.c.conversation_id)
            .where(conversations.c.person_id.is_not_distinct_from(person))
            .distinct()
        )
        with self._database.read() as connection:
            return set(connection.scalars(query))

    def homes_of_deleted(self, document_ids: Collection[int]) -> dict[int, int]:
        """Return the collections in which those of these documents were that are deleted, as far as it is known."""
        found: dict[int, int] = {}
        wanted = sorted(document_ids)
        with self._database.read() as connection:
            for start in range(0, len(wanted), _MOST_IDS):
                query = sa.select(citations_of.c.document_id, citations_of.c.collection_id).where(
                    citations_of.c.document_id.in_(wanted[start : start + _MOST_IDS]),
                    citations_of.c.deleted,
                    citations_of.c.collection_id.is_not(None),
                )
                found.update((row[0], row[1]) for row in connection.execute(query.distinct()))
        return found

    def find_conversations(
        self, person: Person, query: str, limit: int, offset: int, withheld: Collection[int] = ()
    ) -> list[Conversation]:
        """Return a person's conversations whose title or messages contain `query` (any case), most recently active
        first; in answers that were written from one of the `withheld` documents nothing is found.
        """
        select = (
            _with_counts()
            .where(conversations.c.person_id.is_not_distinct_from(person))
            .order_by(conversations.c.updated_at.desc(), conversations.c.id)
        )
        if query:
            found = _containing(sa.select(messages.c.id), query, withheld)
            matching = found.where(messages.c.conversation_id == conversations.c.id).exists()
            select = select.where(sa.or_(conversations.c.title.icontains(query, autoescape=True), matching))
        with self._database.read() as connection:
            return [_conversation(row) for row in connection.execute(select.limit(limit).offset(offset))]

    def titled(self, person: Person, query: str, limit: int) -> list[Conversation]:
        """Return a person's conversations whose title contains `query` (any case), most recently active first."""
        select = (
            _with_counts()
            .where(
                conversations.c.person_id.is_not_distinct_from(person),
                conversations.c.title.icontains(query, autoescape=True),
            )
            .order_by(conversations.c.updated_at.desc(), conversations.c.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [_conversation(row) for row in connection.execute(select)]

    def matching_texts(
        self, conversation_ids: Collection[str], query: str, withheld: Collection[int]
    ) -> dict[str, str]:
        """Return the newest text with `query` of each conversation that has one, as `find_conversations` finds it."""
        newest = _containing(sa.select(sa.func.max(messages.c.id)), query, withheld)
        newest = newest.where(messages.c.conversation_id.in_(conversation_ids)).group_by(messages.c.conversation_id)
        texts = sa.select(messages.c.conversation_id, messages.c.text).where(messages.c.id.in_(newest))
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(texts)}

    def insert_message(self, connection: Connection, message: Message, person: Person) -> Message | None:
        """Add a message (its `id` is ignored) and touch its conversation; None if the person has it no more."""
        created_at = message.created_at.timestamp()
        touched = connection.execute(
            conversations.update().where(*_own(message.conversation_id, person)).values(updated_at=created_at)
        )
        if touched.rowcount == 0:
            return None
        added = connection.execute(
            messages.insert().values(
                conversation_id=message.conversation_id,
                role=message.role.value,
                text=message.text,
                created_at=created_at,
                state=message.state.value,
                model=message.model,
                citations=json.dumps([asdict(citation) for citation in message.citations], ensure_ascii=False),
                cost=json.dumps(asdict(message.cost)),
                feedback=message.feedback,
                error=message.error,
                hint=message.hint,
                finish_reason=message.finish_reason.value,
                corrections=json.dumps(message.corrections, ensure_ascii=False),
                feedback_reason=message.feedback_reason or "",
                feedback_text=message.feedback_text,
            )
        )
        key = added.inserted_primary_key
        assert key is not None  # noqa: S101 - every insert of one row has one
        documents = {citation.document_id for citation in message.citations}
        if documents:
            links = [{"document_id": document, "message_id": int(key[0])} for document in sorted(documents)]
            connection.execute(citations_of.insert(), links)
        return replace(message, id=int(key[0]))

    def delete_messages_from(self, connection: Connection, conversation_id: str, person: Person, first_id: int) -> None:
        """Delete the messages of a person's conversation from `first_id` on."""
        own = sa.select(conversations.c.id).where(*_own(conversation_id, person)).scalar_subquery()
        connection.execute(messages.delete().where(messages.c.conversation_id == own, messages.c.id >= first_id))

    def set_feedback(  # noqa: PLR0917 - all of one answer
        self, message_id: int, person: Person, value: int, reason: str, text: str, conversation_id: str = ""
    ) -> bool:
        """Set an answer's feedback; return whether there is such an answer in the person's conversations, or in that
        one of them.
        """
        own = sa.select(conversations.c.id).where(conversations.c.person_id.is_not_distinct_from(person))
        if conversation_id:
            own = own.where(conversations.c.id == conversation_id)
        with self._database.write() as connection:
            done = connection.execute(
                messages.update()
                .where(
                    messages.c.id == message_id,
                    messages.c.role == MessageRole.ASSISTANT.value,
                    messages.c.conversation_id.in_(own),
                )
                .values(feedback=value, feedback_reason=reason, feedback_text=text)
            )
            return done.rowcount > 0

    def newest_messages(self, conversation_id: str, limit: int, before: int | None = None) -> list[Message]:
        """Return the newest `limit` messages (with an id below `before`), oldest first."""
        select = messages.select().where(messages.c.conversation_id == conversation_id)
        if before is not None:
            select = select.where(messages.c.id < before)
        with self._database.read() as connection:
            rows = connection.execute(select.order_by(messages.c.id.desc()).limit(limit)).all()
        return [_message(row) for row in reversed(rows)]

    def iter_messages(self, conversation_id: str, batch: int = 200) -> Iterator[Message]:
        """Yield all messages, oldest first, `batch` in RAM at a time."""
        after = 0
        while True:
            select = (
                messages.select()
                .where(messages.c.conversation_id == conversation_id, messages.c.id > after)
                .order_by(messages.c.id)
                .limit(batch)
            )
            with self._database.read() as connection:
                rows = connection.execute(select).all()
            yield from (_message(row) for row in rows)
            if len(rows) < batch:
                return
            after = rows[-1].id


def _own(conversation_id: str, person: Person) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """Return the conditions for a conversation of a person."""
    return conversations.c.id == conversation_id, conversations.c.person_id.is_not_distinct_from(person)


def _containing(select: sa.Select[Any], query: str, withheld: Collection[int]) -> sa.Select[Any]:
    """Return a query over messages for those that contain a text and were not written from a withheld document."""
    found = select.where(messages.c.text.icontains(query, autoescape=True))
    if not withheld:
        return found
    hidden = sa.select(citations_of.c.message_id).where(citations_of.c.document_id.in_(withheld))
    return found.where(messages.c.id.not_in(hidden))


def _with_counts() -> sa.Select[Any]:
    count = (
        sa.select(sa.func.count(messages.c.id))
        .where(messages.c.conversation_id == conversations.c.id)
        .scalar_subquery()
        .label("messages")
    )
    return sa.select(conversations, count)


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _conversation(row: Any) -> Conversation:
    return Conversation(
        id=row.id,
        title=row.title,
        created_at=_utc(row.created_at),
        updated_at=_utc(row.updated_at),
        messages=row.messages,
        history_turns=row.history_turns,
        collection_ids=tuple(row.collection_ids),
    )


def _message(row: Any) -> Message:
    return Message(
        id=row.id,
        conversation_id=row.conversation_id,
        role=MessageRole(row.role),
        text=row.text,
        created_at=_utc(row.created_at),
        state=AnswerState(row.state),
        model=row.model,
        citations=_citations(json.loads(row.citations)),
        cost=AnswerCost(**json.loads(row.cost)),
        feedback=row.feedback,
        error=row.error,
        hint=row.hint,
        finish_reason=FinishReason(row.finish_reason),
        corrections=tuple((typed, read) for typed, read in json.loads(row.corrections)),
        feedback_reason=FeedbackReason(row.feedback_reason) if row.feedback_reason else None,
        feedback_text=row.feedback_text,
    )


def _citations(values: Sequence[dict[str, Any]]) -> tuple[Citation, ...]:
    return tuple(Citation(**{**value, "heading": tuple(value["heading"])}) for value in values)
