"""Any server that speaks OpenAI's protocol, by URL, model and key.

Addresses of model servers: checked, shown without secrets, asked for their models.

Ollama, found on its usual port.
"""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from services.chat.models.errors import explained, nonsense
from services.chat.prompt import estimate_tokens
from services.core.errors import BadInputError, MillpondError, TimedOutError
from services.core.i18n import _

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

OPENAI_CONTEXT_TOKENS = 8192  # the protocol does not tell; what current models read at least
PROBE_SECONDS = 2.0
PROBE_BYTES = 2_000_000
OLLAMA_CONTEXT_TOKENS = (
    8192  # asked for explicitly: Ollama silently cuts the beginning of what is longer than its default
)


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
        return OPENAI_CONTEXT_TOKENS

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


def openai_models(url: str, key: str) -> list[str]:
    """Return the names of the models that a server offers.

    Raises:
        MillpondError: it does not tell.
    """
    reply = listed(f"{url}/models", key=key)
    models = reply.get("data") if isinstance(reply, dict) else None
    if not isinstance(models, list):
        raise nonsense(shown(url))
    return sorted(str(model["id"]) for model in models if isinstance(model, dict) and "id" in model)


def checked(url: str) -> str:
    """Return an address in one form: scheme, host, port, path without a slash at its end.

    Raises:
        BadInputError: it is no http(s) address, or carries a name and password.
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
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def shown(url: str) -> str:
    """Return host and port of an address, for messages."""
    return urlsplit(url).netloc.rpartition("@")[2]


def is_loopback(url: str) -> bool:
    """Return whether the server is on this machine; such a request never goes through a proxy."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def client_options(url: str, seconds: float) -> dict[str, Any]:
    """Return the options that every HTTP client for `url` gets (of httpx and httpx2 alike)."""
    return {
        # A context with all authorities takes 20 ms and 1 MB to build; http has no use for it.
        "verify": url.startswith("https:"),
        "trust_env": not is_loopback(url),
        "timeout": seconds,
        "follow_redirects": False,  # would carry documents and keys to a host that nobody chose
    }


def listed(url: str, *, key: str = "", seconds: float = PROBE_SECONDS) -> Any:
    """Return the JSON that a server gives at `url`.

    Raises:
        MillpondError: it cannot be reached, refuses, is slow or sends something else.
    """
    import httpx

    server = shown(url)
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
                    raise nonsense(server)
                if time.monotonic() > deadline:
                    raise TimedOutError(
                        _("{server} did not answer in time.").format(server=server), _("Try again in a moment.")
                    )
        if reply.status_code != 200:
            raise explained(_Refused(reply.status_code), server=server, model="")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise explained(error, server=server, model="") from error
    try:
        return json.loads(received)
    except ValueError as error:
        raise nonsense(server) from error


class _Refused(Exception):  # noqa: N818 - carries a status to the table of explanations
    """A reply with another status than 200."""

    def __init__(self, status_code: int) -> None:
        super().__init__("path not found" if status_code == 404 else "")
        self.status_code = status_code


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
        return OLLAMA_CONTEXT_TOKENS

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
            num_ctx=OLLAMA_CONTEXT_TOKENS,
            num_predict=answer_tokens,
            temperature=0.2,
            client_kwargs={**client_options(self.url, self.seconds), "limits": limits},
        )

    def explained(self, error: BaseException) -> MillpondError:
        return explained(error, server=f"Ollama ({shown(self.url)})", model=self.model)


def ollama_models(url: str) -> list[str]:
    """Return the names of the models that are there.

    Raises:
        MillpondError: Ollama does not tell.
    """
    reply = listed(f"{url}/api/tags")
    models = reply.get("models") if isinstance(reply, dict) else None
    if not isinstance(models, list):
        raise nonsense(shown(url))
    return sorted(str(model["name"]) for model in models if isinstance(model, dict) and "name" in model)
