"""The protocol that chat back ends implement, and the stream of text from one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from services.chat.prompt import Prompt
from services.chat.types import MessageRole
from services.core.errors import MillpondError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of streamed text; the last one has the token counts, if the back end reports them."""

    text: str
    prompt_tokens: int | None = None
    answer_tokens: int | None = None


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

    def open_model(self, answer_tokens: int) -> AbstractAsyncContextManager[BaseChatModel]:
        """Return the LangChain model for one answer as a context; leaving it closes the connections."""

    def explain(self, error: BaseException) -> MillpondError:
        """Return the error with message and hint for `error`, which this back end raised."""


async def stream(backend: Backend, prompt: Prompt) -> AsyncGenerator[TextDelta]:
    """Yield the text that the model writes.

    Raises:
        MillpondError: the back end failed; exceptions of its client library are translated.
    """
    from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
    from langsmith.run_helpers import tracing_context

    messages: list[BaseMessage] = [SystemMessage(prompt.rules)]
    messages += [HumanMessage(text) if role is MessageRole.USER else AIMessage(text) for role, text in prompt.messages]
    try:
        # Tracing would send documents to a third party if its variables are set in the environment.
        with tracing_context(enabled=False):
            async with backend.open_model(prompt.answer_tokens) as model:
                async for chunk in model.astream(messages):
                    usage = getattr(chunk, "usage_metadata", None)
                    yield TextDelta(
                        str(chunk.text),
                        usage["input_tokens"] if usage else None,
                        usage["output_tokens"] if usage else None,
                    )
    except MillpondError:
        raise
    except Exception as error:
        raise backend.explain(error) from error
