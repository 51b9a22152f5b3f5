"""The journal of budget decisions: the newest in RAM, all as events, from which they are restored after a restart."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

from services.core.events import EventKind, EventSink
from services.core.i18n import joined
from services.memory.budget.types import BudgetAction, BudgetLevel, Decision, DecisionKind

MAX_DECISIONS = 500
_KINDS = tuple(DecisionKind)  # events store the index: append only


class Journal:
    """A bounded list of decisions. Thread-safe. Listeners are called in the thread that decided."""

    def __init__(self, reporter: EventSink) -> None:
        self._reporter = reporter
        self._lock = threading.Lock()
        self._decisions: deque[Decision] = deque(maxlen=MAX_DECISIONS)
        self._listeners: list[Callable[[Decision], None]] = []
        self._counts: dict[tuple[str, DecisionKind], int] = {}

    def add_listener(self, listener: Callable[[Decision], None]) -> None:
        """Call `listener` with each decision."""
        self._listeners.append(listener)

    def add(self, decision: Decision, place: int, limit: int, *, event: bool = True) -> None:
        """Record a decision; `place` is the index of its action (-1: none), `limit` the memory limit in bytes."""
        with self._lock:
            self._decisions.appendleft(decision)
            key = (decision.step, decision.kind)
            self._counts[key] = self._counts.get(key, 0) + 1
        if event:
            parts = (decision.label, decision.outcome, decision.evidence)
            self._reporter.action(
                decision.actor,
                EventKind.BUDGET,
                joined(parts, ": "),
                level=decision.level,
                kind=_KINDS.index(decision.kind),
                step=place,
                dry_run=decision.dry_run,
                seconds=decision.seconds,
                rss_before=decision.rss_before,
                rss_after=decision.rss_after,
                limit=limit,
            )
        for listener in self._listeners:
            listener(decision)

    def restore(self, decisions: Iterable[Decision]) -> None:
        """Add decisions of earlier runs, newest first, behind those of this one."""
        with self._lock:
            self._decisions.extend(islice(decisions, MAX_DECISIONS - len(self._decisions)))

    def newest(self, limit: int) -> list[Decision]:
        """Return the newest `limit` decisions, newest first."""
        with self._lock:
            return list(islice(self._decisions, limit))

    def counts(self) -> Mapping[tuple[str, DecisionKind], int]:
        """Return the number of decisions of this process by action and kind."""
        with self._lock:
            return dict(self._counts)


def decision_from_event(
    time: float, actor: str, detail: str, figures: Mapping[str, float], actions: Sequence[BudgetAction]
) -> Decision | None:
    """Return the decision that an event of an earlier run records, None where it records none."""
    number, place = int(figures.get("kind", -1)), int(figures.get("step", -1))
    if not 0 <= number < len(_KINDS):
        return None
    action = actions[place] if 0 <= place < len(actions) else None
    kind = _KINDS[number]
    before = int(figures.get("rss_before", 0))
    return Decision(
        time=time,
        level=BudgetLevel(min(max(int(figures.get("level", 0)), BudgetLevel.CALM), BudgetLevel.HARD)),
        step=action.name if action else "",
        label=action.label if action else "",
        evidence="",
        outcome=detail.removeprefix(f"{action.label}: ") if action else detail,
        rss_before=before,
        rss_after=int(figures.get("rss_after", before)),
        dry_run=bool(figures.get("dry_run", 0)),
        undone=kind is DecisionKind.UNDONE,
        kind=kind,
        actor=actor,
        seconds=figures.get("seconds", 0.0),
    )
