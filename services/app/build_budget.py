"""Keeps the process within its memory budget: what is held against what, what is done, and who hears of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import structlog

from services.app.budget_actions import BY, steps
from services.core.admission import MemoryHeadroom, Refusal
from services.core.events import EventKind
from services.core.settings import Settings
from services.memory.budget.governor import Governor
from services.memory.budget.journal import decision_from_event
from services.memory.budget.levels import RefusalLog
from services.memory.budget.types import Budget, BudgetLevel, LimitSource, Watermark
from services.memory.fork_permit import set_admission
from services.memory.process import rss_bytes

if TYPE_CHECKING:
    from services.app.container import Runtime

log = structlog.get_logger(__name__)

# Often enough for a burst that allocates 100 MB a second; a look costs some tens of microseconds.
LOOK_SECONDS = 0.25
_LEAST_WAIT = 0.02  # of real time, however fast the clock goes
HYSTERESIS = 0.05
_RECALLED = 200


def keep_budget(runtime: Runtime, closing: ExitStack, *, watched: bool = True) -> None:
    """Give `runtime` its governor, and have it look several times a second in a thread of its own if `watched`.

    Not by `memory-watch`: that one is busy for tens of milliseconds at a time, and copies of the process take longer.
    """
    settings, limit = runtime.settings, runtime.memory.limit
    marks = watermarks(settings)
    refusals = RefusalLog(runtime.clock.time)

    def budget() -> Budget:
        size, source = limit.find()
        return Budget(size, source, marks)

    governor = Governor(
        runtime.clock,
        budget,
        runtime.reporter,
        rss=rss_bytes,
        used=limit.used,
        dry_run=settings.budget == "dry-run",
        enabled=settings.budget != "off",
        ready=lambda: runtime.ready,
        floor=lambda: runtime.ready_rss,
        reserved=lambda: runtime.admission.reserved,
        owners=lambda: runtime.memory.ledger.take().owners,
    )

    def room() -> MemoryHeadroom | None:
        if not governor.enforcing or not runtime.ready:
            return None
        held = governor.budget()
        if not held.limit:
            return None
        return MemoryHeadroom(
            limit.used(rss_bytes()), held.reached(BudgetLevel.HARD), children=held.source is LimitSource.CONTAINER
        )

    def refused(refusal: Refusal) -> None:
        if refusal.door is None or refusal.by == BY:
            refusals.record(refusal.what)

    def look() -> None:
        governor.check()
        if refusals.active and (told := refusals.poll()):
            governor.record_refusal(told)

    runtime.governor = governor
    for step in steps(runtime):
        governor.add_action(step)
    if watched:
        _recall(runtime)
        runtime.admission.watch(room)
        set_admission(runtime.admission)
        runtime.admission.add_listener(refused)
        _BudgetWatch(runtime, look).start(closing)


def watermarks(settings: Settings) -> tuple[Watermark, ...]:
    """Return the configured watermarks. The higher one is, the less time may pass: over the hard one none."""
    seconds = settings.budget_sustained_seconds
    return tuple(
        Watermark(level, share, sustained, HYSTERESIS, release=seconds)
        for level, share, sustained in (
            (BudgetLevel.SOFT, settings.budget_soft, seconds),
            (BudgetLevel.HIGH, settings.budget_high, seconds / 2),
            (BudgetLevel.HARD, settings.budget_hard, 0.0),
        )
    )


def _recall(runtime: Runtime) -> None:
    """Have the page show what earlier runs decided."""
    governor = runtime.governor
    found = runtime.events.between(0.0, runtime.clock.time(), _RECALLED, {EventKind.BUDGET})
    decisions = (
        decision_from_event(event.time, event.actor, event.detail, event.figures, governor.actions()) for event in reversed(found)
    )
    governor.restore_decisions(decision for decision in decisions if decision is not None)


class _BudgetWatch:
    """The thread that looks."""

    def __init__(self, runtime: Runtime, look: Callable[[], None]) -> None:
        self._clock = runtime.clock
        self._look = look
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-budget", daemon=True)

    def start(self, closing: ExitStack) -> None:
        self._thread.start()
        closing.callback(self._close)

    def _run(self) -> None:
        seconds = max(LOOK_SECONDS, _LEAST_WAIT * self._clock.speed)
        while not self._clock.wait(self._stopping, seconds):
            try:
                self._look()
            except Exception:
                # The budget must hold although one look failed.
                log.exception("the memory budget could not look")

    def _close(self) -> None:
        self._stopping.set()
        self._thread.join()
