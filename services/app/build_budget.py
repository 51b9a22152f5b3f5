"""Builds the memory budget: the governor, the thread that checks it, the headroom that admission asks for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack

import structlog

from services.app.budget_actions import BUDGET
from services.core.admission import Admission, MemoryHeadroom, Refusal
from services.core.events import EventKind, EventSink
from services.core.settings import Settings
from services.memory.budget.governor import Governor
from services.memory.budget.journal import decision_from_event
from services.memory.budget.levels import RefusalLog
from services.memory.budget.types import Budget, BudgetLevel, BudgetReading, LimitSource, Watermark
from services.memory.clock import Clock
from services.memory.fork_permit import set_admission
from services.memory.limit import MemoryLimit
from services.memory.monitor import MemoryMonitor
from services.memory.process import rss_bytes
from services.operations.event_log import EventLog

log = structlog.get_logger(__name__)

# Often enough for a burst that allocates 100 MB a second; a check costs some tens of microseconds.
CHECK_SECONDS = 0.25
_MIN_WAIT_SECONDS = 0.02  # of real time, however fast the clock goes
HYSTERESIS = 0.05
_RESTORED_DECISIONS = 200


def build_governor(
    settings: Settings,
    clock: Clock,
    reporter: EventSink,
    memory: MemoryMonitor,
    admission: Admission,
    *,
    ready: Callable[[], bool],
    ready_rss: Callable[[], int],
) -> Governor:
    """Return the governor, without actions: they are added once the services exist that they act on.

    Args:
        settings: watermarks and mode.
        clock: what it goes by.
        reporter: gets an event for each decision.
        memory: the limit, and the ledger for the effect of an action.
        admission: what is reserved for work in progress.
        ready: whether the process is ready; before, nothing is done.
        ready_rss: RSS when it became ready, in bytes; 0 before.
    """
    marks = watermarks(settings)

    def budget() -> Budget:
        size, source = memory.limit.current()
        return Budget(size, source, marks)

    def shown() -> BudgetReading | None:
        snapshot = memory.snapshot()
        if snapshot is None:
            return None
        limit = Budget(snapshot.limit or 0, snapshot.limit_source, marks)
        return BudgetReading(snapshot.time, snapshot.rss, snapshot.used, limit)

    return Governor(
        clock,
        budget,
        reporter,
        rss=rss_bytes,
        used=memory.limit.used,
        dry_run=settings.budget == "dry-run",
        enabled=settings.budget != "off",
        ready=ready,
        floor=ready_rss,
        reserved=lambda: admission.reserved,
        owners=lambda: memory.ledger.build().owners,
        shown=shown,
    )


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


def watch_budget(
    governor: Governor,
    clock: Clock,
    limit: MemoryLimit,
    admission: Admission,
    closing: ExitStack,
    *,
    ready: Callable[[], bool],
) -> None:
    """Check the budget several times a second in a thread of its own, and refuse work for which there is no headroom.

    Not in `memory-watch`: that thread is busy for tens of milliseconds at a time, and copies of the process take
    longer.
    """
    refusals = RefusalLog(clock.time)

    def headroom() -> MemoryHeadroom | None:
        if not governor.enforcing or not ready():
            return None
        budget = governor.budget()
        if not budget.limit:
            return None
        return MemoryHeadroom(
            limit.used(rss_bytes()),
            budget.reached_bytes(BudgetLevel.HARD),
            children=budget.source is LimitSource.CONTAINER,
        )

    def refused(refusal: Refusal) -> None:
        if refusal.gate is None or refusal.by == BUDGET:
            refusals.record(refusal.what)

    def check() -> None:
        governor.check()
        if refusals.active and (summary := refusals.poll()):
            governor.record_refusal(summary)

    admission.set_headroom_source(headroom)
    set_admission(admission)
    admission.add_listener(refused)
    _BudgetThread(clock, check).start(closing)


def restore_decisions(governor: Governor, events: EventLog, clock: Clock) -> None:
    """Have the budget page show what earlier runs decided; the actions must have been added."""
    found = events.between(0.0, clock.time(), _RESTORED_DECISIONS, {EventKind.BUDGET})
    decisions = (
        decision_from_event(event.time, event.actor, event.detail, event.figures, governor.actions())
        for event in reversed(found)
    )
    governor.restore_decisions(decision for decision in decisions if decision is not None)


class _BudgetThread:
    """The thread that checks the budget."""

    def __init__(self, clock: Clock, check: Callable[[], None]) -> None:
        self._clock = clock
        self._check = check
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-budget", daemon=True)

    def start(self, closing: ExitStack) -> None:
        self._thread.start()
        closing.callback(self._close)

    def _run(self) -> None:
        seconds = max(CHECK_SECONDS, _MIN_WAIT_SECONDS * self._clock.speed)
        while not self._clock.wait(self._stopping, seconds):
            try:
                self._check()
            except Exception:
                # The budget must hold although one check failed.
                log.exception("the memory budget could not be checked")

    def _close(self) -> None:
        self._stopping.set()
        self._thread.join()
