"""The local GGUF model as LangChain chat model and as back end; imports LangChain, see `services.chat.models.local`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage, convert_to_openai_messages
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import ConfigDict

from services.chat.models.errors import explain_error
from services.chat.models.gguf_server import GGUFServer, display_address
from services.core.errors import MillpondError, UnavailableError
from services.core.i18n import _

CHAT_PATH = "/v1/chat/completions"


class GGUFChatModel(BaseChatModel):
    """LangChain's chat model over a model that is loaded in this process."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    server: GGUFServer
    max_tokens: int = 512
    temperature: float = 0.0  # deterministic

    @property
    def _llm_type(self) -> str:
        return "millpond-gguf"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, run_manager, **kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        import httpx

        with (
            httpx.Client(**self.server.client_options(stream=False)) as client,
            client.stream("POST", CHAT_PATH, json=self._request_body(messages, stop, kwargs)) as reply,
        ):
            if reply.status_code != 200:
                raise _HttpStatusError(reply.status_code, reply.read())
            for line in reply.iter_lines():
                chunk = _chunk(line)
                if chunk is not None:
                    if run_manager:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        import httpx

        async with (
            self.server.in_use(),
            httpx.AsyncClient(**self.server.client_options(stream=True)) as client,
            client.stream("POST", CHAT_PATH, json=self._request_body(messages, stop, kwargs)) as reply,
        ):
            if reply.status_code != 200:
                raise _HttpStatusError(reply.status_code, await reply.aread())
            async for line in reply.aiter_lines():
                chunk = _chunk(line)
                if chunk is not None:
                    if run_manager:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    def _request_body(
        self, messages: list[BaseMessage], stop: list[str] | None, extra: dict[str, Any]
    ) -> dict[str, Any]:
        return {
            "messages": convert_to_openai_messages(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
            # llama.cpp notices a closed connection when it writes, or after a second of inactivity. With this it
            # writes also while it processes the prompt.
            "return_progress": True,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "repeat_penalty": 1.05,  # without sampling a small model falls into loops
            **({"stop": stop} if stop else {}),
            **extra,
        }


@dataclass(frozen=True, slots=True)
class GGUFBackend:
    """The back end of a loaded model."""

    server: GGUFServer

    @property
    def label(self) -> str:
        return self.server.file.stem

    @property
    def address(self) -> str:
        return display_address(self.server.file)

    @property
    def context_tokens(self) -> int:
        return self.server.context_tokens

    def count(self, text: str) -> int:
        import httpx

        try:
            return self.server.count(text)
        except httpx.HTTPError as error:
            raise self.explain(error) from error

    @asynccontextmanager
    async def open_model(self, answer_tokens: int) -> AsyncIterator[BaseChatModel]:
        yield GGUFChatModel(server=self.server, max_tokens=answer_tokens)

    def explain(self, error: BaseException) -> MillpondError:
        return explain_error(error, server=_("The local model"), model=self.label)


class _HttpStatusError(Exception):
    """llama.cpp refused a request; for `explain_error`."""

    def __init__(self, status_code: int, body: bytes) -> None:
        super().__init__(body.decode("utf-8", "replace"))
        self.status_code = status_code


def _chunk(line: str) -> ChatGenerationChunk | None:
    """Return the chunk in a line of the event stream, None for lines without one."""
    if not line.startswith("data: ") or line == "data: [DONE]":
        return None
    event = json.loads(line.removeprefix("data: "))
    if "error" in event:
        raise UnavailableError(
            _("The local model failed while it was answering."), _("Ask again; if it fails again, choose another.")
        )
    text = "".join(choice["delta"].get("content") or "" for choice in event["choices"])
    usage = event.get("usage")
    counted = (
        UsageMetadata(
            input_tokens=usage["prompt_tokens"],
            output_tokens=usage["completion_tokens"],
            total_tokens=usage["total_tokens"],
        )
        if usage
        else None
    )
    return ChatGenerationChunk(message=AIMessageChunk(content=text, usage_metadata=counted))
