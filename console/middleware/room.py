"""Whether there is room in memory for a file that a browser tab hands in."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from console.api.problems import error_response
from services.admission import Admission, Door
from services.errors import UnavailableError
from services.runtime import Runtime
from services.texts import _


class UploadRoom:
    """Refuses a tab's file with 503 before it is read, where it would not fit into the memory budget.

    Streamlit holds such a file in RAM as a whole until the page has taken it, unlike the API, which writes it to disk
    as it comes. A body that does not say its length counts as one of `limit_bytes`.
    """

    def __init__(
        self, app: ASGIApp, *, path: str, limit_bytes: int, runtime: Callable[[], Runtime | None] = lambda: None
    ) -> None:
        self._app = app
        self._path = path
        self._limit = limit_bytes
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        runtime = self._runtime()
        if runtime is None or scope["type"] != "http" or scope["method"] != "PUT":
            await self._app(scope, receive, send)
        elif scope["path"].startswith(self._path):
            await self._with_room(runtime.admission, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _with_room(self, admission: Admission, scope: Scope, receive: Receive, send: Send) -> None:
        declared = Headers(scope=scope).get("content-length", "")
        size = int(declared) if declared.isdecimal() else self._limit
        try:
            admission.check(Door.UPLOADS)
            room = admission.reserve(min(size, self._limit), _("A new file"))
        except UnavailableError as error:
            await error_response(error, scope["path"])(scope, receive, send)
            return
        with room:
            await self._app(scope, receive, send)
