"""Limits of request bodies: a fixed one for most, and the memory budget for files uploaded through pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.api.problems import error_response, problem_response
from services.app.container import Foundation
from services.core.admission import Admission, Gate
from services.core.errors import ErrorKind, UnavailableError
from services.core.i18n import _
from services.core.machine import MEGABYTE


class BodyLimit:
    """Refuses bodies over a limit, except on the paths of uploads, which have limits of their own."""

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
        received = 0
        started = False

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            # The application sees a client that is gone; the response is sent below.
            return message if received <= self._limit else {"type": "http.disconnect"}

        async def send_unless_refused(message: Message) -> None:
            nonlocal started
            if received <= self._limit or started:
                started = True
                await send(message)

        try:
            await self._app(scope, receive_counted, send_unless_refused)
        except ClientDisconnect:
            if received <= self._limit:
                raise
        if received > self._limit and not started:
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
    """Refuses a file uploaded through a page with 503 before it is read, if it would not fit into the memory budget.

    Streamlit holds such a file in RAM as a whole until the page has stored it, unlike the API, which writes it to disk
    as it arrives. A body without a length counts as one of `limit_bytes`.
    """

    def __init__(
        self, app: ASGIApp, *, path: str, limit_bytes: int, foundation: Callable[[], Foundation | None] = lambda: None
    ) -> None:
        self._app = app
        self._path = path
        self._limit = limit_bytes
        self._foundation = foundation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        foundation = self._foundation()
        if foundation is None or scope["type"] != "http" or scope["method"] != "PUT":
            await self._app(scope, receive, send)
        elif scope["path"].startswith(self._path):
            await self._with_reservation(foundation.admission, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _with_reservation(self, admission: Admission, scope: Scope, receive: Receive, send: Send) -> None:
        declared = Headers(scope=scope).get("content-length", "")
        size = int(declared) if declared.isdecimal() else self._limit
        try:
            admission.check(Gate.UPLOADS)
            reservation = admission.reserve(min(size, self._limit), _("A new file"))
        except UnavailableError as error:
            await error_response(error, scope["path"])(scope, receive, send)
            return
        with reservation:
            await self._app(scope, receive, send)
