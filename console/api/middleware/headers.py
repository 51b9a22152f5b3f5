"""Headers of every response: browser security, what caches may keep, closing of connections before a restart."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.core.networks import parsed_address

# Streamlit's frontend needs inline scripts and styles, eval (charts) and blobs (downloads). Nothing is loaded from or
# sent to another host, so that an image in a model's answer cannot leak a document's text.
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
# Under /media lie pictures of documents' pages and files to download, under /_stcore what a tab exchanges.
_CONTENT = ("/api", "/v1", "/metrics", "/healthz", "/readyz", "/openapi.json", "/docs", "/mcp", "/media/", "/_stcore/")
_PROGRAM = ("/docs/assets/",)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
}


_RAW = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
_NO_STORE = (b"cache-control", b"no-store")
_CLOSE = (b"connection", b"close")
# For this host name alone. Not sent where TLS is a proxy's: whether all of its site has it is not known here.
TRANSPORT_SECURITY = "max-age=31536000"
_STRICT = (b"strict-transport-security", TRANSPORT_SECURITY.encode())


class ResponseHeaders:
    """Adds what every response has: the security headers, what caches may keep, and the end of the connection.

    What people have stored here stays out of every cache, the browser's, too: texts, answers, pictures, figures. What
    comes with the program (scripts, styles, fonts) stays cacheable, and the frame of the pages, which says nothing,
    keeps Streamlit's header.
    """

    def __init__(self, app: ASGIApp, *, tls: bool = False, closing: Callable[[], bool] = lambda: False) -> None:
        """`tls`: this server has TLS, so that browsers shall never again try without. While `closing()` clients are
        told to open a new connection, so that none is cut in the middle of a request."""
        self._app = app
        self._tls = tls
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        uncached = holds_content(scope["path"])
        secure = self._tls and scope["scheme"] == "https" and not _is_loopback(Headers(scope=scope).get("host", ""))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                raw = list(message.get("headers", ()))
                given = {name.lower() for name, _value in raw}
                raw += [pair for pair in _RAW if pair[0] not in given]
                if secure and _STRICT[0] not in given:
                    raw.append(_STRICT)
                if uncached and not any(_keeps_out(name, value) for name, value in raw):
                    raw = [pair for pair in raw if pair[0].lower() != _NO_STORE[0]]
                    raw.append(_NO_STORE)
                if self._closing():
                    raw = [pair for pair in raw if pair[0].lower() != _CLOSE[0]]
                    raw.append(_CLOSE)
                message = {**message, "headers": raw}
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _keeps_out(name: bytes, value: bytes) -> bool:
    return name.lower() == b"cache-control" and b"no-store" in value


def _is_loopback(host: str) -> bool:
    """Return whether a Host header names this machine: a browser would then refuse every program there without TLS."""
    name = host.lower() if host.startswith("[") else host.lower().partition(":")[0]
    return name.endswith("localhost") or (
        (address := parsed_address(name.partition("]")[0])) is not None and (address.is_loopback)
    )


def holds_content(path: str) -> bool:
    """Return whether a path leads to what is stored or measured here, not to a part of the program."""
    return path.startswith(_CONTENT) and not path.startswith(_PROGRAM)


class CloseConnections:
    """Adds "Connection: close" to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_close(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, receive, send_with_close)
