"""A circuit breaker for each chat back end: after repeated failures no requests are sent for a while.

After M. Nygard, "Release It!", 2nd ed., section "Circuit Breaker". Closed: requests pass. Open: none do, the
answer falls back at once instead of waiting for another failure. Half open: a single request probes the back end; if it
succeeds the breaker closes, otherwise it opens again for twice as long.

Failures are refused connections, time-outs, errors of the server (5xx, 429) and broken streams; not wrong requests
(other 4xx) and readers that left.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

from services.core.errors import ErrorKind, MillpondError, UnavailableError
from services.core.events import EventKind, EventSink, NullEventSink
from services.core.i18n import _, plural

# It also opens when this share of at least so many requests failed within the window.
_FAILURE_SHARE, _MIN_REQUESTS, _WINDOW_SECONDS = 0.5, 10, 120.0
_MAX_BACKOFF_FACTOR = 16
_STALL_SECONDS = 10.0  # at a time-out, a back end without output for so long counts as failed, else as slow
_MAX_BREAKERS = 16  # the least recently used is dropped


class BreakerState(StrEnum):
    """Whether requests pass."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class BreakerStatus:
    """The state of a breaker.

    `failures` counts consecutive ones, `retry_seconds` is the time until the next request may pass (0: now), `reason`
    the message of the last failure, `opened` how often the breaker has opened.
    """

    backend: str
    state: BreakerState
    failures: int = 0
    retry_seconds: float = 0.0
    reason: str = ""
    opened: int = 0


class OpenBreakerError(UnavailableError):
    """The breaker is open: no request is sent to the back end."""


class CircuitBreaker:
    """The breaker of one back end. Thread-safe."""

    def __init__(
        self,
        backend: str,
        *,
        failures: int = 3,
        seconds: float = 20.0,
        monotonic: Callable[[], float] = time.monotonic,
        on_change: Callable[[BreakerStatus], None] | None = None,
    ) -> None:
        """Start closed.

        Args:
            backend: the name of the back end, for display.
            failures: so many consecutive ones open it.
            seconds: how long it stays open the first time.
            monotonic: a clock in seconds that never goes back.
            on_change: called after each change of state, by the thread that caused it.
        """
        self._backend = backend
        self._max_failures = failures
        self._seconds = seconds
        self._monotonic = monotonic
        self._on_change = on_change
        self._lock = threading.Lock()
        self._state = BreakerState.CLOSED
        self._failures = 0
        self._results: deque[tuple[float, bool]] = deque(maxlen=100)
        self._open_until = 0.0
        self._open_seconds = seconds
        self._probe: Permit | None = None
        self._reason = ""
        self._opened = 0

    def status(self) -> BreakerStatus:
        """Return its state."""
        with self._lock:
            return self._status()

    def acquire(self) -> Permit:
        """Return a permit for one request, to be used as a context around it.

        Raises:
            OpenBreakerError: no request may pass now; the message says for how long.
        """
        with self._lock:
            now = self._monotonic()
            if self._state is BreakerState.OPEN and now >= self._open_until:
                self._state = BreakerState.HALF_OPEN
                change = self._status()
            else:
                change = None
            if self._state is BreakerState.OPEN or (self._state is BreakerState.HALF_OPEN and self._probe is not None):
                raise self._refusal()
            permit = Permit(self)
            if self._state is BreakerState.HALF_OPEN:
                self._probe = permit
        self._notify(change)
        return permit

    def reset(self) -> None:
        """Close it: the back end was reconfigured."""
        with self._lock:
            change = self._close()
        self._notify(change)

    def _record(self, permit: Permit, *, succeeded: bool | None, reason: str = "") -> None:
        """Record the result of a request; None: it says nothing about the back end."""
        with self._lock:
            probing = self._probe is permit
            if probing:
                self._probe = None
            change = None
            if succeeded is not None and (probing or self._state is BreakerState.CLOSED):
                # Results of requests that began before the breaker opened are no news.
                change = self._close() if succeeded else self._fail(reason)
        self._notify(change)

    def _close(self) -> BreakerStatus | None:
        changed = self._state is not BreakerState.CLOSED
        if changed:
            self._results.clear()
        else:
            self._results.append((self._monotonic(), True))
        self._state, self._failures, self._open_seconds, self._probe = BreakerState.CLOSED, 0, self._seconds, None
        return self._status() if changed else None

    def _fail(self, reason: str) -> BreakerStatus | None:
        now = self._monotonic()
        self._failures += 1
        self._reason = reason
        self._results.append((now, False))
        again = self._state is BreakerState.HALF_OPEN
        if not (again or self._failures >= self._max_failures or self._fails_often(now)):
            return None
        self._open_seconds = (
            min(2 * self._open_seconds, _MAX_BACKOFF_FACTOR * self._seconds) if again else self._seconds
        )
        self._state, self._open_until = BreakerState.OPEN, now + self._open_seconds
        self._opened += 1
        return self._status()

    def _fails_often(self, now: float) -> bool:
        recent = [succeeded for at, succeeded in self._results if now - at <= _WINDOW_SECONDS]
        return len(recent) >= _MIN_REQUESTS and recent.count(False) >= _FAILURE_SHARE * len(recent)

    def _status(self) -> BreakerStatus:
        left = max(0.0, self._open_until - self._monotonic()) if self._state is BreakerState.OPEN else 0.0
        return BreakerStatus(self._backend, self._state, self._failures, left, self._reason, self._opened)

    def _refusal(self) -> OpenBreakerError:
        status = self._status()
        return OpenBreakerError(
            open_message(status), _("Look at the model's server, or choose another under Settings.")
        )

    def _notify(self, status: BreakerStatus | None) -> None:
        if status is not None and self._on_change is not None:
            self._on_change(status)


