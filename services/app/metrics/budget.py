"""Metrics of the memory budget, of refused work, and of alerts."""

from __future__ import annotations

from collections.abc import Iterator

from services.core.admission import Admission, Gate
from services.memory.budget.governor import Governor
from services.memory.budget.types import BudgetLevel, DecisionKind, LimitSource
from services.operations.metrics import Family, MetricValue
from services.operations.webhook import Webhook

_LIMIT = Family("millpond_budget_limit_bytes", "What memory is held against; `source` says who set it.", ("source",))
_WATERMARK = Family("millpond_budget_watermark_bytes", "Where each level is reached.", ("level",))
_USED = Family("millpond_budget_used_bytes", "What counts against the limit: RSS, or what the container uses.")
_PEAK = Family("millpond_budget_peak_bytes", "The highest use that the budget has seen since the start.")
_FLOOR = Family("millpond_budget_floor_bytes", "RSS when the service was ready.")
_RESERVED = Family("millpond_budget_reserved_bytes", "Bytes that are promised to work in progress.")
_LEVEL = Family("millpond_budget_level", "The level that was reached: 0 calm, 1 soft, 2 high, 3 hard.")
_ACTING = Family("millpond_budget_acting", "1 if the budget acts, 0 if it is paused, off or in a dry run.")
_STEP = Family("millpond_budget_step_active", "1 while a step is in force.", ("step",))
_DECISIONS = Family(
    "millpond_budget_decisions_total", "What the budget decided, by step and kind.", ("step", "kind"), kind="counter"
)
BUDGET_FAMILIES = (_LIMIT, _WATERMARK, _USED, _PEAK, _FLOOR, _RESERVED, _LEVEL, _ACTING, _STEP, _DECISIONS)

_CLOSED = Family("millpond_door_closed", "1 while such work is refused.", ("door",))
_REFUSED = Family(
    "millpond_refused_total",
    "Work that was refused: by door, or for want of room in memory.",
    ("door",),
    kind="counter",
)
_PACE = Family("millpond_ingestion_rest_seconds", "How long ingestion rests after each document to spare memory.")
ADMISSION_FAMILIES = (_CLOSED, _REFUSED, _PACE)

_ALERTS = Family("millpond_alerts_total", "Alerts to the webhook, by how that ended.", ("outcome",), kind="counter")
_ALERTS_WAITING = Family("millpond_alerts_waiting", "Alerts that wait for the webhook.")
ALERT_FAMILIES = (_ALERTS, _ALERTS_WAITING)


def budget(governor: Governor) -> Iterator[MetricValue]:
    """Return how the budget stands."""
    state = governor.state()
    for source in LimitSource:
        if source is state.budget.source and state.budget.limit:
            yield MetricValue(_LIMIT, state.budget.limit, (source.value,))
    for level in (BudgetLevel.SOFT, BudgetLevel.HIGH, BudgetLevel.HARD):
        yield MetricValue(_WATERMARK, state.budget.reached_bytes(level), (level.name.lower(),))
    yield MetricValue(_USED, state.used_bytes)
    yield MetricValue(_PEAK, state.peak_bytes)
    yield MetricValue(_FLOOR, state.ready_rss_bytes or None)
    yield MetricValue(_RESERVED, state.reserved_bytes)
    yield MetricValue(_LEVEL, float(state.level))
    yield MetricValue(_ACTING, float(governor.enforcing))
    counts = governor.decision_counts()
    for step in governor.actions():
        yield MetricValue(_STEP, float(step.name in state.active), (step.name,))
        for kind in (DecisionKind.TAKEN, DecisionKind.UNDONE, DecisionKind.PASSED_OVER, DecisionKind.FAILED):
            yield MetricValue(_DECISIONS, counts.get((step.name, kind), 0), (step.name, kind.value))


def admission(admission: Admission) -> Iterator[MetricValue]:
    """Return what is refused."""
    closed = admission.closed()
    for door in Gate:
        yield MetricValue(_CLOSED, float(door in closed), (door.value,))
    for name, count in admission.refusal_counts().items():
        yield MetricValue(_REFUSED, count, (name,))
    yield MetricValue(_PACE, admission.pause_seconds)


def alerts(webhook: Webhook) -> Iterator[MetricValue]:
    """Return how alerts arrive."""
    state = webhook.state()
    for outcome, count in (("delivered", state.delivered), ("failed", state.failed), ("dropped", state.dropped)):
        yield MetricValue(_ALERTS, count, (outcome,))
    yield MetricValue(_ALERTS_WAITING, state.waiting)
