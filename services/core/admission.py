"""What the process takes in at present: the doors that the memory budget and a drain close, and room that work needs.

Rooms ask before they begin something that costs memory; whoever closes a door says why and what people can do. No room
knows who closed it. Doors follow what has happened; reservations look ahead: a burst that allocates 100 MB a second is
over the limit before anybody has looked twice.
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
from services.core.settings import MEGABYTE


class Gate(StrEnum):
    """What can be refused."""

    UPLOADS = "uploads"  # new files
    LONG_QUESTIONS = "long_questions"  # questions over `LONG_CHARACTERS`
    QUESTIONS = "questions"  # all questions: while draining


LONG_CHARACTERS = 500
# What a long question may take at most until it is answered, in bytes.
LONG_QUESTION_BYTES = 8 * MEGABYTE
# With less than this free, work that can be done in smaller portions is.
TIGHT_BYTES = 64 * MEGABYTE


@dataclass(frozen=True, slots=True)
class Closure:
    """Why a door is closed: who closed it (a name for the machine), the reason and the hint for people."""

    by: str
    reason: str
    hint: str


class LowMemoryError(UnavailableError):
    """Refused for want of memory; whoever was to do the work did nothing wrong."""

    expected = True


@dataclass(frozen=True, slots=True)
class MemoryHeadroom:
    """Bytes in use, and the most that there may be; `children` is whether those of child processes count."""

    used: int
    ceiling: int
    children: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that was not let in: `what` in words; the `door` that `by` had closed, else the `bytes` it needed."""

    what: str
    door: Gate | None = None
    by: str = ""
    bytes: int = 0


