"""What every request passes on its way in and out: id, log line, host and origin checks, limits, headers.

Plain ASGI classes, because Starlette's BaseHTTPMiddleware would buffer streams and break cancellation.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.api.problems import problem_response
from services.errors import ErrorKind
from services.operations.logging import request_scope
from services.texts import _

log = structlog.get_logger(__name__)
access = structlog.get_logger("console.access")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NOISE = ("/static/", "/_stcore/", "/media/", "/component/", "/healthz", "/readyz", "/docs/assets/")

# Streamlit's frontend needs inline scripts and styles, eval (charts) and blobs (downloads). What matters here: nothing
# is ever loaded from or sent to another host, so a picture in a model's answer cannot carry a document's text away.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "media-src 'self' data: blob:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "frame-src 'self' blob: data:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
}


class RequestContext:
    """Gives each request an id (the client's own if it is harmless), logs it, and answers for defects."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
        started = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        with request_scope(request_id):
            try:
                await self._app(scope, receive, send_with_id)
            except Exception as error:
                log.exception("defect", path=scope["path"])
                if status:  # the answer is under way: all that can be done is to break it off
                    raise
                response = problem_response(
                    500,
                    _("Something went wrong on our side."),
                    _("The log has the details under the reference {reference}.").format(reference=request_id),
                    path=scope["path"],
                )
                await response(scope, receive, send_with_id)
                del error
            finally:
                noisy = scope["path"].startswith(_NOISE) and status < 500
                (access.debug if noisy else access.info)(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    ms=round((time.perf_counter() - started) * 1000, 1),
                )


class HostGuard:
    """Refuses requests that a foreign web page makes a browser send.

    There is no sign-in yet, so whoever can reach the address is let in. A page elsewhere must not reach it through the
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
        trouble = self._trouble(scope, headers)
        if trouble is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": trouble[1]})
        else:
            await problem_response(*trouble, path=scope["path"])(scope, receive, send)

    def _trouble(self, scope: Scope, headers: Headers) -> tuple[int, str, str] | None:
        host = headers.get("host", "")
        if not self._knows(host):
            log.warning("refused: unknown host", host=host[:100])
            return (
                421,
                _("This console is not known under the name in the address."),
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

    def _knows(self, host: str) -> bool:
        name = _host_name(host)
        return name in self._hosts or (self._any_address and _is_address(name))


class BodyLimit:
    """Refuses bodies over a limit, except where files are taken in: those paths count for themselves."""

    def __init__(self, app: ASGIApp, *, limit_bytes: int, exempt: Sequence[str]) -> None:
        self._app = app
        self._limit = limit_bytes
        self._exempt = tuple(exempt)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(self._exempt):
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > self._limit:
            await self._refuse(scope, receive, send)
            return
        taken = 0
        started = False

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            # For the application the client is gone; it gets its answer below.
            return message if taken <= self._limit else {"type": "http.disconnect"}

        async def unless_refused(message: Message) -> None:
            nonlocal started
            if taken <= self._limit or started:
                started = True
                await send(message)

        try:
            await self._app(scope, counted, unless_refused)
        except ClientDisconnect:
            if taken <= self._limit:
                raise
        if taken > self._limit and not started:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = problem_response(
            413,
            _("The request is larger than {limit} MB.").format(limit=self._limit // 2**20),
            _("Send less at once; files go to /api/documents."),
            path=scope["path"],
            kind=ErrorKind.TOO_LARGE,
        )
        await response(scope, receive, send)


class SecurityHeaders:
    """Adds the headers that keep browsers from doing more with an answer than they should."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _host_name(host: str) -> str:
    """Return the name in a Host header: no port, no brackets, lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().rstrip(".")


def _is_address(name: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
