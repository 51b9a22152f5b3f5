"""The body of a request arrives, or the request ends: nobody holds a slot by saying nothing."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.api.problems import problem_response
from services.core.errors import ErrorKind
from services.core.i18n import _


class BodyProgress:
    """Refuses with 408 a body that stands still for `stall_seconds` or is, in the long run, slower than
    `bytes_per_second`.

    The time in which the application waits for more counts, not the one in which it works or has no slot yet. Each
    byte earns time, of which at most `stall_seconds` can be saved up: a slow line with a gap is let through, what has
    stopped is not. The application sees a client that is gone, and lets go of whatever it holds.
    """

    def __init__(self, app: ASGIApp, *, stall_seconds: float, bytes_per_second: int) -> None:
        self._app = app
        self._seconds = stall_seconds
        self._speed = bytes_per_second

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        patience = self._seconds
        received = 0
        complete = started = stalled = False

        async def receive_in_time() -> Message:
            nonlocal patience, received, complete, stalled
            if complete or started:
                return await receive()
            began = loop.time()
            try:
                async with asyncio.timeout(patience):
                    message = await receive()
            except TimeoutError:
                stalled = True
                return {"type": "http.disconnect"}
            size = len(message.get("body", b""))
            received += size
            complete = not message.get("more_body", False)
            patience = min(self._seconds, patience - (loop.time() - began) + size / self._speed)
            return message

        async def send_unless_stalled(message: Message) -> None:
            nonlocal started
            if not stalled:
                started = True
                await send(message)

        try:
            await self._app(scope, receive_in_time, send_unless_stalled)
        except ClientDisconnect:
            if not stalled:
                raise
        if stalled:
            await self._refuse(scope, receive, send, received)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, received: int) -> None:
        response = problem_response(
            408,
            _(
                "The request stood still: after {received:,} bytes nothing more came, or less than {speed:,} bytes a "
                "second. Of a file that had not arrived whole nothing was kept."
            ).format(received=received, speed=self._speed),
            _(
                "Send it again; on a line that is slow or has gaps, send one file at a time, or have "
                "MILLPOND_STALL_SECONDS or MILLPOND_BODY_BYTES_PER_SECOND changed."
            ),
            kind=ErrorKind.TIMED_OUT,
            path=scope["path"],
        )
        response.headers["Connection"] = "close"  # what may still come is not the next request
        await response(scope, receive, send)
