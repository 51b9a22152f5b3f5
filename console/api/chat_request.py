"""The body of a chat completion in OpenAI's protocol: what of it is done, what is refused by name, what is left out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from console.api.inputs import MAX_ID, Id, JsonBody, Whole
from services.chat.models.errors import unsupported
from services.chat.options import SAMPLING, AnswerOptions
from services.chat.types import MessageRole
from services.core.errors import BadInputError
from services.core.i18n import _

# They say something about the request and not about the answer.
_HARMLESS = {
    "metadata", "store", "service_tier", "prompt_cache_key", "prompt_cache_retention", "safety_identifier"
}  # fmt: skip
Penalty = Annotated[float, Field(ge=-2, le=2)]
_FORMATS = {"text", "json_object", "json_schema"}


def _allow_nulls(schema: dict[str, Any]) -> None:
    """Describe each field that may be left out as one that may be null."""
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        choices = field.get("anyOf", [])
        if name not in required and {"type": "null"} not in choices:
            words = {word: field.pop(word) for word in ("title", "description", "default") if word in field}
            alone = choices or [dict(field)]
            field.clear()
            field |= {"anyOf": [*alone, {"type": "null"}], **words}


class _Body(JsonBody):
    """A body in which null is the same as a field that is left out, as clients of the protocol expect."""

    model_config = ConfigDict(json_schema_extra=_allow_nulls)

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, value: Any) -> Any:
        return {name: each for name, each in value.items() if each is not None} if isinstance(value, dict) else value


class TextPart(_Body):
    """A part of a message's content; only text is supported."""

    type: str
    text: str = ""


class ChatMessageIn(_Body):
    """One message of the conversation so far."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[TextPart] | None = None
    tool_calls: list[dict[str, Any]] = Field(default_factory=list, max_length=128)
    tool_call_id: str = Field("", max_length=200)

    def text(self) -> str:
        """Return the content as one text.

        Raises:
            BadInputError: there are parts that are not text.
        """
        if isinstance(self.content, list):
            others = [part.type for part in self.content if part.type not in {"text", "input_text", "output_text"}]
            if others:
                raise unsupported(
                    others[0], _("a message has content that is not text. Hand a file in as a document instead.")
                )
            return "\n".join(part.text for part in self.content)
        return self.content or ""

    def as_protocol(self) -> dict[str, Any]:
        """Return the message for the chat model: a call of tools, or what a tool returned."""
        if self.role == "tool":
            return {"role": "tool", "content": self.text(), "tool_call_id": self.tool_call_id}
        return {"role": "assistant", "content": self.text(), "tool_calls": self.tool_calls}


class StreamOptions(_Body):
    """Options of streaming."""

    include_usage: bool = False


class ChatIn(_Body):
    """A question. What the connected chat model can do is passed on to it; what nobody can do is refused by name."""

    model_config = ConfigDict(extra="allow")

    messages: list[ChatMessageIn] = Field(min_length=1, max_length=1000)
    model: str = ""
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str = Field("", max_length=200, description="User who asks, for the limits")
    n: Whole = 1
    stop: str | list[str] | None = Field(
        None, description="The answer ends before the first of these texts, 16 at most"
    )
    max_tokens: int | None = Field(None, ge=1, le=MAX_ID)
    max_completion_tokens: int | None = Field(None, ge=1, le=MAX_ID, description="Most tokens of the answer")
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    seed: Whole | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    response_format: dict[str, Any] | None = Field(None, description="json_object or json_schema; needs a chat model")
    tools: list[dict[str, Any]] | None = Field(None, max_length=128, description="Needs a chat model that calls tools")
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    collections: list[Id] = Field(default_factory=list, description="Ids of the collections to ask; empty: all")

    def conversation(self) -> list[tuple[MessageRole, str]]:
        """Return the turns, the question last.

        Raises:
            BadInputError: the last message is neither a question nor the result of a tool for one.
        """
        at = self._question_at()
        roles = {"user": MessageRole.USER, "assistant": MessageRole.ASSISTANT}
        turns = [(message.role, message.text(), message.tool_calls) for message in self.messages[: at + 1]]
        return [(roles[role], text) for role, text, calls in turns if role in roles and (text or not calls)]

    def options(self) -> AnswerOptions:
        """Return what is asked beside the question.

        Raises:
            BadInputError: it is something that is not done; the message names the parameter.
        """
        self._refuse()
        behind = [
            message for message in self.messages[self._question_at() + 1 :] if message.role in {"assistant", "tool"}
        ]
        rules = [message.text() for message in self.messages if message.role in {"system", "developer"}]
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        return AnswerOptions(
            instructions="\n\n".join(rules),
            max_tokens=self.max_completion_tokens or self.max_tokens,
            stop=tuple(word for word in stop if word),
            sampling=tuple((name, getattr(self, name)) for name in SAMPLING if getattr(self, name) is not None),
            response_format=None if (self.response_format or {}).get("type") == "text" else self.response_format,
            tools=tuple(self.tools or ()),
            tool_choice=self.tool_choice if self.tools else None,
            parallel_tool_calls=self.parallel_tool_calls,
            tail=tuple(message.as_protocol() for message in behind),
        )

    def left_out(self, *, by_model: bool) -> tuple[str, ...]:
        """Return the parameters that had no effect; `by_model`: a chat model has written the answer."""
        unknown = [name[:100] for name in self.model_extra or {} if name not in _HARMLESS]
        sampling = () if by_model else (name for name in SAMPLING if getattr(self, name) is not None)
        return (*sorted(unknown)[:50], *sampling)

    def _question_at(self) -> int:
        """Return the position of the question: the user's last message, with no other than calls of tools behind it."""
        positions = [at for at, message in enumerate(self.messages) if message.role == "user"]
        at = positions[-1] if positions else len(self.messages)
        behind = [message for message in self.messages[at + 1 :] if message.role in {"assistant", "tool", "function"}]
        if not positions or (behind and behind[-1].role != "tool"):
            raise BadInputError(_("The last message is not a question."), _("End `messages` with one of role `user`."))
        return at

    def _refuse(self) -> None:
        """Raise for what would change the answer and is not done."""
        extra = self.model_extra or {}
        if self.n != 1:
            raise unsupported("n", _("there is one answer to each question."))
        for name in ("logprobs", "top_logprobs", "logit_bias"):
            if extra.get(name):
                raise unsupported(name, _("probabilities of words are not offered."))
        if extra.get("audio") or extra.get("modalities") not in (None, ["text"]):
            raise unsupported("audio" if extra.get("audio") else "modalities", _("answers are text."))
        if extra.get("functions"):
            raise unsupported("functions", _("functions have become tools in this protocol; send `tools`."))
        if extra.get("web_search_options"):
            raise unsupported("web_search_options", _("only the documents are searched."))
        if self.response_format is not None and self.response_format.get("type") not in _FORMATS:
            raise unsupported("response_format", _("its type is text, json_object or json_schema."))
        if isinstance(self.stop, list) and len(self.stop) > 16:
            raise unsupported("stop", _("there are at most 16 texts to stop at."))
