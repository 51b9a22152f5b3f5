"""Addresses of model servers: checked, shown without secrets, asked for their models."""

from __future__ import annotations

import ipaddress
import json
import time
from typing import Any
from urllib.parse import urlsplit

from services.chat.models.trouble import explained, nonsense
from services.errors import BadInputError, TimedOutError
from services.texts import _

PROBE_SECONDS = 2.0
PROBE_BYTES = 2_000_000


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
