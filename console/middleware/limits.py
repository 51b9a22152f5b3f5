"""How much a request may carry."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.api.problems import problem_response
from services.errors import ErrorKind
from services.settings import MEGABYTE
from services.texts import _


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
