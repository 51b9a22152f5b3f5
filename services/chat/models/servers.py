"""Back ends on a server: any that speaks OpenAI's protocol, and Ollama; their addresses and lists of models."""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from services.chat.models.errors import explain_error, protocol_error
from services.chat.prompt import estimate_tokens
from services.core.errors import BadInputError, MillpondError, TimedOutError
from services.core.i18n import _

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

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
    seconds: float = 120.0

    @property
    def context_tokens(self) -> int:
        return OPENAI_CONTEXT_TOKENS

    @asynccontextmanager
    async def open_model(self, answer_tokens: int) -> AsyncIterator[BaseChatModel]:
        from langchain_openai import ChatOpenAI
        from openai import DefaultAsyncHttpxClient

        async def key() -> str:
            return self.key or "none"  # the library requires one; servers without keys ignore it

        # With a coroutine as key the library builds only the asynchronous client.
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

    def explain(self, error: BaseException) -> MillpondError:
        return explain_error(error, server=host_of(self.url), model=self.model, secret=self.key)


def list_openai_models(url: str, key: str) -> list[str]:
    """Return the names of the models that a server with OpenAI's protocol offers.

    Raises:
        MillpondError: it cannot be reached, or does not list them.
    """
    reply = fetch_json(f"{url}/models", key=key)
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


def is_loopback(url: str) -> bool:
    """Return whether the server is on this machine; requests to it never use a proxy."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def client_options(url: str, seconds: float) -> dict[str, Any]:
    """Return the options of every HTTP client for `url` (httpx and httpx2 alike)."""
    return {
        # A TLS context takes 20 ms and 1 MB to build; plain HTTP needs none.
        "verify": url.startswith("https:"),
        "trust_env": not is_loopback(url),
        "timeout": seconds,
        "follow_redirects": False,  # would send documents and keys to a host that nobody chose
    }


def fetch_json(url: str, *, key: str = "", seconds: float = PROBE_SECONDS) -> Any:
    """Return the JSON document at `url`.

    Raises:
        MillpondError: the server cannot be reached, refuses, is too slow, or sends something else.
    """
    import httpx

    server = host_of(url)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    deadline = time.monotonic() + seconds
    received = bytearray()
    try:
        with (
            httpx.Client(**client_options(url, seconds)) as client,
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
            raise explain_error(_HttpStatusError(reply.status_code), server=server, model="")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise explain_error(error, server=server, model="") from error
    try:
        return json.loads(received)
    except ValueError as error:
        raise protocol_error(server) from error


class _HttpStatusError(Exception):
    """A reply with another status than 200, for `explain_error`."""

    def __init__(self, status_code: int) -> None:
        super().__init__("path not found" if status_code == 404 else "")
        self.status_code = status_code


@dataclass(frozen=True, slots=True)
class OllamaBackend(_ServerModel):
    """A model on a server; `seconds` limits each wait for it, the caller limits the whole answer."""

    seconds: float = 120.0

    @property
    def context_tokens(self) -> int:
        return OLLAMA_CONTEXT_TOKENS

    @asynccontextmanager
    async def open_model(self, answer_tokens: int) -> AsyncIterator[BaseChatModel]:
        import httpx
        from langchain_ollama import ChatOllama

        # Without keep-alive nothing of the connection outlives the answer; the class has no way to close its client.
        limits = httpx.Limits(max_keepalive_connections=0)
        yield ChatOllama(
            model=self.model,
            base_url=self.url,
            num_ctx=OLLAMA_CONTEXT_TOKENS,
            num_predict=answer_tokens,
            temperature=0.2,
            client_kwargs={**client_options(self.url, self.seconds), "limits": limits},
        )

    def explain(self, error: BaseException) -> MillpondError:
        return explain_error(error, server=f"Ollama ({host_of(self.url)})", model=self.model)


def list_ollama_models(url: str) -> list[str]:
    """Return the names of the models that an Ollama server has.

    Raises:
        MillpondError: it cannot be reached, or does not list them.
    """
    reply = fetch_json(f"{url}/api/tags")
    models = reply.get("models") if isinstance(reply, dict) else None
    if not isinstance(models, list):
        raise protocol_error(host_of(url))
    return sorted(str(model["name"]) for model in models if isinstance(model, dict) and "name" in model)
