"""The local GGUF model as LangChain chat model and as back end; imports LangChain, see `services.chat.models.local`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import BaseMessage, convert_to_openai_messages
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import ConfigDict

from services.chat.models.chat_protocol import ReplyReader, read_reply, status_error
from services.chat.models.errors import explain_error, unsupported
from services.chat.models.gguf_server import GGUFServer, display_address
from services.chat.options import DEFAULT_OPTIONS, AnswerOptions
from services.core.errors import MillpondError
from services.core.i18n import _

if TYPE_CHECKING:
    from services.chat.models.base import AnswerModel

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
                raise status_error(reply, reply.read())
            reader = ReplyReader()
            for part in reply.iter_bytes():
                yield from _noted(reader.feed(part), run_manager)
            yield from _noted(reader.end(), run_manager)

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
            async for chunk in read_reply(reply, ReplyReader()):
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


def _noted(
    chunks: Iterator[ChatGenerationChunk], run_manager: CallbackManagerForLLMRun | None
) -> Iterator[ChatGenerationChunk]:
    for chunk in chunks:
        if run_manager:
            run_manager.on_llm_new_token(chunk.text, chunk=chunk)
        yield chunk


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

    def check(self, options: AnswerOptions) -> None:
        """Refuse tools that the model would not see, and the order to call one, which llama.cpp does not enforce."""
        if (options.tools or options.tail) and not self.server.takes_tools:
            raise unsupported("tools", _("the local model has not learnt to call tools."))
        if options.tools and options.tool_choice not in (None, "auto", "none"):
            raise unsupported("tool_choice", _("the local model decides by itself whether it calls a tool."))

    @asynccontextmanager
    async def open_model(
        self, answer_tokens: int, options: AnswerOptions = DEFAULT_OPTIONS
    ) -> AsyncIterator[AnswerModel]:
        model = GGUFChatModel(server=self.server, max_tokens=answer_tokens)
        asked: dict[str, Any] = dict(options.sampling)
        if options.stop:
            asked["stop"] = list(options.stop)
        if options.response_format is not None:
            asked["response_format"] = options.response_format
        if options.tools:
            asked |= {"tools": list(options.tools), "tool_choice": options.tool_choice or "auto"}
        yield model.bind(**asked)

    def explain(self, error: BaseException) -> MillpondError:
        return explain_error(error, server=_("The local model"), model=self.label)
