"""Answers that were interrupted because their process ended: marked in the place of the answer, so that it can be asked
again. The mark goes when the question is answered after all.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.chat.conversation_locks import ConversationLock
from services.chat.store import conversations, messages
from services.chat.types import AnswerState, MessageRole
from services.core.database import Database
from services.core.i18n import _
from services.core.kept_text import kept


def mark_interrupted(connection: Connection, claimed: Sequence[ConversationLock]) -> int:
    """Mark the questions without an answer in conversations that a node had claimed; return how many there were."""
    found = 0
    for lock in claimed:
        own = sa.and_(
            conversations.c.id == lock.conversation_id,
            conversations.c.person_id.is_not_distinct_from(lock.person_id),
        )
        found += _mark(connection, own)
    return found


def mark_all_interrupted(database: Database) -> int:
    """Mark all questions without an answer, for a process that is alone and has just started; return how many."""
    with database.read() as connection:
        if not _unanswered(connection, sa.true()):
            return 0
    with database.write() as connection:
        return _mark(connection, sa.true())


def prepare_answer(connection: Connection, conversation_id: str, last: int) -> bool:
    """Delete the marks after the message `last`, which an answer is to follow or replace.

    Returns whether it may: False where that message is gone, or something else was written after it meanwhile.
    """
    query = sa.select(messages.c.id, _is_mark()).where(
        messages.c.conversation_id == conversation_id, messages.c.id >= last
    )
    rows = {int(row[0]): bool(row[1]) for row in connection.execute(query)}
    marks = [number for number, is_mark in rows.items() if is_mark and number != last]
    if last not in rows or len(rows) > len(marks) + 1:
        return False
    if marks:
        connection.execute(messages.delete().where(messages.c.id.in_(marks)))
    return True


def _mark(connection: Connection, where: sa.ColumnElement[bool]) -> int:
    unanswered = _unanswered(connection, where)
    if unanswered:
        mark = {
            "role": MessageRole.ASSISTANT.value,
            "text": "",
            "created_at": time.time(),
            "state": AnswerState.FAILED.value,
            "error": _interrupted(),
            "hint": _("Ask again."),
        }
        connection.execute(messages.insert(), [{"conversation_id": each, **mark} for each in unanswered])
    return len(unanswered)


def _unanswered(connection: Connection, where: sa.ColumnElement[bool]) -> list[str]:
    """Return the conversations that end with a question."""
    said = messages.alias()
    last = sa.select(sa.func.max(said.c.id)).where(said.c.conversation_id == conversations.c.id).scalar_subquery()
    both = conversations.join(messages, messages.c.id == last)
    query = sa.select(conversations.c.id).select_from(both)
    return list(connection.scalars(query.where(messages.c.role == MessageRole.USER.value, where)))


def _is_mark() -> sa.ColumnElement[bool]:
    return sa.and_(
        messages.c.state == AnswerState.FAILED.value,
        sa.type_coerce(messages.c.error, sa.Text) == kept(_interrupted()),
    )


def _interrupted() -> str:
    return _("This answer was interrupted: the process that was writing it ended, or the database was away.")
