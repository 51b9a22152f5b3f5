"""What a back end has to offer to the rest of the room."""

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
    """A piece of streamed text; the token counts come with the last one, where the back end tells them."""

    text: str
    prompt_tokens: int | None = None
    answer_tokens: int | None = None


class Backend(Protocol):
    """A chat model that can be asked. Its connections live as long as one `opened` context."""

    @property
    def label(self) -> str:
        """The model's name, for people."""

    @property
    def address(self) -> str:
        """Model and server in one, for people and for telling back ends apart."""

    @property
    def context_tokens(self) -> int:
        """How much the model reads and writes at once."""

    def count(self, text: str) -> int:
        """Return the tokens of `text`, or a cautious estimate."""

    def opened(self, answer_tokens: int) -> AbstractAsyncContextManager[BaseChatModel]:
        """Return the LangChain model for one answer; leaving the context closes its connections."""

    def explained(self, error: BaseException) -> MillpondError:
        """Return what a person can do about `error`, which this back end has raised."""


async def stream(backend: Backend, prompt: Prompt) -> AsyncGenerator[TextDelta]:
    """Yield what the model writes.

    Raises:
        MillpondError: the back end failed, whatever it was that its client library raised.
    """
    from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
    from langsmith.run_helpers import tracing_context

    messages: list[BaseMessage] = [SystemMessage(prompt.rules)]
    messages += [HumanMessage(text) if role is MessageRole.USER else AIMessage(text) for role, text in prompt.messages]
    try:
        # Tracing would send documents to a third party if its variables happen to be set in the environment.
        with tracing_context(enabled=False):
            async with backend.opened(prompt.answer_tokens) as model:
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
        raise backend.explained(error) from error
