"""Ollama, found on its usual port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.chat.models.addresses import client_options, listed, shown
from services.chat.models.trouble import explained, nonsense
from services.chat.prompt import estimate_tokens
from services.errors import MillpondError
from services.texts import _

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

CONTEXT_TOKENS = 8192  # asked for explicitly: Ollama silently cuts the beginning of what is longer than its default


@dataclass(frozen=True, slots=True)
class Ollama:
    """A back end. `seconds` bounds each wait for the server; a whole answer is bounded by its caller."""

    url: str
    model: str
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
        import httpx
        from langchain_ollama import ChatOllama

        # Without keep-alive nothing of the connection outlives the answer; the class has no way to close its client.
        limits = httpx.Limits(max_keepalive_connections=0)
        yield ChatOllama(
            model=self.model,
            base_url=self.url,
            num_ctx=CONTEXT_TOKENS,
            num_predict=answer_tokens,
            temperature=0.2,
            client_kwargs={**client_options(self.url, self.seconds), "limits": limits},
        )

    def explained(self, error: BaseException) -> MillpondError:
        return explained(error, server=f"Ollama ({shown(self.url)})", model=self.model)


def models_at(url: str) -> list[str]:
    """Return the names of the models that are there.

    Raises:
        MillpondError: Ollama does not tell.
    """
    reply = listed(f"{url}/api/tags")
    models = reply.get("models") if isinstance(reply, dict) else None
    if not isinstance(models, list):
        raise nonsense(shown(url))
    return sorted(str(model["name"]) for model in models if isinstance(model, dict) and "name" in model)
