"""Back ends on a server: any that speaks OpenAI's protocol, and Ollama; their addresses and lists of models."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from services.chat.models.capabilities import CapabilityStore
from services.chat.models.errors import ServerError, explain_error, message_of, protocol_error, unsupported
from services.chat.options import DEFAULT_OPTIONS, AnswerOptions
from services.chat.prompt import estimate_tokens
from services.core.errors import BadInputError, MillpondError, TimedOutError
from services.core.i18n import _
from services.core.outgoing import USUAL_RULES, OutgoingRules

if TYPE_CHECKING:
    from services.chat.models.base import AnswerModel

OPENAI_CONTEXT_TOKENS = 8192  # the protocol does not report it; current models have at least this
# Requested explicitly: Ollama silently truncates the start of what exceeds its default.
OLLAMA_CONTEXT_TOKENS = 8192
PROBE_SECONDS = 2.0
PROBE_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class _ServerModel:
    """What both kinds of servers have in common: where the model is, what it is called."""

    url: str
    model: str

    @property
    def label(self) -> str:
        return self.model

    @property
    def address(self) -> str:
        return _("{model} at {server}").format(model=self.model, server=host_of(self.url))

    def count(self, text: str) -> int:
        return estimate_tokens(text)


@dataclass(frozen=True, slots=True)
class OpenAIBackend(_ServerModel):
    """A model on a server; `seconds` limits each wait for it, the caller limits the whole answer."""

    key: str = field(repr=False)
    capabilities: CapabilityStore = field(repr=False, compare=False)
    seconds: float = 120.0
    rules: OutgoingRules = field(default=USUAL_RULES, repr=False)

    @property
    def context_tokens(self) -> int:
        return OPENAI_CONTEXT_TOKENS

    def check(self, options: AnswerOptions) -> None:
        """Whether the server takes them is known once it was asked."""

    @asynccontextmanager
    async def open_model(
        self, answer_tokens: int, options: AnswerOptions = DEFAULT_OPTIONS
    ) -> AsyncIterator[AnswerModel]:
        import httpx

        from services.chat.models.openai_server import OpenAIChatModel
        from services.core.outgoing_transport import AsyncOutgoingTransport

        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        transport = AsyncOutgoingTransport(self.url, self.rules)
        async with httpx.AsyncClient(**client_options(self.seconds), transport=transport, headers=headers) as client:
            yield OpenAIChatModel(
                url=self.url,
                model=self.model,
                client=client,
                capabilities=self.capabilities,
                max_tokens=answer_tokens,
                options=options,
            )

    def explain(self, error: BaseException) -> MillpondError:
        return explain_error(error, server=host_of(self.url), model=self.model, secret=self.key)


def list_openai_models(url: str, key: str, rules: OutgoingRules = USUAL_RULES) -> list[str]:
    """Return the names of the models that a server with OpenAI's protocol offers.

    Raises:
        MillpondError: it cannot be reached, or does not list them.
    """
    reply = fetch_json(f"{url}/models", key=key, rules=rules)
    models = reply.get("data") if isinstance(reply, dict) else None
    if not isinstance(models, list):
        raise protocol_error(host_of(url))
    return sorted(str(model["id"]) for model in models if isinstance(model, dict) and "id" in model)


def normalized_url(url: str) -> str:
    """Return an address in normal form: scheme, host, port, path without a trailing slash.

    Raises:
        BadInputError: it is no http(s) address, or contains credentials, a query or a fragment.
    """
    hint = _("An address looks like http://127.0.0.1:8000/v1.")
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise BadInputError(_("This is not an address of a server."), hint) from error
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not host or any(c.isspace() or ord(c) < 32 for c in url.strip()):
        raise BadInputError(_("This is not an address of a server."), hint)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise BadInputError(
            _("The address contains more than a host and a path."),
            _("Enter the key in its own field, not in the address."),
        )
    host_of = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host_of}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def host_of(url: str) -> str:
    """Return host and port of an address, for display."""
    return urlsplit(url).netloc.rpartition("@")[2]


def client_options(seconds: float) -> dict[str, Any]:
    """Return the options of every HTTP client for a server; its transport is `outgoing_transport`'s."""
    return {
        "timeout": seconds,
        "follow_redirects": False,  # would send documents and keys to a host that nobody chose
    }


