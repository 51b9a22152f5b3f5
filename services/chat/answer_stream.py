"""An answer in progress, as its reader holds it: an iterator that can be closed from any thread.

One answer's thread: it produces events, the reader takes them, either side can end it at once.

The thread runs an event loop for the model call, because a coroutine can be cancelled at any await, also while a server
hangs; a blocking read cannot.
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
BUFFERED = 256
JOIN_SECONDS = 10.0


class AnswerStream(Iterator[AnswerEvent]):
    """Yields the events of one answer. Nothing happens before the first event is asked for.

    A plain generator cannot be closed while another thread waits in it; this can. Dropping it closes it too.
    """

    def __init__(self, steps: Generator[AnswerEvent, None, None], cancellation: Cancellation) -> None:
        self._steps = steps
        self._cancellation = cancellation
        self._reading = threading.Lock()

    def __next__(self) -> AnswerEvent:
        with self._reading:
            return next(self._steps)

    def cancel(self) -> None:
        """Tell the answer to stop and return at once; its reader stores what there is."""
        self._cancellation.cancel()

    def close(self) -> None:
        """Stop the answer; when this returns, its thread, connection and slot are gone and the text is stored."""
        self._cancellation.cancel()
        with self._reading:
            self._steps.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class StreamStopped(Exception):  # noqa: N818 - a request, not an error
    """The reader has gone; the thread winds up."""


class _End:
    """Marks the end of the events in the queue."""


class StreamWorker(Generic[T]):
    """Runs `produce(worker)` in a thread of its own; `events` are read by one reader."""

    def __init__(self, produce: Callable[[StreamWorker[T]], None], name: str) -> None:
        self._queue: queue.Queue[T | _End | BaseException] = queue.Queue(BUFFERED)
        self._stopping = threading.Event()
        self.timed_out = False  # the reader's deadline has passed
        self._lock = threading.RLock()
        self._cancel: Callable[[], object] | None = None
        context = contextvars.copy_context()  # log lines carry the request's id
        self._thread = threading.Thread(target=context.run, args=(self._run, produce), name=name, daemon=True)
        self._thread.start()

    # The thread's side

    def put(self, event: T) -> None:
        """Hand an event to the reader; waits while the reader is far behind.

        Raises:
            Stopped: nobody reads any more.
        """
        self._put(event)

    def check(self) -> None:
        """Raise `StreamStopped` when the reader has gone."""
        if self._stopping.is_set():
            raise StreamStopped

    def run(self, call: Coroutine[object, object, None]) -> None:
        """Run a coroutine to its end; `stop` cancels it."""

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
            raise UnavailableError(_("The chat model broke the answer off."), _("Ask again.")) from None

    async def put_later(self, event: T) -> None:
        """Hand an event to the reader from within `run`; a slow reader slows the model down, not the event loop."""
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
                log.exception("failure in an answer that nobody waits for", exc_info=end)

    def _put(self, event: T | _End | BaseException) -> None:
        while True:
            self.check()
            try:
                self._queue.put(event, timeout=0.05)
            except queue.Full:
                continue
            return

    # The reader's side

    def next(self, deadline: float) -> T | None:
        """Return the next event, or None at the end or after `stop`.

        Args:
            deadline: a time of `time.monotonic`.

        Raises:
            TimedOutError: nothing came until `deadline`.
            BaseException: what `produce` has raised.
        """
        while not self._stopping.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                self.timed_out = True
                raise TimedOutError(
                    _("The answer took too long and was ended."), _("Ask again, or choose a faster chat model.")
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
        """Ask the thread to end, from any thread; wakes the reader."""
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
