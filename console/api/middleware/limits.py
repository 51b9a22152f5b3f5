"""How much a request may carry.

Whether there is room in memory for a file that a browser tab hands in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.api.problems import error_response, problem_response
from services.app.container import Runtime
from services.core.admission import Admission, Gate
from services.core.errors import ErrorKind, UnavailableError
from services.core.i18n import _
from services.core.settings import MEGABYTE


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
            _("The request is larger than {limit} MB.").format(limit=self._limit // MEGABYTE),
            _("Send less at once; files go to /api/documents."),
            path=scope["path"],
            kind=ErrorKind.TOO_LARGE,
        )
        await response(scope, receive, send)


class UploadLimit:
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
            admission.check(Gate.UPLOADS)
            room = admission.reserve(min(size, self._limit), _("A new file"))
        except UnavailableError as error:
            await error_response(error, scope["path"])(scope, receive, send)
            return
        with room:
            await self._app(scope, receive, send)
