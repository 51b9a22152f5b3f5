"""A circuit breaker around each chat back end: one that keeps failing is left alone for a while.

After M. Nygard, "Release It!", 2nd ed., section "Circuit Breaker". Closed: everything passes. Open: nothing does, and
the answer falls back at once instead of waiting for another failure. Half open: exactly one request tries; if it goes
well the breaker closes, otherwise it opens again for twice as long.

What counts is whether the back end does its work: refused connections, time-outs, errors of its own (5xx, 429), broken
streams. What does not: a request that was wrong (other 4xx), and whoever asked has gone.
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

# Opens also when this share of at least so many requests failed within so many seconds.
_SHARE, _LEAST, _WINDOW_SECONDS = 0.5, 10, 120.0
_LONGEST_FACTOR = 16
_STALL_SECONDS = 10.0  # a back end that has said nothing for so long at the end of an answer's time hangs
_KEPT = 16  # back ends; the one that was not asked for longest is forgotten


class BreakerState(StrEnum):
    """Whether requests pass."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class BreakerStatus:
    """How a breaker stands. `failures` is how many came one after the other, `retry_seconds` when the next request may
    try (0: now), `reason` what failed last in words; `opened` counts how often it has opened."""

    backend: str
    state: BreakerState
    failures: int = 0
    retry_seconds: float = 0.0
    reason: str = ""
    opened: int = 0


class OpenBreakerError(UnavailableError):
    """The back end is not asked for now."""


class CircuitBreaker:
    """The breaker of one back end. Thread-safe. `monotonic` tells the time in seconds and never goes back."""

    def __init__(
        self,
        backend: str,
        *,
        failures: int = 3,
        seconds: float = 20.0,
        monotonic: Callable[[], float] = time.monotonic,
        changed: Callable[[BreakerStatus], None] | None = None,
    ) -> None:
        """Begin closed.

        Args:
            backend: the name of the back end, for people.
            failures: so many in a row open it.
            seconds: how long it stays open at first.
            monotonic: the time.
            changed: called after each change of state, from the thread that caused it.
        """
        self._backend = backend
        self._most = failures
        self._seconds = seconds
        self._monotonic = monotonic
        self._changed = changed
        self._lock = threading.Lock()
        self._state = BreakerState.CLOSED
        self._failures = 0
        self._results: deque[tuple[float, bool]] = deque(maxlen=100)
        self._until = 0.0
        self._wait = seconds
        self._probe: Permit | None = None
        self._reason = ""
        self._opened = 0

    def status(self) -> BreakerStatus:
        """Return how it stands."""
        with self._lock:
            return self._status()

    def enter(self) -> Permit:
        """Let a request pass; use the permit as a context around it.

        Raises:
            OpenBreakerError: the back end is left alone for now; says for how long.
        """
        with self._lock:
            now = self._monotonic()
            if self._state is BreakerState.OPEN and now >= self._until:
                self._state = BreakerState.HALF_OPEN
                told = self._status()
            else:
                told = None
            if self._state is BreakerState.OPEN or (self._state is BreakerState.HALF_OPEN and self._probe is not None):
                raise self._refusal()
            permit = Permit(self)
            if self._state is BreakerState.HALF_OPEN:
                self._probe = permit
        self._tell(told)
        return permit

    def reset(self) -> None:
        """Close it: somebody has set the back end up anew."""
        with self._lock:
            told = self._close()
        self._tell(told)

    def _ended(self, permit: Permit, *, worked: bool | None, reason: str = "") -> None:
        """Take a result; None: nothing is known of the back end."""
        with self._lock:
            probing = self._probe is permit
            if probing:
                self._probe = None
            told = None
            if worked is not None and (probing or self._state is BreakerState.CLOSED):
                # Results of requests that began before it opened say nothing new.
                told = self._close() if worked else self._failed(reason)
        self._tell(told)

    def _close(self) -> BreakerStatus | None:
        changed = self._state is not BreakerState.CLOSED
        if changed:
            self._results.clear()
        else:
            self._results.append((self._monotonic(), True))
        self._state, self._failures, self._wait, self._probe = BreakerState.CLOSED, 0, self._seconds, None
        return self._status() if changed else None

    def _failed(self, reason: str) -> BreakerStatus | None:
        now = self._monotonic()
        self._failures += 1
        self._reason = reason
        self._results.append((now, False))
        again = self._state is BreakerState.HALF_OPEN
        if not (again or self._failures >= self._most or self._fails_often(now)):
            return None
        self._wait = min(2 * self._wait, _LONGEST_FACTOR * self._seconds) if again else self._seconds
        self._state, self._until = BreakerState.OPEN, now + self._wait
        self._opened += 1
        return self._status()

    def _fails_often(self, now: float) -> bool:
        recent = [worked for at, worked in self._results if now - at <= _WINDOW_SECONDS]
        return len(recent) >= _LEAST and recent.count(False) >= _SHARE * len(recent)

    def _status(self) -> BreakerStatus:
        left = max(0.0, self._until - self._monotonic()) if self._state is BreakerState.OPEN else 0.0
        return BreakerStatus(self._backend, self._state, self._failures, left, self._reason, self._opened)

    def _refusal(self) -> OpenBreakerError:
        status = self._status()
        return OpenBreakerError(left_alone(status), _("Look at the model's server, or choose another under Settings."))

    def _tell(self, status: BreakerStatus | None) -> None:
        if status is not None and self._changed is not None:
            self._changed(status)


