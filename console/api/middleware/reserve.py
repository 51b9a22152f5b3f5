"""What is served over connections beyond the limit: health checks, metrics and administrators; all others wait."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from console.api.context import bearer_token
from console.api.middleware.headers import CloseConnections
from console.api.problems import problem_response
from services.core.errors import ErrorKind
from services.core.i18n import _

_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


class Reserve:
    """Lets only what an operator needs get to the application, refuses the rest with 503, and closes after each
    response."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        is_admin_token: Callable[[str], bool],
        base_path: str = "",
        on_refusal: Callable[[], object] = bool,
    ) -> None:
        """`on_refusal` is called for each request that was refused."""
        self._app = CloseConnections(app)
        self._is_admin_token = is_admin_token
        self._base_path = base_path
        self._on_refusal = on_refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].removeprefix(self._base_path) in _PATHS or self._is_admin_token(
            bearer_token(Headers(scope=scope))
        ):
            await self._app(scope, receive, send)
            return
        self._on_refusal()
        response = problem_response(
            503,
            _("Too many connections are open; nothing of this request was done."),
            _("Send it again in a moment."),
            kind=ErrorKind.UNAVAILABLE,
            path=scope["path"],
        )
        response.headers["Connection"] = "close"
        await response(scope, receive, send)
