"""An answer in progress, read in the event loop: the blocking iterator runs in a thread, a disconnect closes it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from services.chat.types import AnswerEvent, AnswerState, Finished, Message, Retrieved, Token, ToolCallPart
from services.core.errors import CancelledError, UnavailableError
from services.core.i18n import _
from services.operations.logging import current_request_id

if TYPE_CHECKING:
    from services.chat.answer_stream import AnswerStream

POLL_SECONDS = 0.25
HEADERS = {"X-Accel-Buffering": "no"}


class AnswerEvents:
    """Iterates over an answer's events without blocking the loop.

    Leaving the context, also because the task was cancelled, closes the answer: the model call ends and the slot is
    released.
    """

    def __init__(self, answer: AnswerStream, limiter: CapacityLimiter) -> None:
        self._answer = answer
        self._limiter = limiter
        self._read: deque[AnswerEvent] = deque()  # by `open`, for `next`
        self._message: Message | None = None
        self._texts: list[str] = []
        self.calls: list[ToolCallPart] = []
        self.left_out: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The text that has come."""
        return "".join(self._texts)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the answer; on return its slot is released. Safe to call twice."""
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(self._answer.close)

    async def open(self, request: Request) -> Self:
        """Wait for the first event to send: text, or a place in the queue. A failure closes the answer.

        Until then a failure can still become an HTTP status. `next` returns the events that were read here.

        Raises:
            MillpondError: the answer failed.
            CancelledError: the client disconnected.
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
        # When the task is cancelled, the thread is abandoned: it returns when the answer is closed.
        event = await to_thread.run_sync(next, self._answer, None, abandon_on_cancel=True, limiter=self._limiter)
        if isinstance(event, Finished):
            self._message, self.left_out = event.message, event.left_out
        elif isinstance(event, ToolCallPart):
            self.calls.append(event)
        elif isinstance(event, Token):
            self._texts.append(event.text)
        return event

    async def read(self, request: Request) -> Message:
        """Read the answer to its end, close it and return its message.

        Raises:
            MillpondError: the answer failed.
            CancelledError: the client disconnected.
            UnavailableError: it was interrupted.
        """
        async with self:
            while await self.next_while_connected(request) is not None:
                pass
        return self.message()

    def message(self) -> Message:
        """Return the message of an answer that was read to its end: part of one must not pass for the whole.

        Raises:
            UnavailableError: it was interrupted from our side.
        """
        if self._message is None or self._message.state is not AnswerState.COMPLETE:
            raise UnavailableError(
                _("The answer was interrupted: it was cancelled, or Millpond is stopping."), _("Ask again.")
            )
        return self._message

    async def next_while_connected(self, request: Request) -> AnswerEvent | None:
        """Return the next event, unless the client disconnects first.

        Raises:
            CancelledError: the client disconnected.
        """
        event: AnswerEvent | None = None
        failure: Exception | None = None
        gone = False

        async def watch(scope: anyio.CancelScope) -> None:
            nonlocal gone
            while not await request.is_disconnected():
                await anyio.sleep(POLL_SECONDS)
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
            raise CancelledError(_("The client disconnected."))
        return event


class AnswerResponse(StreamingResponse):
    """Sends an answer as server-sent events and closes it, however the sending ends."""

    media_type = "text/event-stream"

    def __init__(self, answer: AnswerEvents, chunks: AsyncIterator[bytes]) -> None:
        super().__init__(chunks, headers=HEADERS)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._answer:
            await super().__call__(scope, receive, send)


def defect_text() -> str:
    """Return the message for a client when the rest of an answer fails by a defect; the caller logs it."""
    text = _("Something went wrong on our side. The log has the details under the reference {reference}.")
    return text.format(reference=current_request_id())


def server_sent(document: dict[str, Any], event: str = "") -> bytes:
    """Return one server-sent event with a JSON document as its data."""
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {json.dumps(document, ensure_ascii=False)}\n\n".encode()
