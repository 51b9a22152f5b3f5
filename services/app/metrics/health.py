"""Metrics of the checks that `/readyz` makes."""

from __future__ import annotations

from collections.abc import Iterator

from services.operations.health import Health
from services.operations.metrics import Family, MetricValue

_WORKS = Family("millpond_check_ok", "1 while a component can do its work, as /readyz says.", ("component",))
_WARNS = Family(
    "millpond_check_warning",
    "1 while a component works in part: the chat server is down and documents are quoted instead.",
    ("component",),
)
FAMILIES = (_WORKS, _WARNS)


def read(health: Health) -> Iterator[MetricValue]:
    """Return how each component is."""
    for check in health.ready().checks:
        yield MetricValue(_WORKS, float(check.ok), (check.name,))
        yield MetricValue(_WARNS, float(check.warning), (check.name,))
