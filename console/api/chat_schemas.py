"""Requests and answers of OpenAI's chat protocol, as far as Millpond speaks it.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from console.api.schemas import Id
from services.chat.types import Role
from services.errors import BadInputError
from services.texts import _


class TextPart(BaseModel):
    """A piece of a message's content; pictures and sounds are not understood."""

    type: str
    text: str = ""


class ChatMessageIn(BaseModel):
    """One message of the conversation so far."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[TextPart] | None = None

    def text(self) -> str:
        """Return the content as one text.

        Raises:
            BadInputError: there are parts that are not text.
        """
        if isinstance(self.content, list):
            if any(part.type != "text" for part in self.content):
                raise BadInputError(
                    _("A message has content that is not text."), _("Send text, or hand the file in as a document.")
                )
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class StreamOptions(BaseModel):
    """How to stream."""

    include_usage: bool = False


class ChatIn(BaseModel):
    """A question. Sampling parameters are accepted and ignored: the chat model is set up in the console."""

    model_config = ConfigDict(extra="ignore")

    messages: list[ChatMessageIn] = Field(min_length=1, max_length=1000)
    model: str = ""
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str = Field("", max_length=200, description="Whose question it is, for the limits")
    n: int = 1
    tools: list[Any] | None = None
    collections: list[Id] = Field(default_factory=list, description="Ids of the collections to ask; empty: all")

    def conversation(self) -> list[tuple[Role, str]]:
        """Return the turns, the question last. Instructions of the client are left out: the prompt is ours.

        Raises:
            BadInputError: the last message is not a question, or something is asked for that is not offered.
        """
        if self.n != 1:
            raise BadInputError(_("There is one answer to each question."), _("Leave out `n`."))
        if self.tools:
            raise BadInputError(_("Tools are not offered."), _("Leave out `tools`."))
        roles = {"user": Role.USER, "assistant": Role.ASSISTANT}
        turns = [(roles[message.role], message.text()) for message in self.messages if message.role in roles]
        if not turns or turns[-1][0] is not Role.USER:
            raise BadInputError(_("The last message is not a question."), _("End `messages` with one of role `user`."))
        return turns
