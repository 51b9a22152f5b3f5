"""What the service tells about itself, made smaller: metrics, caches, events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.soak.target import FailedError


def checked(response: httpx.Response) -> httpx.Response:
    if response.status_code >= 400:
        raise FailedError(
            f"{response.request.method} {response.request.url.path}: {response.status_code} {response.text[:400]}"
        )
    return response


def unlabelled(text: str) -> dict[str, float]:
    """Return the samples without labels by name."""
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.labels
    }


def caches(text: str) -> dict[str, dict[str, float]]:
    """Return hits and misses of each cache that the service counts."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in {"millpond_cache_hits_total", "millpond_cache_misses_total"} and "cache" in sample.labels:
                figures = found.setdefault(sample.labels["cache"], {"hits": 0.0, "misses": 0.0})
                figures["hits" if "hits" in sample.name else "misses"] = sample.value
    return found


def by_kind(events: Sequence[dict[str, Any]]) -> dict[str, int]:
    kinds: dict[str, int] = {}
    for event in events:
        kinds[event["kind"]] = kinds.get(event["kind"], 0) + 1
    return kinds
