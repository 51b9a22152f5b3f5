"""Which steps were taken, which are in force, and which may be taken now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

from services.core.errors import NotFoundError
from services.core.i18n import _
from services.core.settings import MEGABYTE
from services.memory.budget.types import ActionStatus, BudgetAction

T = TypeVar("T")
log = structlog.get_logger(__name__)

# So long it is believed that a step would not help.
PASSED_SECONDS = 5.0
# A step that gave back less than this waits twice as long each time before it is repeated, up to so many cool-downs.
_LEAST_GAIN = 2 * MEGABYTE
_MOST_COOL_DOWNS = 16


@dataclass(slots=True)
class ActionState:
    """What is known of one step. `real` is whether it really was done, not in a dry run; `by` a person's name or ""."""

    step: BudgetAction
    place: int
    active: bool = False
    real: bool = False
    by: str = ""
    since: float | None = None
    last: float | None = None
    taken: int = 0
    freed: int | None = None
    in_vain: int = 0  # how often in a row it gave back next to nothing, while the pressure did not grow
    not_before: float = 0.0  # when it may be taken again
    end_not_before: float = 0.0  # when its end may be tried again
    told: bool = False  # that it would not help, since the last time that all was calm


class ActionStates:
    """The steps in their order, and of those in force the order in which they were taken."""

    def __init__(self) -> None:
        self._records: dict[str, ActionState] = {}
        self._active: list[ActionState] = []

    def add(self, step: BudgetAction) -> None:
        """Add a step; a second one of its name takes the first one's place."""
        old = self._records.get(step.name)
        self._records[step.name] = ActionState(step, old.place if old else len(self._records))

    @property
    def records(self) -> Sequence[ActionState]:
        """All steps in the order in which they are taken."""
        return tuple(self._records.values())

    @property
    def steps(self) -> Sequence[BudgetAction]:
        """All steps in the order in which they are taken."""
        return tuple(record.step for record in self._records.values())

    @property
    def active(self) -> Sequence[ActionState]:
        """Those in force, in the order in which they were taken."""
        return tuple(self._active)

    def states(self) -> list[ActionStatus]:
        """Return how each step stands."""
        return [
            ActionStatus(
                name=record.step.name,
                level=record.step.level,
                label=record.step.label,
                explanation=record.step.explanation,
                undoable=record.step.undo is not None,
                active=record.active,
                by=record.by,
                since=record.since,
                last=record.last,
                taken=record.taken,
                freed=record.freed,
                estimate=_asked(record.step.estimate, None),
                reason="" if record.active else _asked(record.step.needed, ""),
            )
            for record in self.records
        ]

    def known(self, name: str) -> ActionState:
        """Return what is known of a step.

        Raises:
            NotFoundError: there is none of that name.
        """
        record = self._records.get(name)
        if record is None:
            raise NotFoundError(_("There is no step named {name}.").format(name=name[:50]))
        return record

    def taken(self, record: ActionState, now: float, freed: int | None, *, by: str, real: bool) -> None:
        """Note that a step was taken."""
        record.last, record.freed = now, freed
        record.taken += 1
        record.told = False
        in_vain = record.step.undo is None and freed is not None and freed < _LEAST_GAIN
        record.in_vain = record.in_vain + 1 if in_vain else 0
        record.not_before = now + record.step.cool_down * min(2**record.in_vain, _MOST_COOL_DOWNS)
        if record.step.undo is not None:
            record.active, record.real, record.by, record.since = True, real, by, now
            if record not in self._active:
                self._active.append(record)

    def undone(self, record: ActionState, now: float, *, rest: bool) -> None:
        """Note that a step is in force no more; `rest` keeps the budget from taking it again at once."""
        record.active, record.real, record.by, record.since = False, False, "", None
        record.not_before = now + record.step.cool_down if rest else 0.0
        if record in self._active:
            self._active.remove(record)

    def pressed(self) -> None:
        """Note that memory has become shorter: what brought nothing may bring something now."""
        for record in self._records.values():
            if record.in_vain and record.last is not None:
                record.in_vain = 0
                record.not_before = min(record.not_before, record.last + record.step.cool_down)

    def calm(self) -> None:
        """Note that all is calm: what would not help may be told again next time."""
        for record in self._records.values():
            record.told = False


def _asked(ask: Callable[[], T], otherwise: T) -> T:
    try:
        return ask()
    except Exception:
        # A step that cannot tell must not take the whole table away.
        log.exception("a step of the memory budget could not be asked")
        return otherwise
