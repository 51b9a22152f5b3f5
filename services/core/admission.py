"""Admission control: gates that the memory budget and a drain close, and reservations of memory for work.

Services ask before they begin something that costs memory; whoever closes a gate gives the reason and a hint for
people. No service knows who closed it. Gates follow what has happened; reservations look ahead, since a burst may
allocate 100 MB a second.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

from services.core.errors import UnavailableError
from services.core.i18n import _
from services.core.machine import MEGABYTE


class Gate(StrEnum):
    """Work that can be refused."""

    UPLOADS = "uploads"  # new files
    LONG_QUESTIONS = "long_questions"  # questions over `LONG_CHARACTERS`
    QUESTIONS = "questions"  # all questions: while draining


LONG_CHARACTERS = 500
# Most memory that a long question takes until it is answered, in bytes.
LONG_QUESTION_BYTES = 8 * MEGABYTE
# With less than this free, work is done in smaller portions where it can be.
LOW_MEMORY_BYTES = 64 * MEGABYTE


PERSON = "person"  # the name under which people close gates


@dataclass(frozen=True, slots=True)
class Closure:
    """Why a gate is closed: who closed it (an identifier), the reason and the hint for people.

    `person` is whoever wanted it, "" where nobody did; `since` is in seconds since the epoch.
    """

    by: str
    reason: str
    hint: str
    person: str = ""
    since: float | None = None


class ClosedGateError(UnavailableError):
    """Refused at a closed gate; not a failure of the component that was to do the work."""

    expected = True


class LowMemoryError(UnavailableError):
    """Refused because memory is short; not a failure of the component that was to do the work."""

    expected = True


@dataclass(frozen=True, slots=True)
class MemoryHeadroom:
    """Bytes in use and their limit; `children`: whether those of child processes count."""

    used: int
    ceiling: int
    children: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Work that was refused: `what` in words; the `gate` that `by` had closed, else the `bytes` that did not fit."""

    what: str
    gate: Gate | None = None
    by: str = ""
    bytes: int = 0


