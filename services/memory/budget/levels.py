"""Which level RSS has reached, by watermarks that want to be held for a while: nothing but arithmetic.

Refusals as stretches of time: that they began, and that they ended, rather than each of a thousand.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable

from services.core.i18n import _, plural
from services.memory.budget.types import Budget, BudgetLevel

# RSS that has come to rest between where a level is left and where it is reached is no longer pressed: what stays there
# (modules that work has imported) no step gives back, and the level would last for ever.
SETTLED_SECONDS = 30.0
# Refusals have ended when none has come for so long.
QUIET_SECONDS = 30.0
_NAMED = 3


class LevelWatch:
    """Told what is used, keeps the level.

    Upwards several levels are passed at once: whatever is over the hard watermark for the hard one's sustained time is
    at HARD, however short it was over the soft one. Downwards each level must have been left for its own time, or RSS
    have stayed under its watermark for `SETTLED_SECONDS`.
    """

    def __init__(self) -> None:
        self.level = BudgetLevel.CALM
        self.since = 0.0
        self._reached: dict[BudgetLevel, float] = {}  # since when the level is at least this
        self._over: dict[BudgetLevel, float] = {}
        self._below: dict[BudgetLevel, float] = {}  # since when under where it is reached
        self._under: dict[BudgetLevel, float] = {}  # since when under where it is left

    def look(self, now: float, used: int, budget: Budget) -> BudgetLevel:
        """Take in what is used now and return the level."""
        self.since = self.since or now
        level = BudgetLevel.CALM
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

    def _enter(self, level: BudgetLevel, now: float) -> None:
        kept = {each: since for each, since in self._reached.items() if each <= level}
        self._reached = {each: now for each in BudgetLevel if each <= level} | kept
        self.level, self.since = level, now

    def lasted(self, level: BudgetLevel, now: float) -> float:
        """Return for how many seconds the level has been at least `level`."""
        return now - self._reached.get(level, now)

    def forget(self, now: float) -> None:
        """Begin anew at CALM."""
        self.level, self.since = BudgetLevel.CALM, now
        self._reached.clear()
        self._over.clear()
        self._below.clear()
        self._under.clear()


class Refusals:
    """Told of each refusal by whoever refuses, in any thread; `sweep` says what has begun and ended."""

    def __init__(self, now: Callable[[], float], *, quiet: float = QUIET_SECONDS) -> None:
        self._now = now
        self._quiet = quiet
        self._lock = threading.RLock()
        self._counts: Counter[str] = Counter()
        self._last = 0.0
        self._told = False

    def note(self, what: str) -> None:
        """Something was refused; `what` in words."""
        with self._lock:
            self._last = self._now()
            # Few kinds of work exist; should that change, what is new counts as the rest.
            self._counts[what if what in self._counts or len(self._counts) < 20 else _("something else")] += 1

    @property
    def going_on(self) -> bool:
        """Whether something was refused of late."""
        return bool(self._counts)

    def sweep(self) -> str:
        """Return what is to be told: that refusals began, or ended; mostly an empty text (under a microsecond)."""
        if not self._counts:
            return ""
        with self._lock:
            names = ", ".join(name for name, _count in self._counts.most_common(_NAMED))
            if not self._told:
                self._told = True
                return _("Refused for want of memory: {names}").format(names=names)
            if self._now() - self._last < self._quiet:
                return ""
            total = sum(self._counts.values())
            self._counts.clear()
            self._told = False
        text = plural("{count} request was refused", "{count} requests were refused", total)
        return _("Nothing is refused any more; {text}: {names}").format(text=text, names=names)
