"""What becomes of a question before it is answered: checked, stored, put behind the turns before it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from services.chat.draft import Task
from services.chat.history import CHARACTERS, Turn
from services.chat.types import Message, Role
from services.chat.wording import is_blank, storable
from services.errors import BadInputError, TooLargeError
from services.texts import _, plural


def checked(question: str, limit: int) -> str:
    """Return a question of at most `limit` characters as it can be stored and asked.

    Raises:
        BadInputError, TooLargeError: it is empty or too long.
    """
    if len(question) > limit:
        raise TooLargeError(
            _("The question has {count} characters; at most {limit} are accepted.").format(
                count=len(question), limit=limit
            ),
            _("Shorten it, or add the text as a document and ask about it."),
        )
    if is_blank(question):
        raise BadInputError(_("The question is empty."), _("Enter a question."))
    return storable(question).strip()


def detail(task: Task) -> str:
    """Return what others may know of a question: not its words."""
    return plural("question of {count} character", "question of {count} characters", len(task.question))


def asked_now(conversation_id: str, question: str) -> Message:
    """Return the message that a question is stored as."""
    return Message(0, conversation_id, Role.USER, question, datetime.now(UTC))


def turns_of(messages: Sequence[tuple[Role, str]]) -> list[Turn]:
    """Return the turns of a conversation that a client has sent; questions without an answer are left out."""
    turns: list[Turn] = []
    question = ""
    for role, text in messages:
        if role is Role.USER:
            question = text
        elif question:
            turns.append(Turn(storable(question)[:CHARACTERS], storable(text)[:CHARACTERS]))
            question = ""
    return turns