class Reservation:
    """Memory reserved for work: until `release`, the end of its `with`, or until the object is garbage."""

    def __init__(self, release: Callable[[], None], amount: int) -> None:
        self.bytes = amount
        self._finalizer = weakref.finalize(self, release)
        self._finalizer.atexit = False

    def release(self) -> None:
        """Return the reserved bytes; safe to call twice."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Admission:
    """The gates, and reservations of memory. Thread-safe; a check costs some microseconds."""

    def __init__(self) -> None:
        # Reentrant: the garbage collector may end a reservation in the middle of another call.
        self._lock = threading.RLock()
        self._closed: dict[Gate, dict[str, Closure]] = {gate: {} for gate in Gate}
        self._pause_seconds = 0.0
        self._pause_wanted_by = ""
        self._headroom: Callable[[], MemoryHeadroom | None] = lambda: None
        self._reserved = 0
        self._refused: Counter[str] = Counter({gate.value: 0 for gate in Gate} | {"room": 0})
        self._listeners: list[Callable[[Refusal], None]] = []

    @property
    def pause_seconds(self) -> float:
        """How long ingestion pauses after each file, so that memory and processor are left to questions."""
        return self._pause_seconds

    @property
    def pause_wanted_by(self) -> str:
        """The person who wanted ingestion to pause, "" where nobody did."""
        return self._pause_wanted_by

    def slow_ingestion(self, pause_seconds: float, person: str = "") -> None:
        """Have ingestion pause for `pause_seconds` after each file, as `person` wants it; 0 ends that."""
        self._pause_seconds = max(0.0, pause_seconds)
        self._pause_wanted_by = person

    @property
    def low_memory(self) -> bool:
        """Whether work should be done in small portions: ingestion is slowed down, or little memory is left."""
        if self._pause_seconds:
            return True
        free = self.free_bytes()
        return free is not None and free < LOW_MEMORY_BYTES

    # Gates

    def close(
        self, gate: Gate, by: str, reason: str, hint: str, *, person: str = "", since: float | None = None
    ) -> None:
        """Close a gate; each `by` closes and opens for itself. `person` is who wanted it, `since` when."""
        with self._lock:
            self._closed[gate][by] = Closure(by, reason, hint, person, since)

    def open(self, gate: Gate, by: str) -> None:
        """Open what `by` has closed; does nothing where it has not."""
        with self._lock:
            self._closed[gate].pop(by, None)

    def closed(self) -> dict[Gate, Closure]:
        """Return the closed gates, each with the first reason."""
        with self._lock:
            return {gate: next(iter(closed.values())) for gate, closed in self._closed.items() if closed}

    def check(self, gate: Gate) -> None:
        """Return if the gate is open.

        Raises:
            ClosedGateError: it is closed; nothing was begun.
        """
        with self._lock:
            closed = next(iter(self._closed[gate].values()), None)
        if closed is not None:
            self._report(Refusal(_NAMES[gate](), gate, closed.by), gate.value)
            raise ClosedGateError(closed.reason, closed.hint)

    def check_question(self, characters: int) -> None:
        """Return if a question of so many characters may be asked.

        Raises:
            ClosedGateError, LowMemoryError: questions, or such long ones, are refused at present.
        """
        self.check(Gate.QUESTIONS)
        if characters > LONG_CHARACTERS:
            self.check(Gate.LONG_QUESTIONS)
            self.require(LONG_QUESTION_BYTES, _("A long question"))

    # Reservations

    def set_headroom_source(self, headroom: Callable[[], MemoryHeadroom | None]) -> None:
        """Call `headroom` for the bytes in use and their limit, None without a limit. It must be quick."""
        self._headroom = headroom

    @property
    def reserved(self) -> int:
        """Bytes reserved for work in progress."""
        return self._reserved

    def free_bytes(self) -> int | None:
        """Return the bytes that are neither used nor reserved, negative above the limit; None: no limit."""
        headroom = self._headroom()
        return None if headroom is None else headroom.ceiling - headroom.used - self._reserved

    def shortage(self, amount: int, what: str) -> str:
        """Return why `amount` bytes for `what` do not fit at present, "" if they do; refuses nothing."""
        headroom = self._headroom()
        if headroom is None or amount <= headroom.ceiling - headroom.used - self._reserved:
            return ""
        return _(
            "{what} needs about {needed} MB of memory; {used} MB are used, {reserved} MB reserved, and the budget "
            "stops at {ceiling} MB."
        ).format(
            what=what,
            needed=_megabytes(amount),
            used=_megabytes(headroom.used),
            reserved=_megabytes(self._reserved),
            ceiling=_megabytes(headroom.ceiling),
        )

    def require(self, amount: int, what: str) -> None:
        """Return if `amount` bytes for `what` fit now, without reserving them.

        Raises:
            LowMemoryError: they do not; nothing was begun.
        """
        self.reserve(amount, what).release()

    def reserve_for_child(self, amount: int, what: str) -> Reservation:
        """Reserve what a child process will allocate, as `reserve` does.

        Where child processes do not count, nothing is reserved, and it fails only if the limit is passed already.
        """
        return self.reserve(self._of_child(amount), what)

    def try_reserve_for_child(self, amount: int, what: str) -> Reservation | None:
        """Reserve what a child process will allocate, as `try_reserve` does; where those do not count, nothing."""
        return self.try_reserve(self._of_child(amount), what)

    def shortage_for_child(self, amount: int, what: str) -> str:
        """Return why what a child process will allocate does not fit, as `shortage` does."""
        return self.shortage(self._of_child(amount), what)

    def _of_child(self, amount: int) -> int:
        headroom = self._headroom()
        return amount if headroom is not None and headroom.children else 0

    def reserve(self, amount: int, what: str) -> Reservation:
        """Reserve `amount` bytes for `what` (the beginning of a sentence) before it allocates them; use it in a `with`.

        What the work has allocated counts twice until it ends: too careful rather than over the limit.

        Raises:
            LowMemoryError: they do not fit; nothing was begun.
        """
        reservation, reason = self._try_reserve(amount, what)
        if reservation is None:
            self._report(Refusal(what, bytes=amount), "room")
            raise LowMemoryError(reason, _("Nothing was begun. Try again in a few minutes, or raise the memory limit."))
        return reservation

    def try_reserve(self, amount: int, what: str) -> Reservation | None:
        """Reserve `amount` bytes for `what` if they fit, else return None: the work waits. Not counted as a refusal."""
        return self._try_reserve(amount, what)[0]

    def _try_reserve(self, amount: int, what: str) -> tuple[Reservation | None, str]:
        with self._lock:
            reason = self.shortage(amount, what)
            if reason:
                return None, reason
            self._reserved += amount
        return Reservation(lambda: self._return(amount), amount), ""

    def _return(self, amount: int) -> None:
        with self._lock:
            self._reserved -= amount

    # What was refused

    def refusal_counts(self) -> dict[str, int]:
        """Return how much was refused since the start: by gate, and for lack of memory."""
        with self._lock:
            return dict(self._refused)

    def add_listener(self, listener: Callable[[Refusal], None]) -> None:
        """Call `listener` with each refusal, in the thread that is refused; it must be quick."""
        self._listeners.append(listener)

    def _report(self, refusal: Refusal, counted: str) -> None:
        with self._lock:
            self._refused[counted] += 1
        for listener in self._listeners:
            listener(refusal)


_NAMES: dict[Gate, Callable[[], str]] = {
    Gate.UPLOADS: lambda: _("A new file"),
    Gate.LONG_QUESTIONS: lambda: _("A long question"),
    Gate.QUESTIONS: lambda: _("A question"),
}


def _megabytes(amount: int) -> str:
    return f"{amount / MEGABYTE:,.0f}"
