"""Takes and undoes steps: evidence before, effect after, a decision in the journal each time.

Calls what a step does: errors become words, and what may take long is not waited for without an end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from services.core.access import SERVICE, Actor
from services.core.errors import MillpondError
from services.core.i18n import _
from services.memory.budget import messages
from services.memory.budget.action_state import ActionState, ActionStates
from services.memory.budget.journal import Journal
from services.memory.budget.types import Budget, BudgetLevel, Decision, DecisionKind

if TYPE_CHECKING:
    from services.core.memory_report import Owner

log = structlog.get_logger(__name__)

# In a dry run a step that would be repeated is told so much more seldom: nothing comes of it.
_DRY_PATIENCE = 10


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known when something is decided; bytes."""

    now: float
    used: int
    rss: int
    budget: Budget
    level: BudgetLevel


class ActionRunner:
    """Does what was decided. One call at a time; whoever decides sees to that."""

    def __init__(
        self,
        now: Callable[[], float],
        rss: Callable[[], int],
        owners: Callable[[], Mapping[Owner, int]],
        force: ActionStates,
        journal: Journal,
    ) -> None:
        self._now = now
        self._rss = rss
        self._owners = owners
        self._force = force
        self._journal = journal
        self.acting = CallRunner()

    def take(self, record: ActionState, situation: Situation, actor: Actor, *, dry: bool) -> Decision:
        """Take a step, or in a dry run say so."""
        step, by = record.step, "" if actor is SERVICE else actor.name
        evidence = messages.evidence(situation.budget, situation.used, situation.rss, step.level)
        if dry:
            self._force.taken(record, situation.now, None, by=by, real=False)
            if step.undo is None:
                record.not_before = situation.now + _DRY_PATIENCE * step.cool_down
            outcome = messages.would_free(step.estimate())
            return self.tell(DecisionKind.TAKEN, situation, evidence, outcome, record, actor=actor, dry=True)
        owners = self._owners()
        acted, after, seconds = self._call(record, step.take)
        if acted.failed:
            record.not_before = self._now() + step.cool_down
        else:
            self._force.taken(record, self._now(), situation.rss - after, by=by, real=True)
        return self.tell(
            DecisionKind.FAILED if acted.failed else DecisionKind.TAKEN,
            situation,
            evidence,
            acted.outcome,
            record,
            actor=actor,
            after=after,
            seconds=seconds,
            owners=(owners, self._owners()),
        )

    def undo(self, record: ActionState, situation: Situation, actor: Actor) -> Decision:
        """End a step that is in force; one that a person ended is not taken again before its cool-down."""
        step = record.step
        by_itself = actor is SERVICE
        evidence = messages.recovery(situation.budget, situation.used, situation.rss, step.level) if by_itself else ""
        if not record.real or step.undo is None:
            self._force.undone(record, situation.now, rest=not by_itself)
            return self.tell(DecisionKind.UNDONE, situation, evidence, _("it would end"), record, actor=actor, dry=True)
        acted, after, seconds = self._call(record, step.undo)
        if acted.failed:
            record.end_not_before = self._now() + step.cool_down
        else:
            self._force.undone(record, self._now(), rest=not by_itself)
        kind = DecisionKind.FAILED if acted.failed else DecisionKind.UNDONE
        return self.tell(kind, situation, evidence, acted.outcome, record, actor=actor, after=after, seconds=seconds)

    def tell(
        self,
        kind: DecisionKind,
        situation: Situation,
        evidence: str,
        outcome: str,
        record: ActionState | None = None,
        *,
        actor: Actor = SERVICE,
        dry: bool = False,
        after: int | None = None,
        seconds: float = 0.0,
        owners: tuple[Mapping[Owner, int], Mapping[Owner, int]] = ({}, {}),
    ) -> Decision:
        """Put a decision into the journal and return it."""
        decision = Decision(
            time=self._now(),
            level=situation.level,
            step=record.step.name if record else "",
            label=record.step.label if record else "",
            evidence=evidence,
            outcome=outcome,
            rss_before=situation.rss,
            rss_after=situation.rss if after is None else after,
            dry_run=dry,
            undone=kind is DecisionKind.UNDONE,
            kind=kind,
            actor=actor.name,
            seconds=seconds,
            owners_before=owners[0],
            owners_after=owners[1],
        )
        self._journal.add(decision, record.place if record else -1, situation.budget.limit)
        return decision

    def _call(self, record: ActionState, call: Callable[[], str]) -> tuple[CallResult, int, float]:
        """Call and return how it ended, the RSS after and how long it took, in bytes and seconds."""
        began = time.perf_counter()
        acted = self.acting.call(record.step.name, call, record.step.timeout)
        return acted, self._rss(), time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class CallResult:
    """How a call ended."""

    outcome: str
    failed: bool = False


class CallRunner:
    """Runs calls by name; a name whose last call has not ended is not called again."""

    def __init__(self) -> None:
        self._running: dict[str, threading.Thread] = {}

    def busy(self, name: str) -> bool:
        """Return whether a call was given up waiting for and has not ended."""
        thread = self._running.get(name)
        if thread is not None and not thread.is_alive():
            del self._running[name]
            return False
        return thread is not None

    def call(self, name: str, call: Callable[[], str], timeout: float) -> CallResult:
        """Call; with a `timeout` in seconds in a thread of its own. Never raises."""
        if not timeout:
            return _called(name, call)
        if self.busy(name):
            return CallResult(_("the last try has not ended yet"), failed=True)
        found: list[CallResult] = []
        thread = threading.Thread(
            target=lambda: found.append(_called(name, call)), name=f"budget-{name}"[:15], daemon=True
        )
        thread.start()
        thread.join(timeout)
        if found:
            return found[0]
        self._running[name] = thread
        return CallResult(_("not through after {seconds:.0f} s; it goes on").format(seconds=timeout), failed=True)


def _called(name: str, call: Callable[[], str]) -> CallResult:
    try:
        return CallResult(call())
    except MillpondError as error:
        log.warning("a step of the memory budget failed", step=name, reason=str(error))
        return CallResult(error.message, failed=True)
    except Exception as error:
        # The budget must go on with its other steps.
        log.exception("a step of the memory budget failed", step=name)
        return CallResult(_("an unexpected error: {kind}").format(kind=type(error).__name__), failed=True)
