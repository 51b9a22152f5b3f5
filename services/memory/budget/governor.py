"""Keeps RSS within the memory budget: checks several times a second, runs actions in order, undoes them in reverse."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from services.core.actor import SERVICE, Actor, Permission
from services.core.auditing import Action, Target, TargetKind
from services.core.errors import BusyError, ConflictError
from services.core.events import EventSink
from services.core.i18n import _
from services.memory.budget import messages
from services.memory.budget.action_state import SKIP_SECONDS, ActionState, ActionStates
from services.memory.budget.actions import ActionRunner, Situation
from services.memory.budget.journal import Journal
from services.memory.budget.levels import LevelTracker
from services.memory.budget.types import (
    ActionStatus,
    Budget,
    BudgetAction,
    BudgetLevel,
    BudgetReading,
    Decision,
    DecisionKind,
    GovernorState,
)
from services.memory.clock import Clock

if TYPE_CHECKING:
    from services.core.memory_report import Owner

# Seconds to wait for the effect of an action before the next one, by level. Over the hard watermark there is no wait:
# what the last action freed shows in the next check.
SETTLE_SECONDS: Mapping[BudgetLevel, float] = {
    BudgetLevel.CALM: 1.0,
    BudgetLevel.SOFT: 4.0,
    BudgetLevel.HIGH: 2.0,
    BudgetLevel.HARD: 0.0,
}
_LOCK_TIMEOUT_SECONDS = 20.0


class Governor:
    """Decides which budget actions run, and when; `check` is called by one thread. Thread-safe.

    Args:
        budget: the limit and the watermarks, read in each check, so it must be quick.
        rss: of this process, in bytes.
        used: returns the bytes that count against the limit, given the RSS; by default the RSS itself.
        ready: whether the service is ready; before that nothing is done.
        floor: RSS when the service was ready, in bytes; 0: the first RSS seen after that.
        reserved: bytes reserved for work in progress.
        owners: bytes by owner, for the effect of an action (about 25 ms).
        shown: returns RSS, the bytes that count against the limit, limit and watermarks as everything else shows them,
            for `state`; None: read now. Decisions are always based on what is read now.
        settle: seconds to wait for the effect of an action, by level.
    """

    def __init__(
        self,
        clock: Clock,
        budget: Callable[[], Budget],
        reporter: EventSink,
        *,
        rss: Callable[[], int],
        dry_run: bool = False,
        enabled: bool = True,
        used: Callable[[int], int] = lambda rss: rss,
        ready: Callable[[], bool] = lambda: True,
        floor: Callable[[], int] = lambda: 0,
        reserved: Callable[[], int] = lambda: 0,
        owners: Callable[[], Mapping[Owner, int]] = dict,
        shown: Callable[[], BudgetReading | None] = lambda: None,
        settle: Mapping[BudgetLevel, float] = SETTLE_SECONDS,
    ) -> None:
        self._clock = clock
        self._read_budget = budget
        self._rss = rss
        self._used = used
        self._ready = ready
        self._read_floor = floor
        self._reserved = reserved
        self._shown = shown
        self._settle = settle
        self._dry_run = dry_run
        self._enabled = enabled
        self._floor = self._peak = 0
        self._settled_at = 0.0  # when the effect of the last action has shown
        self._levels = LevelTracker()
        self._states = ActionStates()
        self._reporter = reporter
        self._journal = Journal(reporter)
        self._runner = ActionRunner(clock.time, rss, owners, self._states, self._journal)
        self._lock = threading.RLock()  # held while an action runs

    # Queries and manual control

    def add_action(self, action: BudgetAction) -> None:
        """Add an action after the existing ones."""
        self._states.add(action)

    def actions(self) -> Sequence[BudgetAction]:
        """Return the actions in the order in which they are run."""
        return self._states.actions

    def add_listener(self, listener: Callable[[Decision], None]) -> None:
        """Call `listener` with each decision, in the thread that decided; it must be quick."""
        self._journal.add_listener(listener)

    def restore_decisions(self, decisions: Iterable[Decision]) -> None:
        """Add the decisions of earlier runs, newest first."""
        self._journal.restore(decisions)

    @property
    def enforcing(self) -> bool:
        """Whether the budget acts: it is neither paused nor in a dry run."""
        return self._enabled and not self._dry_run

    @property
    def level(self) -> BudgetLevel:
        """The present level."""
        return self._levels.level

    def budget(self) -> Budget:
        """Return the present limit and watermarks."""
        return replace(self._read_budget(), floor=self._floor)

    def state(self) -> GovernorState:
        """Return the state of the budget, with the figures that everything else shows at this moment."""
        situation = self._situation()
        measured_at = situation.now
        if (shown := self._shown()) is not None:
            measured_at, budget = shown.time, replace(shown.budget, floor=self._floor)
            situation = replace(situation, rss=shown.rss, used=shown.used, budget=budget)
        due = next((state for state in self._states.states if self._is_due(state, situation)), None)
        return GovernorState(
            budget=situation.budget,
            level=situation.level,
            since=self._levels.since or situation.now,
            rss_bytes=situation.rss,
            dry_run=self._dry_run,
            enabled=self._enabled,
            active=tuple(state.action.name for state in self._states.active),
            next_step=due.action.name if due else "",
            used_bytes=situation.used,
            reserved_bytes=self._reserved(),
            ready_rss_bytes=self._floor,
            peak_bytes=max(self._peak, situation.used),
            warning=messages.warning(situation.budget, situation.rss, situation.used),
            measured_at=measured_at,
        )

    def action_statuses(self) -> list[ActionStatus]:
        """Return the status of each action, in the order in which they are run."""
        return self._states.statuses()

    def decisions(self, limit: int = 200) -> list[Decision]:
        """Return the most recent decisions, newest first; those of earlier runs were restored from events."""
        return self._journal.newest(limit)

    def decision_counts(self) -> Mapping[tuple[str, DecisionKind], int]:
        """Return the number of decisions of this process, by action ("": none) and kind."""
        return self._journal.counts()

    def set_dry_run(self, actor: Actor, dry_run: bool) -> None:
        """Switch the dry run on or off; actions in force are undone.

        Raises:
            ForbiddenError: `actor` is not an administrator.
            BusyError: an action is still running.
        """
        actor.require(Permission.OPERATE, _("Change the budget"))
        with self._locked():
            if dry_run != self._dry_run:
                self._undo_all(actor)
                self._dry_run = dry_run
                outcome = _("Dry run: the budget only reports what it would do") if dry_run else _("The budget acts")
                self._runner.record_decision(DecisionKind.MODE, self._situation(), "", outcome, actor=actor)
                self._record(actor, Action.BUDGET_CHANGED, "", outcome)

    def set_enabled(self, actor: Actor, enabled: bool) -> None:
        """Pause the budget, undoing its actions, or resume it; errors as for `set_dry_run`."""
        actor.require(Permission.OPERATE, _("Change the budget"))
        with self._locked():
            if enabled != self._enabled:
                self._undo_all(actor)
                self._enabled = enabled
                self._levels.reset(self._clock.time())
                outcome = _("The budget is resumed") if enabled else _("The budget is paused")
                self._runner.record_decision(DecisionKind.MODE, self._situation(), "", outcome, actor=actor)
                self._record(actor, Action.BUDGET_CHANGED, "", outcome)

    def run_action(self, actor: Actor, name: str) -> Decision:
        """Run one action by hand, also in a dry run; one that can be undone stays in force until a person undoes it.

        Raises:
            ForbiddenError, NotFoundError, BusyError: as for `set_dry_run`; there is no such action.
            ConflictError: it is already in force.
        """
        actor.require(Permission.OPERATE, _("Run a budget action"))
        with self._locked():
            state = self._states.get(name)
            if state.active and state.real:
                raise ConflictError(_("{label} is already in force.").format(label=state.action.label))
            decision = self._runner.run(state, self._situation(), actor, dry=False)
            self._record(actor, Action.BUDGET_ACTION, name, decision.outcome)
            return decision

    def undo_action(self, actor: Actor, name: str) -> Decision:
        """Undo one action in force; the budget may run it again after its cool-down.

        Raises:
            ForbiddenError, NotFoundError, BusyError: as for `run_action`.
            ConflictError: it is not in force.
        """
        actor.require(Permission.OPERATE, _("Undo a budget action"))
        with self._locked():
            state = self._states.get(name)
            if not state.active:
                raise ConflictError(_("{label} is not in force.").format(label=state.action.label))
            decision = self._runner.undo(state, self._situation(), actor)
            self._record(actor, Action.BUDGET_ACTION, name, decision.outcome)
            return decision

    def undo_all(self, actor: Actor) -> list[Decision]:
        """Undo every action in force, the last one first; errors as for `undo_action`."""
        actor.require(Permission.OPERATE, _("Undo all budget actions"))
        with self._locked():
            decisions = self._undo_all(actor)
            for decision in decisions:
                self._record(actor, Action.BUDGET_ACTION, decision.step, decision.outcome)
            return decisions

    def _record(self, actor: Actor, action: Action, name: str, detail: str) -> None:
        self._reporter.audit(actor, action, Target(TargetKind.BUDGET, name), detail=detail)

    # Periodic work

    def check(self) -> None:
        """Measure once, and run or undo an action where it is due (some microseconds at CALM)."""
        if not self._enabled or not self._ready():
            return
        if not self._lock.acquire(blocking=False):  # a person is changing something: check next time
            return
        try:
            self._check()
        finally:
            self._lock.release()

    def record_refusal(self, outcome: str, evidence: str = "") -> None:
        """Record in the journal that work was refused for lack of memory, or that refusals have ended."""
        self._runner.record_decision(DecisionKind.REFUSED, self._situation(), evidence, outcome)

    def _check(self) -> None:
        situation = self._situation()
        self._floor = self._floor or self._read_floor() or situation.rss
        self._peak = max(self._peak, situation.used)
        if not situation.budget.limit:
            return
        level = self._levels.update(situation.now, situation.used, situation.budget)
        if level is not situation.level:
            self._record_level(situation.level, replace(situation, level=level))
        if level is not BudgetLevel.CALM or self._states.active:
            self._act(replace(situation, level=level))

    def _record_level(self, before: BudgetLevel, situation: Situation) -> None:
        if situation.level is BudgetLevel.CALM:
            self._states.reset_reported()
        if situation.level > before:
            self._settled_at = situation.now  # a more urgent level does not wait for the effect of a less urgent action
            self._states.reset_backoff()
        message = messages.evidence if situation.level > before else messages.recovery
        evidence = message(
            situation.budget, situation.used, situation.rss, max(situation.level, before) if before else situation.level
        )
        outcome = messages.change(before, situation.level)
        self._runner.record_decision(DecisionKind.LEVEL, situation, evidence, outcome, dry=self._dry_run)

    def _act(self, situation: Situation) -> None:
        """Undo or run one action, once the effect of the last one has shown."""
        if situation.now < self._settled_at:
            return
        for state in reversed(self._states.active):
            if state.action.level > situation.level and not state.by and situation.now >= state.undo_not_before:
                self._runner.undo(state, situation, SERVICE)
                self._wait_for_effect(situation.level)
                return
        for state in self._states.states:
            if self._is_due(state, situation) and situation.used >= situation.budget.reached_bytes(state.action.level):
                reason = self._skip_reason(state)
                if not reason:
                    self._runner.run(state, situation, SERVICE, dry=self._dry_run)
                    self._wait_for_effect(situation.level)
                    return
                self._skip(state, situation, reason)

    def _skip(self, state: ActionState, situation: Situation, reason: str) -> None:
        state.not_before = situation.now + SKIP_SECONDS
        if not state.reported:
            state.reported = True
            evidence = messages.evidence(situation.budget, situation.used, situation.rss, state.action.level)
            self._runner.record_decision(
                DecisionKind.PASSED_OVER, situation, evidence, reason, state, dry=self._dry_run
            )

    def _skip_reason(self, state: ActionState) -> str:
        """Return why an action would not help, "" where it would or where that cannot be told."""
        answer = self._runner.calls.call(state.action.name, state.action.skip_reason, 0.0)
        return "" if answer.failed else answer.outcome

    def _is_due(self, state: ActionState, situation: Situation) -> bool:
        action = state.action
        return (
            BudgetLevel.CALM < action.level <= situation.level
            and not state.active
            and situation.now >= state.not_before
            and self._levels.seconds_at_least(action.level, situation.now) >= action.patience
            and not self._runner.calls.busy(action.name)
        )

    def _situation(self) -> Situation:
        rss = self._rss()
        return Situation(self._clock.time(), self._used(rss), rss, self.budget(), self._levels.level)

    def _undo_all(self, actor: Actor) -> list[Decision]:
        return [self._runner.undo(state, self._situation(), actor) for state in reversed(self._states.active)]

    def _wait_for_effect(self, level: BudgetLevel) -> None:
        self._settled_at = self._clock.time() + self._settle.get(level, 0.0)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=_LOCK_TIMEOUT_SECONDS):
            raise BusyError(_("A budget action is running."), _("Try again in a moment."))
        try:
            yield
        finally:
            self._lock.release()
