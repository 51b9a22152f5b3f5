"""Runs and undoes budget actions, and records each as a decision with its evidence, outcome and RSS before and after.

An action's errors become its outcome. An action with a timeout runs in its own thread, which is not waited for longer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from services.core.actor import SERVICE, Actor
from services.core.errors import MillpondError
from services.core.i18n import _
from services.memory.budget import messages
from services.memory.budget.action_state import ActionState, ActionStates
from services.memory.budget.journal import Journal
from services.memory.budget.types import Budget, BudgetLevel, Decision, DecisionKind

if TYPE_CHECKING:
    from services.core.memory_report import Owner

log = structlog.get_logger(__name__)

# In a dry run a repeatable action is recorded only once in so many cool-downs, since it changes nothing.
_DRY_RUN_COOL_DOWNS = 10


@dataclass(frozen=True, slots=True)
class Situation:
    """The measurements that a decision is based on, in bytes."""

    now: float
    used: int
    rss: int
    budget: Budget
    level: BudgetLevel


class ActionRunner:
    """Executes decisions. Not thread-safe: the governor makes one call at a time."""

    def __init__(
        self,
        now: Callable[[], float],
        rss: Callable[[], int],
        owners: Callable[[], Mapping[Owner, int]],
        states: ActionStates,
        journal: Journal,
    ) -> None:
        self._now = now
        self._rss = rss
        self._owners = owners
        self._states = states
        self._journal = journal
        self.calls = CallRunner()

    def run(self, state: ActionState, situation: Situation, actor: Actor, *, dry: bool) -> Decision:
        """Run an action, or in a dry run only record that it would be run."""
        action, by = state.action, "" if actor is SERVICE else actor.name
        evidence = messages.evidence(situation.budget, situation.used, situation.rss, action.level)
        if dry:
            self._states.record_run(state, situation.now, None, by=by, real=False)
            if action.undo is None:
                state.not_before = situation.now + _DRY_RUN_COOL_DOWNS * action.cool_down
            outcome = messages.would_free(action.estimate())
            return self.record_decision(DecisionKind.TAKEN, situation, evidence, outcome, state, actor=actor, dry=True)
        owners = self._owners()
        run = action.run if action.run_for is None or not by else partial(action.run_for, by)
        result, after, seconds = self._call(state, run)
        if result.failed:
            state.not_before = self._now() + action.cool_down
        else:
            self._states.record_run(state, self._now(), situation.rss - after, by=by, real=True)
        return self.record_decision(
            DecisionKind.FAILED if result.failed else DecisionKind.TAKEN,
            situation,
            evidence,
            result.outcome,
            state,
            actor=actor,
            after=after,
            seconds=seconds,
            owners=(owners, self._owners()),
        )

    def undo(self, state: ActionState, situation: Situation, actor: Actor) -> Decision:
        """Undo an action in force; one that a person undid is not run again before its cool-down."""
        action = state.action
        automatic = actor is SERVICE
        evidence = messages.recovery(situation.budget, situation.used, situation.rss, action.level) if automatic else ""
        if not state.real or action.undo is None:
            self._states.record_undo(state, situation.now, cool_down=not automatic)
            return self.record_decision(
                DecisionKind.UNDONE, situation, evidence, _("it would be undone"), state, actor=actor, dry=True
            )
        result, after, seconds = self._call(state, action.undo)
        if result.failed:
            state.undo_not_before = self._now() + action.cool_down
        else:
            self._states.record_undo(state, self._now(), cool_down=not automatic)
        kind = DecisionKind.FAILED if result.failed else DecisionKind.UNDONE
        return self.record_decision(
            kind, situation, evidence, result.outcome, state, actor=actor, after=after, seconds=seconds
        )

    def record_decision(
        self,
        kind: DecisionKind,
        situation: Situation,
        evidence: str,
        outcome: str,
        state: ActionState | None = None,
        *,
        actor: Actor = SERVICE,
        dry: bool = False,
        after: int | None = None,
        seconds: float = 0.0,
        owners: tuple[Mapping[Owner, int], Mapping[Owner, int]] = ({}, {}),
    ) -> Decision:
        """Record a decision in the journal and return it."""
        decision = Decision(
            time=self._now(),
            level=situation.level,
            step=state.action.name if state else "",
            label=state.action.label if state else "",
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
        self._journal.add(decision, state.place if state else -1, situation.budget.limit)
        return decision

    def _call(self, state: ActionState, call: Callable[[], str]) -> tuple[CallResult, int, float]:
        """Call and return the result, the RSS afterwards in bytes, and the duration in seconds."""
        began = time.perf_counter()
        result = self.calls.call(state.action.name, call, state.action.timeout)
        return result, self._rss(), time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class CallResult:
    """The outcome of a call in words, and whether it failed."""

    outcome: str
    failed: bool = False


class CallRunner:
    """Runs calls by name; while a call runs past its timeout, its name is not called again."""

    def __init__(self) -> None:
        self._running: dict[str, threading.Thread] = {}

    def busy(self, name: str) -> bool:
        """Return whether a call that timed out is still running."""
        thread = self._running.get(name)
        if thread is not None and not thread.is_alive():
            del self._running[name]
            return False
        return thread is not None

    def call(self, name: str, call: Callable[[], str], timeout: float) -> CallResult:
        """Call, with a `timeout` (seconds, 0: none) in a thread of its own. Never raises."""
        if not timeout:
            return _run_call(name, call)
        if self.busy(name):
            return CallResult(_("the previous run has not ended yet"), failed=True)
        results: list[CallResult] = []
        thread = threading.Thread(
            target=lambda: results.append(_run_call(name, call)), name=f"budget-{name}"[:15], daemon=True
        )
        thread.start()
        thread.join(timeout)
        if results:
            return results[0]
        self._running[name] = thread
        return CallResult(
            _("not finished after {seconds:.0f} s; it continues in the background").format(seconds=timeout), failed=True
        )


def _run_call(name: str, call: Callable[[], str]) -> CallResult:
    try:
        return CallResult(call())
    except MillpondError as error:
        log.warning("budget action failed", action=name, reason=str(error))
        return CallResult(error.message, failed=True)
    except Exception as error:
        # The budget must go on with its other actions.
        log.exception("budget action failed", action=name)
        return CallResult(_("an unexpected error: {kind}").format(kind=type(error).__name__), failed=True)
