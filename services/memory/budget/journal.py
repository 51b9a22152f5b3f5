"""What the budget decided: the newest in RAM, and as events on the time line, from which they come back."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

from services.core.events import EventKind, EventSink
from services.memory.budget.types import BudgetAction, BudgetLevel, Decision, DecisionKind

KEPT = 500
_KINDS = tuple(DecisionKind)  # written by their place in it: append only


class Journal:
    """Bounded. Thread-safe. Listeners are called in the thread of whoever decided."""

    def __init__(self, reporter: EventSink) -> None:
        self._reporter = reporter
        self._lock = threading.Lock()
        self._decisions: deque[Decision] = deque(maxlen=KEPT)
        self._listeners: list[Callable[[Decision], None]] = []
        self._counts: dict[tuple[str, DecisionKind], int] = {}

    def add_listener(self, listener: Callable[[Decision], None]) -> None:
        """Have `listener` called with each decision."""
        self._listeners.append(listener)

    def add(self, decision: Decision, place: int, limit: int, *, event: bool = True) -> None:
        """Keep a decision; `place` is that of its step among the steps, -1 for none, `limit` in bytes."""
        with self._lock:
            self._decisions.appendleft(decision)
            key = (decision.step, decision.kind)
            self._counts[key] = self._counts.get(key, 0) + 1
        if event:
            parts = (decision.label, decision.outcome, decision.evidence)
            self._reporter.action(
                decision.actor,
                EventKind.BUDGET,
                ": ".join(part for part in parts if part),
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

    def recall(self, decisions: Iterable[Decision]) -> None:
        """Put decisions of earlier runs, the newest first, behind those of this one."""
        with self._lock:
            self._decisions.extend(islice(decisions, KEPT - len(self._decisions)))

    def newest(self, limit: int) -> list[Decision]:
        """Return the newest first."""
        with self._lock:
            return list(islice(self._decisions, limit))

    def counts(self) -> Mapping[tuple[str, DecisionKind], int]:
        """Return how often what was decided in this process, by step and kind."""
        with self._lock:
            return dict(self._counts)


def recalled(
    time: float, actor: str, detail: str, figures: Mapping[str, float], steps: Sequence[BudgetAction]
) -> Decision | None:
    """Return the decision that an event of an earlier run tells of, None where it tells of none."""
    number, place = int(figures.get("kind", -1)), int(figures.get("step", -1))
    if not 0 <= number < len(_KINDS):
        return None
    step = steps[place] if 0 <= place < len(steps) else None
    kind = _KINDS[number]
    before = int(figures.get("rss_before", 0))
    return Decision(
        time=time,
        level=BudgetLevel(min(max(int(figures.get("level", 0)), BudgetLevel.CALM), BudgetLevel.HARD)),
        step=step.name if step else "",
        label=step.label if step else "",
        evidence="",
        outcome=detail.removeprefix(f"{step.label}: ") if step else detail,
        rss_before=before,
        rss_after=int(figures.get("rss_after", before)),
        dry_run=bool(figures.get("dry_run", 0)),
        undone=kind is DecisionKind.UNDONE,
        kind=kind,
        actor=actor,
        seconds=figures.get("seconds", 0.0),
    )
