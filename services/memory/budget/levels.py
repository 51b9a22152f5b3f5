"""The level of memory use, by watermarks with sustained times and hysteresis, and periods of refused work."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable

from services.core.i18n import _, listed, plural
from services.memory.budget.types import Budget, BudgetLevel

# Use that stays between the two bounds of a watermark for so long counts as left: no action can free what stays
# (e.g. imported modules), and the level would never end.
SETTLED_SECONDS = 30.0
# A period of refusals ends when there was none for so long.
QUIET_SECONDS = 30.0
_MAX_NAMES = 3


class LevelTracker:
    """Tracks the level from successive measurements.

    Upwards it may skip levels: use over the hard watermark for its sustained time is HARD, however briefly it was
    over the soft one. Downwards each level must have been left for its release time, or use must have stayed under its
    watermark for `SETTLED_SECONDS`.
    """

    def __init__(self) -> None:
        self.level = BudgetLevel.CALM
        self.since = 0.0
        self._reached: dict[BudgetLevel, float] = {}  # since when the level is at least the key
        self._over: dict[BudgetLevel, float] = {}  # since when use is over the watermark
        self._below: dict[BudgetLevel, float] = {}  # since when use is under the watermark
        self._under: dict[BudgetLevel, float] = {}  # since when use is under the watermark less its hysteresis

    def update(self, now: float, used: int, budget: Budget) -> BudgetLevel:
        """Add a measurement of `used` bytes and return the level."""
        self.since = self.since or now
        level = BudgetLevel.CALM
        for mark in budget.watermarks:
            if used >= budget.reached_bytes(mark.level):
                self._below.pop(mark.level, None)
                if now - self._over.setdefault(mark.level, now) >= mark.sustained_seconds:
                    level = max(level, mark.level)
            else:
                self._over.pop(mark.level, None)
                self._below.setdefault(mark.level, now)
            if used < budget.left_bytes(mark.level):
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

    def seconds_at_least(self, level: BudgetLevel, now: float) -> float:
        """Return for how many seconds the level has been `level` or above."""
        return now - self._reached.get(level, now)

    def reset(self, now: float) -> None:
        """Start over at CALM."""
        self.level, self.since = BudgetLevel.CALM, now
        self._reached.clear()
        self._over.clear()
        self._below.clear()
        self._under.clear()


class RefusalLog:
    """Counts refusals and reports when a period of them begins and ends, rather than each one. Thread-safe."""

    def __init__(self, now: Callable[[], float], *, quiet: float = QUIET_SECONDS) -> None:
        self._now = now
        self._quiet = quiet
        self._lock = threading.RLock()
        self._counts: Counter[str] = Counter()
        self._last = 0.0
        self._begin_reported = False

    def record(self, what: str) -> None:
        """Record that `what` (in words) was refused."""
        with self._lock:
            self._last = self._now()
            # Bounded: there are few kinds of work, and further ones are counted together.
            self._counts[what if what in self._counts or len(self._counts) < 20 else _("something else")] += 1

    @property
    def active(self) -> bool:
        """Whether a period of refusals has not ended yet."""
        return bool(self._counts)

    def poll(self) -> str:
        """Return a message if a period of refusals has begun or ended, else "" (under a microsecond)."""
        if not self._counts:
            return ""
        with self._lock:
            names = listed(name for name, _count in self._counts.most_common(_MAX_NAMES))
            if not self._begin_reported:
                self._begin_reported = True
                return _("Refused for lack of memory: {names}").format(names=names)
            if self._now() - self._last < self._quiet:
                return ""
            total = sum(self._counts.values())
            self._counts.clear()
            self._begin_reported = False
        text = plural("{count} request was refused", "{count} requests were refused", total)
        return _("Refusals have ended; {text}: {names}").format(text=text, names=names)
