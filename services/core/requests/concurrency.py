"""Kinds, limits and outcomes of requests; how many of a kind run at once, per user and in all, and how many may
wait.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from services.core.errors import BusyError
from services.core.i18n import _

ASIDE = 4  # times as many as there are slots may step aside


class RequestKind(StrEnum):
    """Kinds of requests; each has limits of its own."""

    ANSWER = "answer"
    SEARCH = "search"
    UPLOAD = "upload"
    DIAGNOSTIC = "look"  # a census, a snapshot, an experiment; API and metrics have the value since 0.1


class Outcome(StrEnum):
    """How a request ended."""

    DONE = "done"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    REFUSED = "refused"  # before it began: the queue was full, the question empty
    FAILED = "failed"
    DROPPED = "dropped"  # nobody closed it: its scope became garbage


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Limits of one kind: at once for one user, at once in all, waiting, and seconds for each.

    The seconds count from the slot on, not from the wait for it.
    """

    per_user: int
    total: int
    waiting: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RunningRequest:
    """A request that runs or waits. `position` is its place in the queue from 1, 0 when it has its slot; times in
    seconds since the epoch; bytes are the process's RSS when it began (None while it waits, for its slot or its
    conversation)."""

    id: str
    kind: RequestKind
    user: str
    detail: str
    asked: float
    began: float | None
    position: int
    deadline: float | None
    rss_before: int | None
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class FinishedRequest:
    """A request that has ended. `asked` in seconds since the epoch, `waited` and `seconds` in seconds, bytes are the
    process's RSS; where it never began, `seconds` is 0 and both are the same."""

    id: str
    kind: RequestKind
    user: str
    detail: str
    asked: float
    waited: float
    seconds: float
    outcome: Outcome
    rss_before: int
    rss_after: int


@dataclass(eq=False, slots=True)
class Slot:
    """A place among the running requests, acquired or waited for by `user`; `wake` is called when it is acquired."""

    user: str
    acquired: bool = field(default=False)
    wake: Callable[[], object] = field(default=bool)


class ConcurrencyLimit:
    """Slots with a queue in order of arrival; a user who has reached the limit is passed over, not waited for."""

    def __init__(self, per_user: int, total: int, waiting: int, kind: RequestKind = RequestKind.ANSWER) -> None:
        self._kind = kind
        self._per_user = per_user
        self._total = total
        self._max_waiting = waiting
        self._changed = threading.Condition()
        self._running: list[Slot] = []
        self._queue: list[Slot] = []
        self._aside: list[Slot] = []

    def acquire(self, user: str) -> Slot:
        """Acquire a slot or a place in the queue; `release` returns either.

        Raises:
            BusyError: the queue is full.
        """
        slot = Slot(user)
        with self._changed:
            self._queue.append(slot)
            self._admit()
            if not slot.acquired and len(self._queue) > self._max_waiting:
                self._queue.remove(slot)
                raise _busy(self._kind, len(self._running), len(self._queue))
        return slot

    def positions(self, slot: Slot, cancelled: threading.Event) -> Iterator[int]:
        """Yield the place in the queue, from 1, whenever it changes, until the slot is acquired or `cancelled` is set.

        Whoever sets `cancelled` calls `wake`.
        """
        last = 0
        while True:
            with self._changed:
                while True:
                    if slot.acquired or cancelled.is_set():
                        return
                    position = self._queue.index(slot) + 1
                    if position != last:
                        break
                    self._changed.wait()
            last = position
            yield position

    def on_acquired(self, slot: Slot, wake: Callable[[], object]) -> None:
        """Call `wake` once the slot is acquired, at once if it is; it must return at once and raise nothing."""
        with self._changed:
            slot.wake = wake
            if slot.acquired:
                wake()

    def step_aside(self, slot: Slot) -> bool:
        """Make room for the next one while `slot` goes on, because its work takes next to nothing (a slow upload).

        It still counts for its user. Returns whether there was room: `ASIDE` times as many as there are slots.
        """
        with self._changed:
            if slot in self._running and len(self._aside) < ASIDE * self._total:
                self._running.remove(slot)
                self._aside.append(slot)
                self._admit()
                self._changed.notify_all()
            return slot in self._aside

    def release(self, slot: Slot) -> None:
        """Return a slot or a place in the queue; safe to call twice."""
        with self._changed:
            for places in (self._running, self._queue, self._aside):
                if slot in places:
                    places.remove(slot)
            self._admit()
            self._changed.notify_all()

    def wake(self) -> None:
        """Let waiters check their `cancelled` event."""
        with self._changed:
            self._changed.notify_all()

    def position(self, slot: Slot) -> int:
        """Return the place in the queue from 1, 0 when the slot is acquired or was released."""
        with self._changed:
            return self._queue.index(slot) + 1 if slot in self._queue else 0

    def counts(self) -> tuple[int, int]:
        """Return how many run and how many wait."""
        with self._changed:
            return len(self._running) + len(self._aside), len(self._queue)

    def _admit(self) -> None:
        users = Counter(slot.user for slot in (*self._running, *self._aside))
        for slot in list(self._queue):
            if len(self._running) >= self._total:
                return
            if users[slot.user] < self._per_user:
                self._queue.remove(slot)
                self._running.append(slot)
                slot.acquired = True
                slot.wake()
                users[slot.user] += 1


def _busy(kind: RequestKind, running: int, waiting: int) -> BusyError:
    """Return the refusal; one sentence for each kind, because languages differ."""
    match kind:
        case RequestKind.ANSWER:
            message = _("Answers being written: {running}; questions waiting: {waiting}.")
            hint = _("Ask again in a moment.")
        case RequestKind.SEARCH:
            message = _("Searches under way: {running}; waiting: {waiting}.")
            hint = _("Search again in a moment.")
        case RequestKind.UPLOAD:
            message = _("Uploads being received: {running}; waiting: {waiting}. Nothing was stored.")
            hint = _("Upload the files again in a moment.")
        case RequestKind.DIAGNOSTIC:
            message = _("Memory diagnostics running: {running}; waiting: {waiting}.")
            hint = _("Try again when they have ended.")
    return BusyError(message.format(running=running, waiting=waiting), hint)
