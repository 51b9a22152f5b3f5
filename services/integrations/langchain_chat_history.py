"""A conversation as LangChain's `BaseChatMessageHistory`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from services.chat.citations import sanitize
from services.chat.conversations import Conversations
from services.chat.types import Message, MessageRole
from services.core.errors import BadInputError
from services.core.i18n import _

_ROLES = {"human": MessageRole.USER, "ai": MessageRole.ASSISTANT}


class WindowedMessageHistory(BaseChatMessageHistory):
    """The history of one conversation: writes are stored, `messages` are those of the window of its last k turns."""

    def __init__(self, conversations: Conversations, conversation_id: str) -> None:
        self._conversations = conversations
        self._id = conversations.conversation(conversation_id).id

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]  # the base class has an attribute and recommends a property
        """The last k turns, oldest first."""
        turns = self._conversations.turns(self._conversations.conversation(self._id))
        return [message for turn in turns for message in (HumanMessage(turn.question), AIMessage(turn.answer))]

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Store messages of users and models.

        Raises:
            BadInputError: a message is of another kind; nothing was stored.
        """
        if any(message.type not in _ROLES for message in messages):
            raise BadInputError(
                _("A conversation consists of questions and answers."), _("Leave out system and tool messages.")
            )
        for message in messages:
            stored = Message(0, self._id, _ROLES[message.type], sanitize(str(message.text)), datetime.now(UTC))
            if stored.role is MessageRole.USER:
                self._conversations.add_question(stored)
            else:
                self._conversations.replace_from(None, stored)

    def clear(self) -> None:
        """Delete all messages of the conversation."""
        self._conversations.clear(self._id)
