"""An answer in progress, read from the event loop: the blocking iterator runs in a thread, a disconnect ends it."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from services.chat.types import AnswerEvent, Retrieved
from services.core.errors import CancelledError
from services.core.i18n import _
from services.operations.logging import current_request_id

if TYPE_CHECKING:
    from services.chat.answer_stream import AnswerStream

WATCH_SECONDS = 0.25
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class AnswerEvents:
    """Iterates over an answer's events without blocking the loop.

    Leaving the context, also because the task was cancelled, closes the answer: the model call ends and the slot is
    free again.
    """

    def __init__(self, answer: AnswerStream, limiter: CapacityLimiter) -> None:
        self._answer = answer
        self._limiter = limiter
        self._read: deque[AnswerEvent] = deque()  # by `open`, for `next`

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the answer; when this returns, its slot is free. Safe to call twice."""
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(self._answer.close)

    async def open(self, request: Request) -> Self:
        """Wait until there is something to send: text, or a place in the queue. A failure closes the answer.

        Until then a failure can still become a proper status. The events that were read on the way come from `next`.

        Raises:
            MillpondError: the answer does not come about.
            CancelledError: the client is gone.
        """
        read: deque[AnswerEvent] = deque()
        try:
            while (event := await self.next_while_connected(request)) is not None:
                read.append(event)
                if not isinstance(event, Retrieved):
                    break
        except BaseException:
            await self.aclose()
            raise
        self._read = read
        return self

    async def next(self) -> AnswerEvent | None:
        """Return the next event, None at the end."""
        if self._read:
            return self._read.popleft()
        # The thread is not waited for when the task is cancelled: closing the answer is what makes it return.
        return await to_thread.run_sync(next, self._answer, None, abandon_on_cancel=True, limiter=self._limiter)

    async def next_while_connected(self, request: Request) -> AnswerEvent | None:
        """Return the next event, or give up when the client goes away before any of the answer was sent.

        Raises:
            CancelledError: the client is gone.
        """
        event: AnswerEvent | None = None
        failure: Exception | None = None
        gone = False

        async def watch(scope: anyio.CancelScope) -> None:
            nonlocal gone
            while not await request.is_disconnected():
                await anyio.sleep(WATCH_SECONDS)
            gone = True
            scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, tasks.cancel_scope)
            try:
                event = await self.next()
            except Exception as error:  # noqa: BLE001 - raised below as it is, not in the task group's ExceptionGroup
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
        if gone:
            raise CancelledError(_("The client went away."))
        return event


class AnswerResponse(StreamingResponse):
    """Sends an answer as server-sent events and closes it in the end, however the sending ends."""

    media_type = "text/event-stream"

    def __init__(self, answer: AnswerEvents, chunks: AsyncIterator[bytes]) -> None:
        super().__init__(chunks, headers=HEADERS)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._answer:
            await super().__call__(scope, receive, send)


def defect_text() -> str:
    """Return what a client is told when the rest of an answer fails by a defect; the caller logs it."""
    text = _("Something went wrong on our side. The log has the details under the reference {reference}.")
    return text.format(reference=current_request_id())