class Reservation:
    """Room that is held for work: until `release`, the end of its `with`, or until nobody has this any more."""

    def __init__(self, release: Callable[[], None], amount: int) -> None:
        self.bytes = amount
        self._finalizer = weakref.finalize(self, release)
        self._finalizer.atexit = False

    def release(self) -> None:
        """Give the room back; safe to call twice."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Admission:
    """The doors, and the room behind them. Thread-safe; asking costs some microseconds."""

    def __init__(self) -> None:
        # Reentrant: the garbage collector may end a reservation in the midst of another call.
        self._lock = threading.RLock()
        self._closed: dict[Gate, dict[str, Closure]] = {door: {} for door in Gate}
        self._pace = 0.0
        self._room: Callable[[], MemoryHeadroom | None] = lambda: None
        self._reserved = 0
        self._refused: Counter[str] = Counter({door.value: 0 for door in Gate} | {"room": 0})
        self._listeners: list[Callable[[Refusal], None]] = []

    # Pace

    @property
    def pause_seconds(self) -> float:
        """How long ingestion rests after each file, so that memory and processor are left to questions; 0: not."""
        return self._pace

    def slow_down(self, pause_seconds: float) -> None:
        """Have ingestion rest for `pause_seconds` after each file; 0 ends that."""
        self._pace = max(0.0, pause_seconds)

    @property
    def low_memory(self) -> bool:
        """Whether work should be done in small portions: it was slowed down, or little room is left."""
        if self._pace:
            return True
        free = self.free()
        return free is not None and free < TIGHT_BYTES

    # Doors

    def close(self, door: Gate, by: str, reason: str, hint: str) -> None:
        """Close a door; each `by` closes and opens for itself."""
        with self._lock:
            self._closed[door][by] = Closure(by, reason, hint)

    def open(self, door: Gate, by: str) -> None:
        """Take back what `by` has closed; open already is fine."""
        with self._lock:
            self._closed[door].pop(by, None)

    def closed(self) -> dict[Gate, Closure]:
        """Return the doors that are closed, each with the first reason."""
        with self._lock:
            return {door: next(iter(closed.values())) for door, closed in self._closed.items() if closed}

    def check(self, door: Gate) -> None:
        """Let pass through an open door.

        Raises:
            NoRoomError: it is closed; nothing was taken in.
        """
        with self._lock:
            closed = next(iter(self._closed[door].values()), None)
        if closed is not None:
            self._tell(Refusal(_NAMES[door](), door, closed.by), door.value)
            raise LowMemoryError(closed.reason, closed.hint)

    def check_question(self, characters: int) -> None:
        """Let a question of so many characters pass.

        Raises:
            NoRoomError: questions, or such long ones, are refused at present.
        """
        self.check(Gate.QUESTIONS)
        if characters > LONG_CHARACTERS:
            self.check(Gate.LONG_QUESTIONS)
            self.require(LONG_QUESTION_BYTES, _("A long question"))

    # Room

    def watch(self, room: Callable[[], MemoryHeadroom | None]) -> None:
        """Ask `room` what is in use and what may be; it returns None where nothing is limited. It is quick."""
        self._room = room

    @property
    def reserved(self) -> int:
        """Bytes that are promised to work in progress."""
        return self._reserved

    def free(self) -> int | None:
        """Return the bytes that are neither used nor promised, negative where there are too many; None: no limit."""
        room = self._room()
        return None if room is None else room.ceiling - room.used - self._reserved

    def shortage(self, amount: int, what: str) -> str:
        """Return why `amount` bytes for `what` do not fit at present, an empty text if they do; refuses nothing."""
        room = self._room()
        if room is None or amount <= room.ceiling - room.used - self._reserved:
            return ""
        return _(
            "{what} needs about {needed} MB of memory; {used} MB are used, {reserved} MB promised, and the budget "
            "stops at {ceiling} MB."
        ).format(
            what=what,
            needed=_megabytes(amount),
            used=_megabytes(room.used),
            reserved=_megabytes(self._reserved),
            ceiling=_megabytes(room.ceiling),
        )

    def require(self, amount: int, what: str) -> None:
        """Let `what` pass if `amount` bytes fit now, without holding them.

        Raises:
            NoRoomError: they do not; nothing was begun.
        """
        self.reserve(amount, what).release()

    def reserve_for_child(self, amount: int, what: str) -> Reservation:
        """Hold room for what a child process will take, as `reserve`; where that does not count, it must only not be
        begun when there is too little room already."""
        room = self._room()
        return self.reserve(amount if room is not None and room.children else 0, what)

    def reserve(self, amount: int, what: str) -> Reservation:
        """Hold `amount` bytes for `what` (at the beginning of a sentence) before it allocates them; use it in a `with`.

        What the work has allocated counts twice until it ends: rather too careful than over the limit.

        Raises:
            NoRoomError: they do not fit; nothing was begun.
        """
        found, reason = self._try(amount, what)
        if found is None:
            self._tell(Refusal(what, bytes=amount), "room")
            raise LowMemoryError(reason, _("Nothing was begun. Try again in a few minutes, or give it more memory."))
        return found

    def try_reserve(self, amount: int, what: str) -> Reservation | None:
        """Hold `amount` bytes for `what` if they fit; None: wait, the work is to be kept. Not counted as a refusal."""
        return self._try(amount, what)[0]

    def _try(self, amount: int, what: str) -> tuple[Reservation | None, str]:
        with self._lock:
            reason = self.shortage(amount, what)
            if reason:
                return None, reason
            self._reserved += amount
        return Reservation(lambda: self._give_back(amount), amount), ""

    def _give_back(self, amount: int) -> None:
        with self._lock:
            self._reserved -= amount

    # What was refused

    def refused(self) -> dict[str, int]:
        """Return how much was refused since the start: by door, and for want of room."""
        with self._lock:
            return dict(self._refused)

    def add_listener(self, listener: Callable[[Refusal], None]) -> None:
        """Have `listener` called with each refusal, in the thread of whoever is refused; it is quick."""
        self._listeners.append(listener)

    def _tell(self, refusal: Refusal, counted: str) -> None:
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
