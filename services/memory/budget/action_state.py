"""The state of each budget action: whether it is in force, when it ran last, and when it may run again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

from services.core.errors import NotFoundError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.memory.budget.types import ActionStatus, BudgetAction

T = TypeVar("T")
log = structlog.get_logger(__name__)

# An action that would not help is asked again after this time.
SKIP_SECONDS = 5.0
# The cool-down doubles each time an action frees less than this, up to the given multiple.
_MIN_FREED_BYTES = 2 * MEGABYTE
_MAX_BACKOFF = 16


@dataclass(slots=True)
class ActionState:
    """The state of one action.

    `real` is False where it ran in a dry run only. `by` is the name of the person who ran it, "" for the budget.
    """

    action: BudgetAction
    place: int
    active: bool = False
    real: bool = False
    by: str = ""
    since: float | None = None
    last: float | None = None
    taken: int = 0
    freed: int | None = None
    futile_runs: int = 0  # consecutive runs that freed next to nothing while the pressure did not grow
    not_before: float = 0.0  # earliest time of the next run
    undo_not_before: float = 0.0  # earliest time of the next attempt to undo it
    reported: bool = False  # whether the journal says that it would not help, since the level was last CALM


class ActionStates:
    """All actions in the order in which they are run, and those in force in the order in which they were run."""

    def __init__(self) -> None:
        self._by_name: dict[str, ActionState] = {}
        self._active: list[ActionState] = []

    def add(self, action: BudgetAction) -> None:
        """Add an action; a second one of the same name replaces the first."""
        old = self._by_name.get(action.name)
        self._by_name[action.name] = ActionState(action, old.place if old else len(self._by_name))

    @property
    def states(self) -> Sequence[ActionState]:
        """The states of all actions, in the order in which the actions are run."""
        return tuple(self._by_name.values())

    @property
    def actions(self) -> Sequence[BudgetAction]:
        """All actions in the order in which they are run."""
        return tuple(state.action for state in self._by_name.values())

    @property
    def active(self) -> Sequence[ActionState]:
        """The actions in force, in the order in which they were run."""
        return tuple(self._active)

    def statuses(self) -> list[ActionStatus]:
        """Return the status of each action, with its present estimate."""
        return [
            ActionStatus(
                name=state.action.name,
                level=state.action.level,
                label=state.action.label,
                explanation=state.action.explanation,
                undoable=state.action.undo is not None,
                active=state.active,
                by=state.by,
                since=state.since,
                last=state.last,
                taken=state.taken,
                freed_bytes=state.freed,
                estimate_bytes=_call_or_default(state.action.estimate, None),
                skip_reason="" if state.active else _call_or_default(state.action.skip_reason, ""),
            )
            for state in self.states
        ]

    def get(self, name: str) -> ActionState:
        """Return the state of an action.

        Raises:
            NotFoundError: there is no action of that name.
        """
        state = self._by_name.get(name)
        if state is None:
            raise NotFoundError(_("There is no action named {name}.").format(name=name[:50]))
        return state

    def record_run(self, state: ActionState, now: float, freed: int | None, *, by: str, real: bool) -> None:
        """Record that an action was run."""
        state.last, state.freed = now, freed
        state.taken += 1
        state.reported = False
        futile = state.action.undo is None and freed is not None and freed < _MIN_FREED_BYTES
        state.futile_runs = state.futile_runs + 1 if futile else 0
        state.not_before = now + state.action.cool_down * min(2**state.futile_runs, _MAX_BACKOFF)
        if state.action.undo is not None:
            state.active, state.real, state.by, state.since = True, real, by, now
            if state not in self._active:
                self._active.append(state)

    def record_undo(self, state: ActionState, now: float, *, cool_down: bool) -> None:
        """Record that an action is no longer in force; with `cool_down` the budget does not run it again at once."""
        state.active, state.real, state.by, state.since = False, False, "", None
        state.not_before = now + state.action.cool_down if cool_down else 0.0
        if state in self._active:
            self._active.remove(state)

    def reset_backoff(self) -> None:
        """End longer cool-downs: the pressure has grown, so what freed nothing before may free something now."""
        for state in self._by_name.values():
            if state.futile_runs and state.last is not None:
                state.futile_runs = 0
                state.not_before = min(state.not_before, state.last + state.action.cool_down)

    def reset_reported(self) -> None:
        """Have skipped actions reported again: the level is back at CALM."""
        for state in self._by_name.values():
            state.reported = False


def _call_or_default(call: Callable[[], T], default: T) -> T:
    try:
        return call()
    except Exception:
        # One action that fails must not hide the status of the others.
        log.exception("budget action's estimate failed")
        return default
