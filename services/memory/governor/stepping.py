"""Takes and undoes steps: evidence before, effect after, a decision in the journal each time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.access import SERVICE, Actor
from services.memory.governor import wording
from services.memory.governor.acting import Acted, Acting
from services.memory.governor.force import Force, Record
from services.memory.governor.journal import Journal
from services.memory.governor.types import Budget, Decision, DecisionKind, Level
from services.texts import _

if TYPE_CHECKING:
    from services.held import Owner

# In a dry run a step that would be repeated is told so much more seldom: nothing comes of it.
_DRY_PATIENCE = 10


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known when something is decided; bytes."""

    now: float
    used: int
    rss: int
    budget: Budget
    level: Level


class Stepping:
    """Does what was decided. One call at a time; whoever decides sees to that."""

    def __init__(
        self,
        now: Callable[[], float],
        rss: Callable[[], int],
        owners: Callable[[], Mapping[Owner, int]],
        force: Force,
        journal: Journal,
    ) -> None:
        self._now = now
        self._rss = rss
        self._owners = owners
        self._force = force
        self._journal = journal
        self.acting = Acting()

    def take(self, record: Record, situation: Situation, actor: Actor, *, dry: bool) -> Decision:
        """Take a step, or in a dry run say so."""
        step, by = record.step, "" if actor is SERVICE else actor.name
        evidence = wording.evidence(situation.budget, situation.used, situation.rss, step.level)
        if dry:
            self._force.taken(record, situation.now, None, by=by, real=False)
            if step.undo is None:
                record.not_before = situation.now + _DRY_PATIENCE * step.cool_down
            outcome = wording.would_free(step.estimate())
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

    def undo(self, record: Record, situation: Situation, actor: Actor) -> Decision:
        """End a step that is in force; one that a person ended is not taken again before its cool-down."""
        step = record.step
        by_itself = actor is SERVICE
        evidence = wording.recovery(situation.budget, situation.used, situation.rss, step.level) if by_itself else ""
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
        record: Record | None = None,
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

    def _call(self, record: Record, call: Callable[[], str]) -> tuple[Acted, int, float]:
        """Call and return how it ended, the RSS after and how long it took, in bytes and seconds."""
        began = time.perf_counter()
        acted = self.acting.call(record.step.name, call, record.step.timeout)
        return acted, self._rss(), time.perf_counter() - began
