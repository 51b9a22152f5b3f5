"""A governor over a simulated process: the test sets RSS and time."""

from __future__ import annotations

from collections.abc import Callable

from services.core.machine import MEGABYTE
from services.memory.budget.governor import Governor
from services.memory.budget.types import (
    Budget,
    BudgetAction,
    BudgetLevel,
    Decision,
    DecisionKind,
    LimitSource,
    Watermark,
)
from services.memory.clock import Clock
from tests.events import RecordingEventSink

LIMIT = 1000
SUSTAINED = 5.0
MARKS = (
    Watermark(BudgetLevel.SOFT, 0.70, SUSTAINED, 0.05),
    Watermark(BudgetLevel.HIGH, 0.80, SUSTAINED / 2, 0.05, release=SUSTAINED),
    Watermark(BudgetLevel.HARD, 0.90, 0.0, 0.05, release=SUSTAINED),
)
COOL_DOWN = 60.0


class ManualClock(Clock):
    """A clock that moves only when the test moves it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now


class Machine:
    """The governor, with two actions at each level: one runs once, one can be undone. `done` lists their runs."""

    def __init__(self, *, floor: int = 300, limit: int = LIMIT, dry_run: bool = False, actions: bool = True) -> None:
        self.clock = ManualClock()
        self.sink = RecordingEventSink()
        self.rss = floor
        self.limit = limit
        self.others = 0
        self.done: list[str] = []
        self.in_force: list[str] = []
        self.effects: dict[str, int] = {}
        self.pointless: dict[str, str] = {}
        self.broken: set[str] = set()
        self.governor = Governor(
            self.clock,
            lambda: Budget(self.limit * MEGABYTE, LimitSource.CONFIGURED, MARKS),
            self.sink,
            rss=lambda: self.rss * MEGABYTE,
            used=lambda rss: rss + self.others * MEGABYTE,
            floor=lambda: floor * MEGABYTE,
            dry_run=dry_run,
        )
        if actions:
            for level in (BudgetLevel.SOFT, BudgetLevel.HIGH, BudgetLevel.HARD):
                name = level.name.lower()
                self.governor.add_action(self.action(f"once_{name}", level))
                self.governor.add_action(self.action(f"keep_{name}", level, undoable=True))

    def action(self, name: str, level: BudgetLevel, *, undoable: bool = False, patience: float = 0.0) -> BudgetAction:
        def run() -> str:
            if name in self.broken:
                raise RuntimeError(name)
            self.done.append(name)
            if undoable:
                self.in_force.append(name)
            self.rss -= self.effects.get(name, 0)
            return "done"

        def undo() -> str:
            if name in self.broken:
                raise RuntimeError(name)
            assert self.in_force[-1:] == [name], "undone out of order, or without having run"
            self.in_force.pop()
            self.done.append(f"-{name}")
            return "undone"

        return BudgetAction(
            name,
            level,
            name,
            "",
            run,
            undo if undoable else None,
            skip_reason=lambda: self.pointless.get(name, ""),
            cool_down=COOL_DOWN,
            patience=patience,
        )

    def run(self, seconds: float, rss: int | None = None, *, until: Callable[[], bool] | None = None) -> None:
        """Advance the clock, with four checks a second."""
        if rss is not None:
            self.rss = rss
        for _number in range(round(seconds * 4)):
            self.governor.check()
            if until is not None and until():
                return
            self.clock.now += 0.25

    @property
    def level(self) -> BudgetLevel:
        return self.governor.level

    def decided(self, kind: DecisionKind) -> list[Decision]:
        """Return the decisions of a kind, oldest first."""
        return [each for each in reversed(self.governor.decisions(500)) if each.kind is kind]
