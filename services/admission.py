"""What the process takes in at present: the doors that the memory budget and a drain close.

Rooms ask before they begin something that costs memory; whoever closes a door says why and what people can do. No room
knows who closed it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum

from services.errors import UnavailableError


class Door(StrEnum):
    """What can be refused."""

    UPLOADS = "uploads"  # new files
    LONG_QUESTIONS = "long_questions"  # questions over `LONG_CHARACTERS`
    QUESTIONS = "questions"  # all questions: while draining


LONG_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Closed:
    """Why a door is closed: who closed it (a name for the machine), the reason and the hint for people."""

    by: str
    reason: str
    hint: str


class Admission:
    """The doors. Thread-safe; asking costs next to nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed: dict[Door, dict[str, Closed]] = {door: {} for door in Door}
        self._pace = 0.0

    @property
    def pause_seconds(self) -> float:
        """How long ingestion rests after each file, so that memory and processor are left to questions; 0: not."""
        return self._pace

    def slow_down(self, pause_seconds: float) -> None:
        """Have ingestion rest for `pause_seconds` after each file; 0 ends that."""
        self._pace = max(0.0, pause_seconds)

    def close(self, door: Door, by: str, reason: str, hint: str) -> None:
        """Close a door; each `by` closes and opens for itself."""
        with self._lock:
            self._closed[door][by] = Closed(by, reason, hint)

    def open(self, door: Door, by: str) -> None:
        """Take back what `by` has closed; open already is fine."""
        with self._lock:
            self._closed[door].pop(by, None)

    def closed(self) -> dict[Door, Closed]:
        """Return the doors that are closed, each with the first reason."""
        with self._lock:
            return {door: next(iter(closed.values())) for door, closed in self._closed.items() if closed}

    def check(self, door: Door) -> None:
        """Let pass through an open door.

        Raises:
            UnavailableError: it is closed; nothing was taken in.
        """
        with self._lock:
            closed = next(iter(self._closed[door].values()), None)
        if closed is not None:
            raise UnavailableError(closed.reason, closed.hint)

    def check_question(self, characters: int) -> None:
        """Let a question of so many characters pass.

        Raises:
            UnavailableError: questions, or such long ones, are refused at present.
        """
        self.check(Door.QUESTIONS)
        if characters > LONG_CHARACTERS:
            self.check(Door.LONG_QUESTIONS)
