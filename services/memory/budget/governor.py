"""Keeps RSS within the budget: looks several times a second, acts in steps, goes back in the other order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from services.core.access import SERVICE, Actor
from services.core.errors import BusyError, ConflictError
from services.core.events import EventSink
from services.core.i18n import _
from services.memory.budget import messages
from services.memory.budget.action_state import PASSED_SECONDS, ActionState, ActionStates
from services.memory.budget.actions import ActionRunner, Situation
from services.memory.budget.journal import Journal
from services.memory.budget.levels import LevelWatch
from services.memory.budget.types import (
    ActionStatus,
    Budget,
    BudgetAction,
    BudgetLevel,
    Decision,
    DecisionKind,
    GovernorState,
)
from services.memory.clock import Clock

if TYPE_CHECKING:
    from services.core.memory_report import Owner

# How long the effect of a step is watched before the next one, in seconds, by level. Over the hard watermark nobody
# waits: what the last step gave back shows in the next look.
SETTLE_SECONDS: Mapping[BudgetLevel, float] = {
    BudgetLevel.CALM: 1.0,
    BudgetLevel.SOFT: 4.0,
    BudgetLevel.HIGH: 2.0,
    BudgetLevel.HARD: 0.0,
}
_PATIENCE_SECONDS = 20.0


class Governor:
    """Decides by what it is told; `look` is called by one thread. Thread-safe.

    Args:
        budget: the limit and the watermarks, asked in each look: quick.
        rss: of this process, in bytes.
        used: from the RSS what is held against the limit, in bytes; by default the RSS itself.
        ready: whether the service is; before, nothing is done.
        floor: RSS when it was ready, in bytes; 0: the first RSS that is seen then.
        reserved: bytes that are promised to work in progress.
        owners: what each owner holds, for the effect of a step (some 25 ms).
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
        settle: Mapping[BudgetLevel, float] = SETTLE_SECONDS,
    ) -> None:
        self._clock = clock
        self._ask_budget = budget
        self._rss = rss
        self._used = used
        self._ready = ready
        self._ask_floor = floor
        self._reserved = reserved
        self._settle = settle
        self._dry_run = dry_run
        self._enabled = enabled
        self._floor = self._peak = 0
        self._settled = 0.0  # when the effect of the last step has been seen
        self._watch = LevelWatch()
        self._force = ActionStates()
        self._journal = Journal(reporter)
        self._stepping = ActionRunner(clock.time, rss, owners, self._force, self._journal)
        self._deciding = threading.RLock()  # held while a step is being taken

    # What there is

    def add_step(self, step: BudgetAction) -> None:
        """Add a step after those that are there."""
        self._force.add(step)

    def steps(self) -> Sequence[BudgetAction]:
        """Return the steps in the order in which they are taken."""
        return self._force.steps

    def add_listener(self, listener: Callable[[Decision], None]) -> None:
        """Have `listener` called with each decision, in the thread of whoever decided; it is quick."""
        self._journal.add_listener(listener)

    def recall(self, decisions: Iterable[Decision]) -> None:
        """Take in what earlier runs decided, the newest first."""
        self._journal.recall(decisions)

    @property
    def acting(self) -> bool:
        """Whether the budget really does something: neither paused nor in a dry run."""
        return self._enabled and not self._dry_run

    @property
    def level(self) -> BudgetLevel:
        """The level that was reached."""
        return self._watch.level

    def budget(self) -> Budget:
        """Return the limit and the watermarks as they are now."""
        return replace(self._ask_budget(), floor=self._floor)

    def state(self) -> GovernorState:
        """Return how the budget stands."""
        found = self._situation()
        waiting = next((record for record in self._force.records if self._is_due(record, found)), None)
        return GovernorState(
            budget=found.budget,
            level=found.level,
            since=self._watch.since or found.now,
            rss=found.rss,
            dry_run=self._dry_run,
            enabled=self._enabled,
            active=tuple(record.step.name for record in self._force.active),
            next_step=waiting.step.name if waiting else "",
            used=found.used,
            reserved=self._reserved(),
            floor=self._floor,
            peak=max(self._peak, found.used),
            warning=messages.warning(found.budget, found.rss, found.used),
        )

    def step_states(self) -> list[ActionStatus]:
        """Return how each step stands, in the order in which they are taken."""
        return self._force.states()

    def decisions(self, limit: int = 200) -> list[Decision]:
        """Return what was decided of late, the newest first; what is from before the last start comes from events."""
        return self._journal.newest(limit)

    def counts(self) -> Mapping[tuple[str, DecisionKind], int]:
        """Return how often what was decided in this process, by step ("": none) and kind."""
        return self._journal.counts()

    def set_dry_run(self, actor: Actor, dry_run: bool) -> None:
        """Only say what would be done, or do it again; what is in force is undone.

        Raises:
            ForbiddenError: `actor` may only look.
            BusyError: a step is being taken, and that does not end.
        """
        actor.require_admin(_("Change the budget"))
        with self._alone():
            if dry_run != self._dry_run:
                self._clear(actor)
                self._dry_run = dry_run
                outcome = _("The budget only says what it would do") if dry_run else _("The budget acts")
                self._stepping.tell(DecisionKind.MODE, self._situation(), "", outcome, actor=actor)

    def set_enabled(self, actor: Actor, enabled: bool) -> None:
        """Pause the budget (what it has in force is undone) or let it act again; errors as for `set_dry_run`."""
        actor.require_admin(_("Change the budget"))
        with self._alone():
            if enabled != self._enabled:
                self._clear(actor)
                self._enabled = enabled
                self._watch.forget(self._clock.time())
                outcome = _("The budget goes on") if enabled else _("The budget is paused")
                self._stepping.tell(DecisionKind.MODE, self._situation(), "", outcome, actor=actor)

    def take(self, actor: Actor, name: str) -> Decision:
        """Take one step by hand, also in a dry run; one that can be undone stays until somebody undoes it.

        Raises:
            ForbiddenError, NotFoundError, BusyError: as for `set_dry_run`; there is no such step.
            ConflictError: it is in force already.
        """
        actor.require_admin(_("Take a step of the budget"))
        with self._alone():
            record = self._force.known(name)
            if record.active and record.real:
                raise ConflictError(_("{label}: that is in force already.").format(label=record.step.label))
            return self._stepping.take(record, self._situation(), actor, dry=False)

    def undo(self, actor: Actor, name: str) -> Decision:
        """End one step that is in force; the budget may take it again after its cool-down.

        Raises:
            ForbiddenError, NotFoundError, BusyError: as for `take`.
            ConflictError: it is not in force.
        """
        actor.require_admin(_("Undo a step of the budget"))
        with self._alone():
            record = self._force.known(name)
            if not record.active:
                raise ConflictError(_("{label}: that is not in force.").format(label=record.step.label))
            return self._stepping.undo(record, self._situation(), actor)

    def undo_all(self, actor: Actor) -> list[Decision]:
        """End every step that is in force, the last one first; errors as for `undo`."""
        actor.require_admin(_("Undo the steps of the budget"))
        with self._alone():
            return self._clear(actor)

    # What goes on by itself

    def look(self) -> None:
        """Look once, and act where it is time (some microseconds when all is calm)."""
        if not self._enabled or not self._ready():
            return
        if not self._deciding.acquire(blocking=False):  # a person acts: next time
            return
        try:
            self._look()
        finally:
            self._deciding.release()

    def note(self, outcome: str, evidence: str = "") -> None:
        """Put into the journal what was refused for want of memory, or that this has ended."""
        self._stepping.tell(DecisionKind.REFUSED, self._situation(), evidence, outcome)

    def _look(self) -> None:
        found = self._situation()
        self._floor = self._floor or self._ask_floor() or found.rss
        self._peak = max(self._peak, found.used)
        if not found.budget.limit:
            return
        level = self._watch.look(found.now, found.used, found.budget)
        if level is not found.level:
            self._note_level(found.level, replace(found, level=level))
        if level is not BudgetLevel.CALM or self._force.active:
            self._act(replace(found, level=level))

    def _note_level(self, before: BudgetLevel, found: Situation) -> None:
        if found.level is BudgetLevel.CALM:
            self._force.calm()
        if found.level > before:
            self._settled = found.now  # what is more urgent does not wait for the effect of what was less
            self._force.pressed()
        words = messages.evidence if found.level > before else messages.recovery
        evidence = words(found.budget, found.used, found.rss, max(found.level, before) if before else found.level)
        outcome = messages.change(before, found.level)
        self._stepping.tell(DecisionKind.LEVEL, found, evidence, outcome, dry=self._dry_run)

    def _act(self, found: Situation) -> None:
        """Undo or take one step, if the effect of the last one has been seen."""
        if found.now < self._settled:
            return
        for record in reversed(self._force.active):
            if record.step.level > found.level and not record.by and found.now >= record.end_not_before:
                self._stepping.undo(record, found, SERVICE)
                self._wait(found.level)
                return
        for record in self._force.records:
            if self._is_due(record, found) and found.used >= found.budget.reached(record.step.level):
                reason = self._reason(record)
                if not reason:
                    self._stepping.take(record, found, SERVICE, dry=self._dry_run)
                    self._wait(found.level)
                    return
                self._pass_over(record, found, reason)

    def _pass_over(self, record: ActionState, found: Situation, reason: str) -> None:
        record.not_before = found.now + PASSED_SECONDS
        if not record.told:
            record.told = True
            evidence = messages.evidence(found.budget, found.used, found.rss, record.step.level)
            self._stepping.tell(DecisionKind.PASSED_OVER, found, evidence, reason, record, dry=self._dry_run)

    def _reason(self, record: ActionState) -> str:
        """Return why a step would not help; one that cannot tell is taken."""
        answer = self._stepping.acting.call(record.step.name, record.step.needed, 0.0)
        return "" if answer.failed else answer.outcome

    def _is_due(self, record: ActionState, found: Situation) -> bool:
        step = record.step
        return (
            BudgetLevel.CALM < step.level <= found.level
            and not record.active
            and found.now >= record.not_before
            and self._watch.lasted(step.level, found.now) >= step.patience
            and not self._stepping.acting.busy(step.name)
        )

    def _situation(self) -> Situation:
        rss = self._rss()
        return Situation(self._clock.time(), self._used(rss), rss, self.budget(), self._watch.level)

    def _clear(self, actor: Actor) -> list[Decision]:
        return [self._stepping.undo(record, self._situation(), actor) for record in reversed(self._force.active)]

    def _wait(self, level: BudgetLevel) -> None:
        self._settled = self._clock.time() + self._settle.get(level, 0.0)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._deciding.acquire(timeout=_PATIENCE_SECONDS):
            raise BusyError(_("A step of the budget is being taken just now."), _("Try again in a moment."))
        try:
            yield
        finally:
            self._deciding.release()
