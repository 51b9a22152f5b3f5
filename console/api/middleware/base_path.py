"""Where the console lies: under a path of its own behind a reverse proxy, and nowhere else.

Streamlit answers every unknown address with its page. A program that asks for the API under a wrong path must not take
that for an answer.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.api.problems import problem_response
from services.core.errors import ErrorKind
from services.core.i18n import _

# First segments of the paths of the API; further on in a path they are meant for it and do not reach it.
_API = frozenset({"api", "v1", "mcp", "metrics", "healthz", "readyz", "openapi.json"})
_IMPOSSIBLE = frozenset("\n\\\0")  # in a path of the API
# What Streamlit and the pages serve from folders: their files may be called anything.
_FOLDERS = frozenset({"static", "assets", "media", "component", "_stcore", "app", "docs", *_API})


class BasePath:
    """Takes the path under which a proxy publishes the console off each address, and puts it before redirections.

    Addresses without it are served, too: a proxy may have taken it off already, and checks of this machine have no
    proxy.
    """

    def __init__(self, app: ASGIApp, *, path: str) -> None:
        """`path` begins with a slash and does not end with one, or is empty."""
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"} or not self._path:
            await self._app(scope, receive, send)
            return
        if scope["path"] == self._path and scope["type"] == "http":  # relative addresses need the slash
            query = scope.get("query_string", b"").decode("latin-1")
            target = f"{self._path}/?{query}" if query else f"{self._path}/"
            await RedirectResponse(target, status_code=308)(scope, receive, send)
            return
        if scope["path"].startswith(f"{self._path}/"):
            raw = scope.get("raw_path") or b""
            scope = {
                **scope,
                "path": scope["path"].removeprefix(self._path),
                "raw_path": raw.removeprefix(self._path.encode()),
            }

        host = Headers(scope=scope).get("host", "")

        async def send_redirected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if target := headers.get("location", ""):
                    headers["location"] = self._under_path(target, host)
            await send(message)

        await self._app(scope, receive, send_redirected)

    def _under_path(self, target: str, host: str) -> str:
        """Return the target of a redirection, with the path before it if it is an absolute one of the console's."""
        parts = urlsplit(target)
        if parts.netloc not in {"", host} or not parts.path.startswith("/") or parts.path.startswith(f"{self._path}/"):
            return target
        return parts._replace(path=self._path + parts.path).geturl()


class UnknownApiPath:
    """Answers addresses that are meant for the API, but under a path at which it is not, with 404."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_misplaced(scope["path"]):
            await self._app(scope, receive, send)
            return
        response = problem_response(
            404,
            _("There is nothing at {path}; the API begins at /api and /v1.").format(path=scope["path"][:200]),
            _("If a reverse proxy publishes the console under a path of its own, set MILLPOND_BASE_PATH to it."),
            kind=ErrorKind.NOT_FOUND,
            path=scope["path"],
        )
        await response(scope, receive, send)


def is_misplaced(path: str) -> bool:
    """Return whether a path has a segment of the API's behind its first one, or is none that a route can have."""
    first, *others = path.strip("/").split("/")
    if first in _API:
        # No route has them, and Streamlit would answer in its own form.
        return ".." in others or not _IMPOSSIBLE.isdisjoint(path)
    return first not in _FOLDERS and not _API.isdisjoint(others)
