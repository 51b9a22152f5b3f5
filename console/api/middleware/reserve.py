"""What is served over connections beyond the limit: health checks, metrics and administrators; all others wait."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.api.problems import problem_response
from services.core.errors import ErrorKind
from services.core.i18n import _

_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


class Reserve:
    """Lets only what an operator needs get to the application, refuses the rest with 503, and closes after each
    response."""

    def __init__(
        self, app: ASGIApp, *, admin_token: str = "", base_path: str = "", on_refusal: Callable[[], object] = bool
    ) -> None:
        """`on_refusal` is called for each request that was refused. Without `admin_token` there are no administrators
        that can be told from others."""
        self._app = app
        self._token = admin_token.encode()
        self._base_path = base_path
        self._on_refusal = on_refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_close(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        if scope["path"].removeprefix(self._base_path) in _PATHS or self._is_administrator(scope):
            await self._app(scope, receive, send_close)
            return
        self._on_refusal()
        response = problem_response(
            503,
            _("Too many connections are open; nothing of this request was done."),
            _("Send it again in a moment."),
            kind=ErrorKind.UNAVAILABLE,
            path=scope["path"],
        )
        await response(scope, receive, send_close)

    def _is_administrator(self, scope: Scope) -> bool:
        scheme, _space, token = Headers(scope=scope).get("authorization", "").partition(" ")
        given = token.strip().encode("utf-8", "surrogateescape")
        return bool(self._token) and scheme.lower() == "bearer" and hmac.compare_digest(given, self._token)
