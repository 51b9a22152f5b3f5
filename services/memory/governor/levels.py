"""Which level RSS has reached, by watermarks that want to be held for a while: nothing but arithmetic."""

from __future__ import annotations

import math

from services.memory.governor.types import Budget, Level

# RSS that has come to rest between where a level is left and where it is reached is no longer pressed: what stays there
# (modules that work has imported) no step gives back, and the level would last for ever.
SETTLED_SECONDS = 30.0


class LevelWatch:
    """Told what is used, keeps the level.

    Upwards several levels are passed at once: whatever is over the hard watermark for the hard one's sustained time is
    at HARD, however short it was over the soft one. Downwards each level must have been left for its own time, or RSS
    have stayed under its watermark for `SETTLED_SECONDS`.
    """

    def __init__(self) -> None:
        self.level = Level.CALM
        self.since = 0.0
        self._reached: dict[Level, float] = {}  # since when the level is at least this
        self._over: dict[Level, float] = {}
        self._below: dict[Level, float] = {}  # since when under where it is reached
        self._under: dict[Level, float] = {}  # since when under where it is left

    def look(self, now: float, used: int, budget: Budget) -> Level:
        """Take in what is used now and return the level."""
        self.since = self.since or now
        level = Level.CALM
        for mark in budget.watermarks:
            if used >= budget.reached(mark.level):
                self._below.pop(mark.level, None)
                if now - self._over.setdefault(mark.level, now) >= mark.sustained:
                    level = max(level, mark.level)
            else:
                self._over.pop(mark.level, None)
                self._below.setdefault(mark.level, now)
            if used < budget.left(mark.level):
                self._under.setdefault(mark.level, now)
            else:
                self._under.pop(mark.level, None)
        for mark in reversed(budget.watermarks):
            if level < mark.level <= self.level:
                left = now - self._under.get(mark.level, math.inf) >= mark.release_seconds
                settled = now - self._below.get(mark.level, math.inf) >= SETTLED_SECONDS
                if not left and not settled:
                    level = mark.level
                    break
        if level is not self.level:
            self._enter(level, now)
        return level

    def _enter(self, level: Level, now: float) -> None:
        kept = {each: since for each, since in self._reached.items() if each <= level}
        self._reached = {each: now for each in Level if each <= level} | kept
        self.level, self.since = level, now

    def lasted(self, level: Level, now: float) -> float:
        """Return for how many seconds the level has been at least `level`."""
        return now - self._reached.get(level, now)

    def forget(self, now: float) -> None:
        """Begin anew at CALM."""
        self.level, self.since = Level.CALM, now
        self._reached.clear()
        self._over.clear()
        self._below.clear()
        self._under.clear()
