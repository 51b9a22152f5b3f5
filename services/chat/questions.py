"""What a question has to be, how it is listed among the running requests, and how it is stored."""

from __future__ import annotations

from datetime import UTC, datetime

from services.chat.citations import sanitize
from services.chat.types import Message, MessageRole
from services.core.errors import BadInputError, TooLargeError
from services.core.i18n import _, plural


def checked_question(question: str, limit: int) -> str:
    """Return a question of at most `limit` characters, stripped and without what no database stores.

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
    if not any(map(str.isalnum, question)):  # there would be nothing to look for
        raise BadInputError(_("The question is empty."), _("Enter a question."))
    return sanitize(question).strip()


def describe_question(question: str) -> str:
    """Return what the list of running requests shows of a question: not its words."""
    return plural("question of {count} character", "question of {count} characters", len(question))


def question_message(conversation_id: str, question: str) -> Message:
    """Return a question as a message of a conversation, not stored yet."""
    return Message(0, conversation_id, MessageRole.USER, question, datetime.now(UTC))
