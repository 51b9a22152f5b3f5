"""A model on a server with OpenAI's protocol as LangChain chat model; it finds out which parts of it the server takes.

Written over httpx: the `openai` library takes 30 MB, fails on replies that `chat_protocol` can read, and hides whether
a stream was complete.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import agenerate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage, convert_to_openai_messages
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import ConfigDict

from services.chat.models.capabilities import (
    NEW_LIMIT,
    OLD_LIMIT,
    STREAM,
    SYSTEM,
    USAGE,
    CapabilityStore,
    Negotiation,
)
from services.chat.models.chat_protocol import FINISH, LEFT_OUT, ReplyReader, read_reply
from services.chat.models.errors import ServerError
from services.chat.options import DEFAULT_OPTIONS, FORM, SAMPLING, AnswerOptions
from services.chat.prompt import estimate_tokens
from services.chat.types import FinishReason


class OpenAIChatModel(BaseChatModel):
    """One answer of a model on a server; `client` is closed by whoever made it."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    url: str
    model: str
    client: httpx.AsyncClient
    capabilities: CapabilityStore
    max_tokens: int = 512
    options: AnswerOptions = DEFAULT_OPTIONS

    @property
    def _llm_type(self) -> str:
        return "millpond-openai"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise NotImplementedError("its connection is asynchronous: use `ainvoke` or `astream`")

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop, run_manager, **kwargs))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        """Stream the answer; before its first piece a refused request is repeated without what the server minds.

        Raises:
            BadInputError: the server does not take what gives the answer its form.
            ServerError: it refuses the request for another reason, or failed.
        """
        negotiation = Negotiation(self.capabilities, self.url, self.model)
        while True:
            begun = False
            body, sent = self._request(messages, stop, kwargs, negotiation.refused)
            try:
                async for chunk in self._exchange(body, negotiation.refused, sent):
                    begun = True
                    if run_manager:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
            except ServerError as error:
                if begun or not negotiation.continue_after(error, sent):
                    raise (error if begun else negotiation.first_error or error) from None
            else:
                return

    async def _exchange(
        self, body: dict[str, Any], refused: frozenset[str], sent: frozenset[str]
    ) -> AsyncIterator[ChatGenerationChunk]:
        reader = ReplyReader()
        # A server that takes no limit writes on; what a client has asked for is kept all the same.
        limit = self.options.max_tokens if {NEW_LIMIT, OLD_LIMIT} <= refused else None
        written = ""
        left_out = [name for name, _value in self.options.sampling if name in refused]
        begun = False
        async with self.client.stream("POST", f"{self.url}/chat/completions", json=body) as response:
            async for chunk in read_reply(response, reader):
                if not begun:
                    begun = True
                    learnt = refused | ({STREAM} if reader.whole and STREAM in sent else set())
                    self.capabilities.learn(self.url, self.model, learnt)
                    chunk.message.response_metadata[LEFT_OUT] = left_out
                yield chunk
                written += chunk.text
                if limit is not None and estimate_tokens(written) > limit:
                    yield ChatGenerationChunk(
                        message=AIMessageChunk(content=""), generation_info={FINISH: FinishReason.LENGTH.value}
                    )
                    return

    def _request(
        self, messages: list[BaseMessage], stop: list[str] | None, extra: dict[str, Any], refused: frozenset[str]
    ) -> tuple[dict[str, Any], frozenset[str]]:
        """Return a request's body without the refused parts, and the parts that it has."""
        found = convert_to_openai_messages(messages)
        listed = found if isinstance(found, list) else [found]
        options, sent = self.options, set()
        if SYSTEM in refused:
            listed = _without_system(listed)
        elif any(message["role"] == "system" for message in listed):
            sent.add(SYSTEM)
        body: dict[str, Any] = {"model": self.model, "messages": listed}
        if STREAM not in refused:
            body["stream"] = True
            if USAGE not in refused:
                body[USAGE] = {"include_usage": True}
        limit = next((name for name in (NEW_LIMIT, OLD_LIMIT) if name not in refused), None)
        if limit:
            body[limit] = self.max_tokens
        body |= {name: value for name, value in options.sampling if name not in refused}
        stops = [*options.stop, *(stop or ())]
        if stops and "stop" not in refused:  # the answer is cut by ourselves otherwise
            body["stop"] = stops
        form = {"response_format": options.response_format, "tools": options.tools, "tool_choice": options.tool_choice}
        body |= {name: value for name, value in form.items() if value}
        if options.tools and options.parallel_tool_calls is not None and "parallel_tool_calls" not in refused:
            body["parallel_tool_calls"] = options.parallel_tool_calls
        body |= extra
        optional = {STREAM, USAGE, NEW_LIMIT, OLD_LIMIT, *SAMPLING, *FORM, "stop", "parallel_tool_calls"}
        return body, frozenset(sent | (body.keys() & optional))


def _without_system(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return messages with the system's rules at the beginning of the first of the user's."""
    rules = "\n\n".join(str(message["content"]) for message in messages if message["role"] == "system")
    rest = [dict(message) for message in messages if message["role"] != "system"]
    for message in rest:
        if message["role"] == "user":
            message["content"] = f"{rules}\n\n{message['content']}"
            break
    return rest
