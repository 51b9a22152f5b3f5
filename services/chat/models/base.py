"""The protocol that chat back ends implement, and the stream of text from one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from services.chat.models.chat_protocol import FINISH, LEFT_OUT, finish_reason
from services.chat.models.errors import BrokenOffError
from services.chat.options import DEFAULT_OPTIONS, AnswerOptions
from services.chat.prompt import Prompt
from services.chat.types import FinishReason, MessageRole, ToolCallPart
from services.core.errors import MillpondError

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage
    from langchain_core.runnables import Runnable

    AnswerModel: TypeAlias = Runnable[Any, AIMessage]


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of what a model streams; the last ones have the token counts, if the back end reports them, and the
    reason for the end.

    `left_out` names parameters that the back end does not take.
    """

    text: str
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    finish: FinishReason | None = None
    calls: tuple[ToolCallPart, ...] = ()
    left_out: tuple[str, ...] = ()


class Backend(Protocol):
    """A chat model. Its connections live as long as one `open_model` context."""

    @property
    def label(self) -> str:
        """The model's name, for display."""

    @property
    def address(self) -> str:
        """Model and server, for display and as the key of the back end's circuit breaker."""

    @property
    def context_tokens(self) -> int:
        """The size of the model's context: prompt and answer together."""

    def count(self, text: str) -> int:
        """Return the tokens of `text`, or a conservative estimate."""

    def check(self, options: AnswerOptions) -> None:
        """Check that the model can do what is asked.

        Raises:
            BadInputError: it cannot; the message names the parameter.
        """

    def open_model(
        self, answer_tokens: int, options: AnswerOptions = DEFAULT_OPTIONS
    ) -> AbstractAsyncContextManager[AnswerModel]:
        """Return the LangChain model for one answer as a context; leaving it closes the connections."""

    def explain(self, error: BaseException) -> MillpondError:
        """Return the error with message and hint for `error`, which this back end raised."""


async def stream(
    backend: Backend, prompt: Prompt, options: AnswerOptions = DEFAULT_OPTIONS
) -> AsyncGenerator[TextDelta]:
    """Yield what the model writes.

    Raises:
        MillpondError: the back end failed or broke off; exceptions of its client library are translated.
    """
    from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, convert_to_messages
    from langsmith.run_helpers import tracing_context

    messages: list[BaseMessage] = [SystemMessage(prompt.rules)]
    messages += [HumanMessage(text) if role is MessageRole.USER else AIMessage(text) for role, text in prompt.messages]
    messages += convert_to_messages([dict(message) for message in prompt.tail])
    ended = called = False
    try:
        # Tracing would send documents to a third party if its variables are set in the environment.
        with tracing_context(enabled=False):
            async with backend.open_model(prompt.answer_tokens, options) as model:
                async for chunk in model.astream(messages):
                    delta = _delta(chunk, called=called)
                    ended = ended or delta.finish is not None
                    called = called or bool(delta.calls)
                    yield delta
    except MillpondError:
        raise
    except Exception as error:
        raise backend.explain(error) from error
    if not ended:
        raise backend.explain(BrokenOffError())


def _delta(chunk: Any, *, called: bool) -> TextDelta:
    """Return the piece in a chunk of LangChain; `called`: there were calls of tools before it."""
    usage = getattr(chunk, "usage_metadata", None)
    metadata = getattr(chunk, "response_metadata", None) or {}
    calls = tuple(
        ToolCallPart(call.get("index") or 0, call.get("id") or "", call.get("name") or "", call.get("args") or "")
        for call in getattr(chunk, "tool_call_chunks", None) or ()
    )
    finish = finish_reason(metadata.get(FINISH) or metadata.get("done_reason") or ("stop" * bool(metadata.get("done"))))
    if finish is FinishReason.STOP and (called or calls):  # Ollama does not tell these ends apart
        finish = FinishReason.TOOL_CALLS
    return TextDelta(
        str(chunk.text),
        usage["input_tokens"] if usage else None,
        usage["output_tokens"] if usage else None,
        finish,
        calls,
        tuple(metadata.get(LEFT_OUT) or ()),
    )