class Permit:
    """A request that passed. Leaving the context says how it went; what was not said counts as "nothing is known"."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker
        self._worked: bool | None = None
        self._reason = ""
        self._heard = float("-inf")

    def heard(self) -> None:
        """The back end is at work: a piece of the answer has come."""
        self._heard = self._breaker._monotonic()  # noqa: SLF001 - two halves of one thing

    def worked(self) -> None:
        """The back end has answered."""
        self._worked = True

    def timed_out(self) -> None:
        """The time for the answer is over. One that was still writing is slow, not out of order."""
        if self._breaker._monotonic() - self._heard > _STALL_SECONDS:  # noqa: SLF001 - two halves of one thing
            self._worked, self._reason = False, _("no answer in time")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, MillpondError) and is_outage(error):
            self._worked, self._reason = False, error.message
        self._breaker._ended(self, worked=self._worked, reason=self._reason)  # noqa: SLF001 - two halves of one thing


class CircuitBreakers:
    """The breakers of all back ends that were asked, by name."""

    def __init__(
        self,
        *,
        failures: int = 3,
        seconds: float = 20.0,
        monotonic: Callable[[], float] = time.monotonic,
        reporter: EventSink | None = None,
    ) -> None:
        """Build none yet; the arguments are those of each `CircuitBreaker`, changes go to `reporter`."""
        self._failures = failures
        self._seconds = seconds
        self._monotonic = monotonic
        self._reporter = reporter or NullEventSink()
        self._lock = threading.Lock()
        self._known: OrderedDict[str, CircuitBreaker] = OrderedDict()

    def of(self, backend: str) -> CircuitBreaker:
        """Return the breaker of the back end of that name."""
        with self._lock:
            breaker = self._known.get(backend)
            if breaker is None:
                breaker = self._known[backend] = CircuitBreaker(
                    backend,
                    failures=self._failures,
                    seconds=self._seconds,
                    monotonic=self._monotonic,
                    changed=self._tell,
                )
                while len(self._known) > _KEPT:
                    self._known.popitem(last=False)
            self._known.move_to_end(backend)
            return breaker

    def reset(self) -> None:
        """Close all of them: somebody has chosen anew."""
        with self._lock:
            known = list(self._known.values())
        for breaker in known:
            breaker.reset()

    def statuses(self) -> list[BreakerStatus]:
        """Return how each stands."""
        with self._lock:
            known = list(self._known.values())
        return [breaker.status() for breaker in known]

    def _tell(self, status: BreakerStatus) -> None:
        words = {
            BreakerState.OPEN: left_alone(status),
            BreakerState.HALF_OPEN: _("{backend} is tried again with one question.").format(backend=status.backend),
            BreakerState.CLOSED: _("{backend} answers again.").format(backend=status.backend),
        }
        figures = {"failures": float(status.failures), "retry_seconds": round(status.retry_seconds, 1)}
        self._reporter.event(EventKind.BREAKER, words[status.state], **figures)


def left_alone(status: BreakerStatus) -> str:
    """Return why a back end is not asked, and when it will be again."""
    seconds = max(1, round(status.retry_seconds))
    again = (
        plural("It is tried again in {count} second.", "It is tried again in {count} seconds.", seconds)
        if status.state is BreakerState.OPEN
        else _("One question is trying it now.")
    )
    reason = f" ({status.reason.rstrip('.')})" if status.reason else ""
    return _("{backend} failed {failures} times in a row{reason} and is left alone. {again}").format(
        backend=status.backend, failures=status.failures, reason=reason, again=again
    )


def is_outage(error: MillpondError) -> bool:
    """Return whether an error says that the back end does not do its work."""
    if isinstance(error, OpenBreakerError) or error.kind not in {ErrorKind.UNAVAILABLE, ErrorKind.TIMED_OUT}:
        return False
    status = getattr(error.__cause__, "status_code", None)
    if isinstance(status, int) and 400 <= status < 500:
        return status == 429
    return not getattr(error, "expected", False)
