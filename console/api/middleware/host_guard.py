"""Checks of Host and Origin, against requests that foreign web pages make browsers send."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from console.api.problems import problem_response
from services.core.i18n import _

log = structlog.get_logger(__name__)


class HostGuard:
    """Refuses requests from foreign web pages.

    Without sign-in, whoever can reach the address may use it. A page elsewhere must not reach it through the
    visitor's browser: neither under a name of its own that it points at this machine (DNS rebinding: the Host header
    gives it away), nor by a form or script that posts across origins (Origin and Sec-Fetch-Site give it away).
    """

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str] = (), any_address: bool = False) -> None:
        self._app = app
        self._hosts = {"localhost", "127.0.0.1", "::1", *(host.lower().strip("[]") for host in hosts)}
        self._any_address = any_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})
        else:
            await problem_response(*refusal, path=scope["path"])(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str, str] | None:
        host = headers.get("host", "")
        if not self._is_known(host) and not (_is_check(scope) and "host" not in headers):
            log.warning("refused: unknown host", host=host[:100])
            return (
                421,
                _("This console is not known under the host name in the address."),
                _("Use localhost or the address it printed at its start, or add the name to MILLPOND_ALLOWED_HOSTS."),
            )
        websocket = scope["type"] == "websocket"
        if not websocket and scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            return None
        site = headers.get("sec-fetch-site", "")
        origin = headers.get("origin", "")
        foreign_origin = bool(origin) and origin.partition("://")[2].lower() != host.lower()
        if foreign_origin or (site and site not in {"same-origin", "none"}):
            log.warning("refused: foreign origin", origin=origin[:100], site=site[:20])
            return (
                403,
                _("A page of another site tried to use this console; nothing was changed."),
                _("Use the console's own pages, or a program outside of the browser."),
            )
        return None

    def _is_known(self, host: str) -> bool:
        name = host_name(host)
        return name in self._hosts or (self._any_address and _is_address(name))


def _is_check(scope: Scope) -> bool:
    """Return whether it asks for health, as load balancers do by HTTP/1.0; browsers never leave out the host."""
    return scope["type"] == "http" and scope["method"] in {"GET", "HEAD"} and scope["path"] in {"/healthz", "/readyz"}


def host_name(host: str) -> str:
    """Return the name in a Host header: no port, no brackets, lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
