"""An answer in progress: the stream that its reader iterates over, and the worker thread that produces the events.

Either side can end the answer at any time, from any thread. The worker runs an event loop for the model call, because
a coroutine can be cancelled at any await, also while a server hangs; a blocking read cannot.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import queue
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

import structlog

from services.chat.types import AnswerEvent
from services.core.errors import MillpondError, TimedOutError, UnavailableError
from services.core.i18n import _
from services.core.requests.request import Cancellation

log = structlog.get_logger(__name__)

T = TypeVar("T")
QUEUE_SIZE = 256
JOIN_SECONDS = 10.0


class AnswerStream(Iterator[AnswerEvent]):
    """Yields the events of one answer; the answer starts with the first `next`.

    Unlike a plain generator it can be closed while another thread waits in it. Garbage collection closes it too.
    """

    def __init__(self, steps: Generator[AnswerEvent, None, None], cancellation: Cancellation) -> None:
        self._steps = steps
        self._cancellation = cancellation
        self._reading = threading.Lock()

    def __next__(self) -> AnswerEvent:
        with self._reading:
            return next(self._steps)

    def cancel(self) -> None:
        """Request the answer to stop and return at once; the reading thread stores the text so far."""
        self._cancellation.cancel()

    def close(self) -> None:
        """Stop the answer; on return its thread, connection and slot are released and the text is stored."""
        self._cancellation.cancel()
        with self._reading:
            self._steps.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class StreamStopped(Exception):  # noqa: N818 - a signal, not an error
    """Raised in the worker: nobody reads any more, the thread ends."""


class _End:
    """Marks the end of the events in the queue."""


class StreamWorker(Generic[T]):
    """Runs `produce(worker)` in a thread of its own; one reader gets the events with `next`."""

    def __init__(self, produce: Callable[[StreamWorker[T]], None], name: str) -> None:
        self._queue: queue.Queue[T | _End | BaseException] = queue.Queue(QUEUE_SIZE)
        self._stopping = threading.Event()
        self.timed_out = False  # whether the reader's deadline has passed
        self._lock = threading.RLock()
        self._cancel: Callable[[], object] | None = None
        context = contextvars.copy_context()  # log lines carry the request's id
        self._thread = threading.Thread(target=context.run, args=(self._run, produce), name=name, daemon=True)
        self._thread.start()

    # Called by the worker's thread

    def put(self, event: T) -> None:
        """Queue an event for the reader; waits while the queue is full.

        Raises:
            StreamStopped: nobody reads any more.
        """
        self._put(event)

    def check(self) -> None:
        """Raise `StreamStopped` if nobody reads any more."""
        if self._stopping.is_set():
            raise StreamStopped

    def run(self, call: Coroutine[object, object, None]) -> None:
        """Run a coroutine until it is done; `stop` cancels it.

        Raises:
            StreamStopped: `stop` was called.
            UnavailableError: the coroutine was cancelled by something else.
        """

        async def cancellable() -> None:
            task = asyncio.current_task()
            loop = asyncio.get_running_loop()
            with self._lock:
                if self._stopping.is_set() or task is None:
                    call.close()
                    raise StreamStopped
                self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
            try:
                await call
            finally:
                with self._lock:
                    self._cancel = None

        try:
            asyncio.run(cancellable())
        except asyncio.CancelledError:
            self.check()
            raise UnavailableError(_("The chat model broke off the answer."), _("Ask again.")) from None

    async def put_async(self, event: T) -> None:
        """Queue an event from within `run`; a slow reader slows the model down, not the event loop."""
        while True:
            self.check()
            try:
                self._queue.put_nowait(event)
            except queue.Full:
                await asyncio.sleep(0.01)
            else:
                return

    def _run(self, produce: Callable[[StreamWorker[T]], None]) -> None:
        end: _End | BaseException = _End()
        try:
            produce(self)
        except StreamStopped:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again where the events are read
            end = error
        try:
            self._put(end)
        except StreamStopped:
            if isinstance(end, BaseException) and not isinstance(end, MillpondError):
                log.exception("failure in an answer that nobody reads", exc_info=end)

    def _put(self, event: T | _End | BaseException) -> None:
        while True:
            self.check()
            try:
                self._queue.put(event, timeout=0.05)
            except queue.Full:
                continue
            return

    # Called by the reader

    def next(self, deadline: float) -> T | None:
        """Return the next event, or None at the end or after `stop`.

        Args:
            deadline: a time of `time.monotonic`.

        Raises:
            TimedOutError: nothing came until `deadline`.
            BaseException: whatever `produce` raised.
        """
        while not self._stopping.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                self.timed_out = True
                raise TimedOutError(
                    _("The answer took too long and was stopped."), _("Ask again, or choose a faster chat model.")
                )
            try:
                event = self._queue.get(timeout=left)
            except queue.Empty:
                continue
            if isinstance(event, BaseException):
                raise event
            return None if isinstance(event, _End) else event
        return None

    def stop(self) -> None:
        """Request the thread to end and wake the reader; from any thread."""
        with self._lock:
            self._stopping.set()
            if self._cancel is not None:
                self._cancel()
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(_End())  # wakes a reader that waits on an empty queue

    def join(self) -> bool:
        """Wait for the thread to end; return whether it did within a few seconds."""
        self._thread.join(JOIN_SECONDS)
        return not self._thread.is_alive()