class Permit:
    """Permission for one request. Leaving the context reports its result; without one the breaker learns nothing."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker
        self._succeeded: bool | None = None
        self._reason = ""
        self._last_output = float("-inf")

    def record_progress(self) -> None:
        """Record that a piece of the answer has arrived."""
        self._last_output = self._breaker._monotonic()  # noqa: SLF001 - permit and breaker are one unit

    def record_success(self) -> None:
        """Record that the back end has answered."""
        self._succeeded = True

    def record_timeout(self) -> None:
        """Record that the answer timed out; a back end that was still writing is slow, not broken."""
        if self._breaker._monotonic() - self._last_output > _STALL_SECONDS:  # noqa: SLF001 - permit and breaker are one unit
            self._succeeded, self._reason = False, _("no answer in time")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, MillpondError) and is_outage(error):
            self._succeeded, self._reason = False, error.message
        self._breaker._record(self, succeeded=self._succeeded, reason=self._reason)  # noqa: SLF001 - permit and breaker are one unit


class CircuitBreakers:
    """The breakers of the back ends in use, by name. Thread-safe."""

    def __init__(
        self,
        *,
        failures: int = 3,
        seconds: float = 20.0,
        monotonic: Callable[[], float] = time.monotonic,
        reporter: EventSink | None = None,
    ) -> None:
        """Create none yet; the arguments are those of each `CircuitBreaker`, changes of state go to `reporter`."""
        self._failures = failures
        self._seconds = seconds
        self._monotonic = monotonic
        self._reporter = reporter or NullEventSink()
        self._lock = threading.Lock()
        self._breakers: OrderedDict[str, CircuitBreaker] = OrderedDict()

    def get(self, backend: str) -> CircuitBreaker:
        """Return the breaker of the back end of that name, a new one if there is none."""
        with self._lock:
            breaker = self._breakers.get(backend)
            if breaker is None:
                breaker = self._breakers[backend] = CircuitBreaker(
                    backend,
                    failures=self._failures,
                    seconds=self._seconds,
                    monotonic=self._monotonic,
                    on_change=self._report,
                )
                while len(self._breakers) > _MAX_BREAKERS:
                    self._breakers.popitem(last=False)
            self._breakers.move_to_end(backend)
            return breaker

    def reset(self) -> None:
        """Close all: another chat model was chosen."""
        with self._lock:
            breakers = list(self._breakers.values())
        for breaker in breakers:
            breaker.reset()

    def statuses(self) -> list[BreakerStatus]:
        """Return the state of each."""
        with self._lock:
            breakers = list(self._breakers.values())
        return [breaker.status() for breaker in breakers]

    def _report(self, status: BreakerStatus) -> None:
        messages = {
            BreakerState.OPEN: open_message(status),
            BreakerState.HALF_OPEN: _("{backend} is tried again with one question.").format(backend=status.backend),
            BreakerState.CLOSED: _("{backend} answers again.").format(backend=status.backend),
        }
        figures = {"failures": float(status.failures), "retry_seconds": round(status.retry_seconds, 1)}
        self._reporter.event(EventKind.BREAKER, messages[status.state], **figures)


def open_message(status: BreakerStatus) -> str:
    """Return why no requests are sent to a back end, and when they will be again."""
    seconds = max(1, round(status.retry_seconds))
    retry = (
        plural("It is tried again in {count} second.", "It is tried again in {count} seconds.", seconds)
        if status.state is BreakerState.OPEN
        else _("One question is trying it now.")
    )
    reason = f" ({status.reason.rstrip('.。')})" if status.reason else ""
    return plural(
        "{backend} failed once{reason}; no questions are sent to it. {retry}",
        "{backend} failed {count} times in a row{reason}; no questions are sent to it. {retry}",
        status.failures,
        backend=status.backend,
        reason=reason,
        retry=retry,
    )


def is_outage(error: MillpondError) -> bool:
    """Return whether an error means that the back end is out of order."""
    if isinstance(error, OpenBreakerError) or error.kind not in {ErrorKind.UNAVAILABLE, ErrorKind.TIMED_OUT}:
        return False
    status = getattr(error.__cause__, "status_code", None)
    if isinstance(status, int) and 400 <= status < 500:
        return status == 429
    return not getattr(error, "expected", False)