def fetch_json(url: str, *, key: str = "", seconds: float = PROBE_SECONDS, rules: OutgoingRules = USUAL_RULES) -> Any:
    """Return the JSON document at `url`.

    Raises:
        MillpondError: the server cannot be reached, refuses, is too slow, sends something else, or may not be asked.
    """
    import httpx

    from services.core.outgoing_transport import OutgoingTransport

    server = host_of(url)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    deadline = time.monotonic() + seconds
    received = bytearray()
    try:
        with (
            httpx.Client(
                **client_options(seconds), transport=OutgoingTransport(url, rules, seconds=2 * seconds)
            ) as client,
            client.stream("GET", url, headers=headers) as reply,
        ):
            for part in reply.iter_bytes():
                received += part
                if len(received) > PROBE_BYTES:
                    raise protocol_error(server)
                if time.monotonic() > deadline:
                    raise TimedOutError(
                        _("{server} did not answer in time.").format(server=server), _("Try again in a moment.")
                    )
        if reply.status_code != 200:
            cause = ServerError(_words(received), status=reply.status_code)
            raise explain_error(cause, server=server, model="", secret=key) from cause
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise explain_error(error, server=server, model="") from error
    try:
        return json.loads(received)
    except ValueError as error:
        raise protocol_error(server) from error


@dataclass(frozen=True, slots=True)
class OllamaBackend(_ServerModel):
    """A model on a server; `seconds` limits each wait for it, the caller limits the whole answer."""

    seconds: float = 120.0
    rules: OutgoingRules = field(default=USUAL_RULES, repr=False)

    @property
    def context_tokens(self) -> int:
        return OLLAMA_CONTEXT_TOKENS

    def check(self, options: AnswerOptions) -> None:
        """Refuse what Ollama has no way to do: it leaves the choice of a tool to the model."""
        if options.tools and options.tool_choice not in (None, "auto", "none"):
            raise unsupported("tool_choice", _("with Ollama the model decides whether it calls a tool."))

    @asynccontextmanager
    async def open_model(
        self, answer_tokens: int, options: AnswerOptions = DEFAULT_OPTIONS
    ) -> AsyncIterator[AnswerModel]:
        from langchain_ollama import ChatOllama

        from services.core.outgoing_transport import AsyncOutgoingTransport, OutgoingTransport

        # Without keep-alive nothing of the connection outlives the answer; the class has no way to close its client.
        model = ChatOllama(
            model=self.model,
            base_url=self.url,
            client_kwargs=client_options(self.seconds),
            sync_client_kwargs={"transport": OutgoingTransport(self.url, self.rules)},
            async_client_kwargs={"transport": AsyncOutgoingTransport(self.url, self.rules, keep_alive=False)},
        )
        yield model.bind(**self._call_options(answer_tokens, options))

    def _call_options(self, answer_tokens: int, options: AnswerOptions) -> dict[str, Any]:
        """Return what a call of the model gets beside the messages, in Ollama's words."""
        asked: dict[str, Any] = {
            "options": {
                "num_ctx": OLLAMA_CONTEXT_TOKENS,
                "num_predict": answer_tokens,
                "temperature": 0.2,
                **dict(options.sampling),
                **({"stop": list(options.stop)} if options.stop else {}),
            }
        }
        if options.response_format is not None:
            asked["format"] = response_schema(options.response_format)
        if options.tools and options.tool_choice != "none":
            asked["tools"] = list(options.tools)
        return asked

    def explain(self, error: BaseException) -> MillpondError:
        if "does not support tools" in str(error):
            return unsupported("tools", _("the model {model} has not learnt to call tools.").format(model=self.model))
        return explain_error(error, server=f"Ollama ({host_of(self.url)})", model=self.model)


def list_ollama_models(url: str, rules: OutgoingRules = USUAL_RULES) -> list[str]:
    """Return the names of the models that an Ollama server has.

    Raises:
        MillpondError: it cannot be reached, or does not list them.
    """
    reply = fetch_json(f"{url}/api/tags", rules=rules)
    models = reply.get("models") if isinstance(reply, dict) else None
    if not isinstance(models, list):
        raise protocol_error(host_of(url))
    return sorted(str(model["name"]) for model in models if isinstance(model, dict) and "name" in model)


def _words(received: bytes | bytearray) -> str:
    """Return the message in a reply that is no list of models, "" for a page."""
    try:
        return message_of(json.loads(received))
    except ValueError:
        return ""


def response_schema(response_format: Mapping[str, Any]) -> dict[str, Any] | str | None:
    """Return OpenAI's `response_format` in Ollama's words: a JSON schema, "json", or None for text."""
    schema = response_format.get("json_schema")
    if response_format.get("type") == "json_schema" and isinstance(schema, Mapping):
        return dict(schema.get("schema") or {}) or "json"
    return "json" if response_format.get("type") == "json_object" else None
