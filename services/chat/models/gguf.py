"""The local GGUF model: as LangChain chat model, as back end, and its life cycle in this process.

At most one is loaded: with the first question that needs it, until it has been idle or another one is chosen.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
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

from services.chat.models import gguf_server
from services.chat.models.errors import explain_error
from services.chat.models.gguf_server import GGUFServer, display_address
from services.chat.types import BackendChoice, BackendStatus
from services.core.admission import Admission
from services.core.errors import MillpondError, UnavailableError
from services.core.events import EventKind, EventSink
from services.core.i18n import _
from services.core.memory_report import MemoryReport
from services.core.settings import Settings

CHAT_PATH = "/v1/chat/completions"
# What a token of context takes at most in the models of a few hundred million parameters that fit this process.
_CONTEXT_TOKEN_BYTES = 24 * 1024


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


class LocalModel:
    """Loads and unloads the one local model. Thread-safe; `server` is None while none is loaded."""

    def __init__(self, settings: Settings, reporter: EventSink, admission: Admission, now: Callable[[], float]) -> None:
        """Load nothing yet. `now` returns seconds since the epoch: idle time is measured by it."""
        self._settings = settings
        self._reporter = reporter
        self._admission = admission
        self._now = now
        self._lock = threading.RLock()  # held while a model is loaded
        self.server: gguf_server.GGUFServer | None = None
        self._loads = 0
        self._used_at = 0.0
        self._loading = False
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether an answer uses the model or has reserved it."""
        server = self.server
        return server is not None and server.busy

    def acquire(self, path: str) -> gguf_server.GGUFServer:
        """Return the model in the file at `path`, loaded and reserved for an answer.

        Raises:
            MillpondError: there is no such model, or too little memory for it.
        """
        with self._lock:  # nobody may unload it before it is reserved
            server = self._loaded(path)
            server.reserve()
            self._used_at = self._now()
        return server

    def memory_report(self) -> MemoryReport | None:
        """Return the memory that the model takes, None while none is loaded."""
        server = self.server
        return server.memory_report(self._loads) if server is not None else None

    def status(self, choice: BackendChoice) -> BackendStatus:
        """Return whether the model of `choice` can answer.

        Raises:
            MillpondError: its file is not there, or no GGUF file.
        """
        if not gguf_server.is_installed():
            return BackendStatus(
                choice.kind,
                _("Local model"),
                "down",
                _("Local models need the extra that is called gguf."),
                _("Install it with: pip install 'millpond[gguf]', then start Millpond again."),
            )
        file = gguf_server.validate_file(choice.path)
        if self._loading:
            return BackendStatus(choice.kind, file.stem, "loading", _("The model is being loaded."))
        server = self.server
        loaded = server is not None and server.file == file
        message = _("The model is loaded.") if loaded else _("The model is loaded with the first question.")
        return BackendStatus(choice.kind, file.stem, "ready", message)

    def unload(self) -> bool:
        """Unload the model unless it is busy; the next question loads it again. Return whether it was unloaded.

        Its memory is free in the allocator then; a trim returns it to the system.
        """
        with self._lock:
            if self.server is None or self.server.busy:
                return False
            self.force_unload()
            return True

    def unload_idle(self) -> bool:
        """Unload the model if it was not used for `model_idle_minutes`; called periodically. Return whether it was."""
        minutes = self._settings.model_idle_minutes
        server = self.server
        if not minutes or server is None:
            return False
        if server.busy:
            self._used_at = self._now()
        return self._now() - self._used_at >= 60 * minutes and self.unload()

    def force_unload(self) -> None:
        """Unload the model, ending answers that use it."""
        with self._lock:
            server, self.server = self.server, None
            if server is not None:
                server.close()
                text = _("chat model unloaded: {name}").format(name=server.file.stem)
                self._reporter.event(EventKind.MODEL, text, unloaded=1)

    def close(self) -> None:
        """Unload the model; none is loaded after this."""
        self._closed = True
        self.force_unload()

    def _loaded(self, path: str) -> gguf_server.GGUFServer:
        file = gguf_server.validate_file(path)
        if self.server is not None and self.server.file == file:
            return self.server
        if self._closed:
            raise UnavailableError(_("Millpond is being closed."), _("Ask again when it has started."))
        self.force_unload()
        settings = self._settings
        needed = file.stat().st_size + settings.gguf_context_tokens * _CONTEXT_TOKEN_BYTES
        began = time.monotonic()
        with self._admission.reserve(needed, _("The local model")):
            self._loading = True
            try:
                server = gguf_server.GGUFServer(file, settings.gguf_context_tokens, settings.gguf_cache_precision)
            finally:
                self._loading = False
        self.server = server
        self._loads += 1
        self._reporter.event(
            EventKind.MODEL,
            _("chat model loaded: {name}").format(name=file.stem),
            seconds=time.monotonic() - began,
            bytes=server.memory_report(self._loads).bytes,
        )
        return server
