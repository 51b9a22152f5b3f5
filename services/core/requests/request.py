"""The scope of one request: its slot, time limit, cancellation and clean-up hooks."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Protocol, Self

import structlog

from services.core.errors import BusyError, CancelledError, MillpondError, TimedOutError
from services.core.i18n import _
from services.core.requests.concurrency import ConcurrencyLimit, Outcome, RequestKind, RequestLimits, Slot

log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class RequestRecord:
    """The registry's record of a request; it never refers to the `RequestScope`, which may become garbage at any time.

    `asked` and `began_at` in seconds since the epoch, `entered` and `began` in seconds of `time.monotonic`.
    """

    id: str
    kind: RequestKind
    user: str
    detail: str
    asked: float
    entered: float
    limits: RequestLimits
    slots: ConcurrencyLimit
    slot: Slot
    cancellation: Cancellation
    rss_before: int
    began: float | None = None
    began_at: float | None = None
    outcome: Outcome = field(default=Outcome.DROPPED)
    session: str = field(default="", repr=False)


class Registry(Protocol):
    """What a scope needs of `RequestRegistry`."""

    def begin(self, record: RequestRecord) -> None: ...
    def finish(self, record: RequestRecord) -> None: ...


class RequestScope:
    """A request's slot, time limit and cancellation, and the hooks that run when it ends.

    As a context manager it waits for its slot; `positions` waits and yields the place in the queue. Every hook given to
    `on_close` runs when the scope closes, or, if nobody closes it, when it becomes garbage: hooks are
    `weakref.finalize` objects, which are called and never detached
    (https://docs.python.org/3.11/library/weakref.html#weakref.finalize).
    """

    def __init__(self, registry: Registry, record: RequestRecord) -> None:
        self._registry = registry
        self._record = record
        self._hooks: list[weakref.finalize[[], RequestScope]] = []
        self._lock = threading.RLock()
        # The first to be registered is the last to be called: the slot is free when all hooks have run.
        self._finish = weakref.finalize(self, registry.finish, record)
        self._finish.atexit = False

    @property
    def id(self) -> str:
        """The id by which it can be cancelled."""
        return self._record.id

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._record.cancellation.event.is_set()

    @property
    def acquired(self) -> bool:
        """Whether it has its slot."""
        return self._record.slot.acquired

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return not self._finish.alive

    @property
    def deadline(self) -> float:
        """When its time limit ends, by `time.monotonic`; infinite while it waits."""
        began = self._record.began
        return float("inf") if began is None else began + self._record.limits.seconds

    def remaining(self) -> float:
        """Return how many seconds are left of its time limit, at least 0."""
        return max(0.0, self.deadline - time.monotonic())

    def check(self) -> None:
        """Return if the work should go on.

        Raises:
            CancelledError: it was cancelled.
            TimedOutError: its time limit has passed.
        """
        if self.cancelled:
            raise CancelledError(_("The request was cancelled; nothing of it was kept."))
        if self.remaining() <= 0:
            raise TimedOutError(
                _("The request took longer than {seconds:g} s and was ended.").format(
                    seconds=self._record.limits.seconds
                ),
                _("Try again when less is going on."),
            )

    def begin(self) -> bool:
        """Start the clock if the slot is acquired, without waiting; return whether it is."""
        record = self._record
        if record.slot.acquired and record.began is None:
            self._registry.begin(record)
        return record.slot.acquired

    def on_acquired(self, wake: Callable[[], object]) -> None:
        """Call `wake` once the slot is acquired, at once if it is; it must return at once and raise nothing."""
        self._record.slots.on_acquired(self._record.slot, wake)

    def step_aside(self) -> bool:
        """Make room for the next request while this one goes on; return whether that could be."""
        return self._record.slots.step_aside(self._record.slot)

    def positions(self) -> Iterator[int]:
        """Yield the place in the queue, from 1, whenever it changes, until it has its slot or is cancelled."""
        record = self._record
        yield from record.slots.positions(record.slot, record.cancellation.event)
        self.begin()

    def wait(self, on_position: Callable[[int], object] = lambda _position: None) -> None:
        """Wait for the slot; `on_position` is called with each place in the queue.

        Raises:
            CancelledError: it was cancelled meanwhile.
        """
        for position in self.positions():
            on_position(position)
        self.check()

    def on_cancel(self, wake: Callable[[], object]) -> None:
        """Call `wake` when the scope is cancelled, at once if it was; for work that blocks elsewhere."""
        self._record.cancellation.on_cancel(wake)

    def on_close(self, hook: Callable[..., object], *args: object) -> None:
        """Call `hook(*args)` when the scope ends, in whatever way; the last hook first.

        A hook must not refer to the scope, which would keep it alive. One that fails is logged; the others still run.
        """
        with self._lock:
            self._hooks.append(weakref.finalize(self, partial(_run, hook, args)))

    def cancel(self) -> None:
        """Cancel it, from any thread; returns at once."""
        self._record.cancellation.cancel()

    def close(self, error: BaseException | None = None) -> None:
        """Run the hooks and release the slot; `error` is what it ended with. Safe to call twice, from any thread."""
        with self._lock:
            hooks, self._hooks = self._hooks, []
            if self._finish.alive:
                self._record.outcome = _outcome(error, self._record)
        for hook in reversed(hooks):
            hook()
        self._finish()

    def __enter__(self) -> Self:
        try:
            self.wait()
        except BaseException as error:
            self.close(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(error)


def _run(hook: Callable[..., object], args: tuple[object, ...]) -> None:
    try:
        hook(*args)
    except Exception:
        # Each hook must run, whatever happens to the one before.
        log.exception("a clean-up hook failed", hook=getattr(hook, "__qualname__", type(hook).__qualname__))


def _outcome(error: BaseException | None, record: RequestRecord) -> Outcome:
    if isinstance(error, TimedOutError):
        return Outcome.TIMED_OUT
    if record.cancellation.event.is_set() or isinstance(error, CancelledError | GeneratorExit):
        return Outcome.CANCELLED
    if isinstance(error, BusyError) or (isinstance(error, MillpondError) and record.began is None):
        return Outcome.REFUSED
    # Control flow of the pages (a rerun, a stop) derives from BaseException and is no failure.
    return Outcome.FAILED if isinstance(error, Exception) else Outcome.DONE


class Cancellation:
    """A flag that stops work, with callbacks to wake whatever blocks for it."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._lock = threading.RLock()
        self._wake: list[Callable[[], object]] = []

    def on_cancel(self, wake: Callable[[], object]) -> None:
        """Call `wake` on cancellation, at once if that has happened."""
        with self._lock:
            self._wake.append(wake)
            late = self.event.is_set()
        if late:
            wake()

    def cancel(self) -> None:
        """Set the flag and call the callbacks; returns at once."""
        with self._lock:
            self.event.set()
            wake = list(self._wake)
        for call in wake:
            call()

    def clear(self) -> None:
        """Remove the callbacks: the work has ended."""
        with self._lock:
            self._wake.clear()
