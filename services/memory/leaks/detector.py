"""Judges the history: is this a leak, or just RSS?"""

from __future__ import annotations

from services.memory.clock import Clock
from services.memory.history import History
from services.memory.leaks.types import State, Verdict


class Detector:
    """Keeps the current verdict; `judge` makes a new one from the history."""

    def __init__(self, clock: Clock, history: History) -> None:
        self._clock = clock
        self._history = history
        self._verdict = Verdict(State.UNKNOWN, clock.time())

    @property
    def verdict(self) -> Verdict:
        """The newest verdict."""
        return self._verdict

    def judge(self) -> Verdict:
        """Judge now."""
        return self._verdict
