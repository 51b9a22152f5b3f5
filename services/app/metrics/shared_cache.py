"""Metrics of the cache that nodes share: nothing where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from services.operations.metrics import Family, MetricValue

if TYPE_CHECKING:
    from services.core.cache import Caches

_HITS = Family(
    "millpond_shared_cache_hits_total",
    "Look-ups that the cache of all nodes answered, after one in RAM could not.",
    ("cache",),
    kind="counter",
)
_MISSES = Family(
    "millpond_shared_cache_misses_total",
    "Look-ups that neither the cache in RAM nor that of all nodes could answer.",
    ("cache",),
    kind="counter",
)
_BYTES = Family(
    "millpond_shared_cache_bytes",
    "What all nodes keep of a cache for each other, when this one last wrote.",
    ("cache",),
)
_BUDGET = Family("millpond_shared_cache_budget_bytes", "What all nodes may keep of it at most.", ("cache",))
_STATE = Family(
    "millpond_shared_cache_state", "Whether the server of the shared cache is asked: 0 yes, 1 as a try, 2 not now."
)
_OPENED = Family(
    "millpond_shared_cache_opened_total", "How often the server of the shared cache was left alone.", kind="counter"
)
_REQUESTS = Family(
    "millpond_shared_cache_requests_total", "Requests to that server on the way to an answer.", kind="counter"
)
_SECONDS = Family("millpond_shared_cache_seconds_total", "What these requests took.", kind="counter")
_FAILURES = Family(
    "millpond_shared_cache_failures_total",
    "What did not work: requests that failed, values that this pond has not made, look-ups that were not asked, values "
    "that were not kept.",
    ("kind",),
    kind="counter",
)
_OWED = Family(
    "millpond_shared_cache_erasure_owed_seconds", "Since when something deleted waits to be removed from that server."
)
FAMILIES = (_HITS, _MISSES, _BYTES, _BUDGET, _STATE, _OPENED, _REQUESTS, _SECONDS, _FAILURES, _OWED)
_STATES = {"closed": 0, "half_open": 1, "open": 2}


def read(caches: Caches) -> Iterator[MetricValue]:
    """Return how the shared cache does."""
    if caches.shared is None:
        return
    for cache in caches.all():
        shelf = caches.shelf(cache.name)
        if shelf is not None:
            named = (cache.name,)
            yield MetricValue(_HITS, shelf.hits, named)
            yield MetricValue(_MISSES, shelf.misses, named)
            yield MetricValue(_BYTES, shelf.bytes, named)
            yield MetricValue(_BUDGET, shelf.budget, named)
    status = caches.shared.status()
    yield MetricValue(_STATE, _STATES[status.state])
    yield MetricValue(_OPENED, status.opened)
    yield MetricValue(_REQUESTS, status.requests)
    yield MetricValue(_SECONDS, status.seconds)
    failures = {
        "failed": status.errors,
        "broken": status.broken,
        "skipped": status.skipped,
        "dropped": status.dropped,
    }
    for kind, number in failures.items():
        yield MetricValue(_FAILURES, number, (kind,))
    yield MetricValue(_OWED, status.owed_seconds)
