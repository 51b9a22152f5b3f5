"""Any server that speaks OpenAI's protocol, by URL, model and key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.chat.models.addresses import client_options, listed, shown
from services.chat.models.trouble import explained, nonsense
from services.chat.prompt import estimate_tokens
from services.errors import MillpondError
from services.texts import _

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

CONTEXT_TOKENS = 8192  # the protocol does not tell; what current models read at least


@dataclass(frozen=True, slots=True)
class OpenAIServer:
    """A back end. `seconds` bounds each wait for the server; a whole answer is bounded by its caller."""

    url: str
    model: str
    key: str = field(repr=False)
    seconds: float = 120.0

    @property
    def label(self) -> str:
        return self.model

    @property
    def address(self) -> str:
        return _("{model} at {server}").format(model=self.model, server=shown(self.url))

    @property
    def context_tokens(self) -> int:
        return CONTEXT_TOKENS

    def count(self, text: str) -> int:
        return estimate_tokens(text)

    @asynccontextmanager
    async def opened(self, answer_tokens: int) -> AsyncIterator[BaseChatModel]:
        from langchain_openai import ChatOpenAI
        from openai import DefaultAsyncHttpxClient

        async def key() -> str:
            return self.key or "none"  # the library insists on one; servers without keys ignore it

        # With a coroutine for the key only the asynchronous client is built.
        async with DefaultAsyncHttpxClient(**client_options(self.url, self.seconds)) as client:
            yield ChatOpenAI(
                model=self.model,
                base_url=self.url,
                api_key=key,
                http_async_client=client,
                max_completion_tokens=answer_tokens,
                max_retries=0,
                timeout=self.seconds,
                stream_usage=True,
                use_responses_api=False,
            )

    def explained(self, error: BaseException) -> MillpondError:
        return explained(error, server=shown(self.url), model=self.model, secret=self.key)


def models_at(url: str, key: str) -> list[str]:
    """Return the names of the models that a server offers.

    Raises:
        MillpondError: it does not tell.
    """
    reply = listed(f"{url}/models", key=key)
    models = reply.get("data") if isinstance(reply, dict) else None
    if not isinstance(models, list):
        raise nonsense(shown(url))
    return sorted(str(model["id"]) for model in models if isinstance(model, dict) and "id" in model)
