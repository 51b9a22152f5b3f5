"""Who the client is and whether it came by https: what a named proxy says of it, else the connection itself.

The first middleware of all: limits, tokens, cancellation, logs, WebSockets and pages take `scope["client"]` and
`scope["scheme"]` from here. Nothing behind it sees the headers in which proxies say this.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from console.api.middleware.node_requests import node_token
from console.api.problems import problem_response
from services.core.errors import ErrorKind
from services.core.i18n import _
from services.core.networks import Address, Network, parsed_address, parsed_networks, within

log = structlog.get_logger(__name__)

# In the scope: whether the client speaks to this server without a proxy in between, as far as can be seen.
DIRECT = "millpond.direct"
_MOST_HOPS = 32
_HEALTH = frozenset({"/healthz", "/readyz"})  # load balancers ask directly, and learn the status alone
_FORWARDED = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-forwarded-scheme",
        b"x-forwarded-server",
        b"x-forwarded-ssl",
        b"x-real-ip",
    }
)
_PORT_LENGTH = 5


class Forwarded:
    """Believes named proxies, nobody else."""

    def __init__(self, app: ASGIApp, *, proxies: str, proxies_only: bool = False) -> None:
        """`proxies`: their addresses and networks, separated by commas. `proxies_only`: besides them, this machine and
        other nodes nobody may come; without TLS here, whoever goes past the proxy would send tokens in plain text. A
        node's token is worth nothing to who reads it: it is for one request, and `Authentication` takes nothing else
        from who has sent one."""
        self._app = app
        self._proxies = parsed_networks(proxies)
        self._proxies_only = proxies_only
        self._unnamed_seen = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        said = any(name in _FORWARDED for name, _value in scope["headers"])
        if not said and not self._proxies_only:
            scope[DIRECT] = True
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        peer = parsed_address(client[0]) if client else None
        if self._proxies_only and not self._may_come(peer) and scope["path"] not in _HEALTH and not node_token(scope):
            await _refuse(scope, receive, send)
            return
        if not said:
            scope[DIRECT] = True
            await self._app(scope, receive, send)
            return
        plain = [(name, value) for name, value in scope["headers"] if name not in _FORWARDED]
        found = {**scope, "headers": plain, DIRECT: False}
        if peer is not None and within(peer, self._proxies):
            headers = Headers(scope=scope)
            hop = client_of_hops(headers.getlist("x-forwarded-for"), self._proxies)
            if hop.address is not None:
                found["client"] = (str(hop.address), 0)
            if scheme := _scheme(headers.getlist("x-forwarded-proto"), hop.trusted):
                found["scheme"] = scheme.replace("http", "ws") if scope["type"] == "websocket" else scheme
        elif not self._unnamed_seen:
            self._unnamed_seen = True
            log.warning(
                "X-Forwarded headers of a peer that trusted_proxies does not name are ignored",
                peer=str(client[0]) if client else "",
            )
        await self._app(found, receive, send)

    def _may_come(self, peer: Address | None) -> bool:
        return peer is not None and (peer.is_loopback or within(peer, self._proxies))


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    detail = _("This port is for the reverse proxy alone: there is no TLS here.")
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": detail})
        return
    hint = _("Use the address of the proxy. If this is it, name it in MILLPOND_TRUSTED_PROXIES.")
    await problem_response(403, detail, hint, kind=ErrorKind.FORBIDDEN, path=scope["path"])(scope, receive, send)


@dataclass(frozen=True, slots=True)
class Hop:
    """Where a request came from: the address, None if the proxies do not say; behind so many further named proxies."""

    address: Address | None
    trusted: int


def client_of_hops(headers: list[str], proxies: tuple[Network, ...]) -> Hop:
    """Return the last address in `X-Forwarded-For` that is no named proxy: each proxy adds the one it sees at the end.

    Whatever stands before it comes from the client and may be invented.
    """
    address: Address | None = None
    hops = [entry for header in headers for entry in header.split(",")][-_MOST_HOPS:]
    for trusted, entry in enumerate(reversed(hops)):
        found = parsed_address(_without_port(entry.strip()))
        if found is None:
            return Hop(address, trusted)  # "unknown": not further than this
        address = found
        if not within(found, proxies):
            return Hop(address, trusted)
    return Hop(address, max(0, len(hops) - 1))


def _without_port(entry: str) -> str:
    """Return an entry without the port that some proxies add: `10.0.0.1:5000`, `[2001:db8::1]:5000`."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    host, colon, port = entry.rpartition(":")
    return host if colon and ":" not in host and port.isdigit() and len(port) <= _PORT_LENGTH else entry


def _scheme(headers: list[str], trusted: int) -> str:
    """Return "http" or "https" as the proxy next to the client says it, "" if none does."""
    said = [entry.strip().lower() for header in headers for entry in header.split(",")]
    if not said:
        return ""
    scheme = said[-1 - min(trusted, len(said) - 1)]
    return scheme if scheme in {"http", "https"} else ""
