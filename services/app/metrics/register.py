"""Connects the metrics to the parts of a Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.app.metrics import budget, memory, requests

if TYPE_CHECKING:
    from services.app.container import Runtime


def install(runtime: Runtime) -> None:
    """Have each scrape of `runtime.metrics` ask the parts of `runtime`; those that are not there yet are left out."""
    metrics = runtime.metrics
    metrics.add_part("process", memory.FAMILIES, memory.ProcessGauges(runtime).read)
    metrics.add_part("samples", memory.SAMPLE_FAMILIES, lambda: memory.samples(runtime.memory))
    metrics.add_part("ledger", memory.LEDGER_FAMILIES, lambda: memory.ledger(runtime.memory))
    metrics.add_part("verdict", memory.VERDICT_FAMILIES, lambda: memory.verdict(runtime.memory))
    metrics.add_part("tracing", memory.TRACING_FAMILIES, lambda: memory.tracing(runtime.memory))
    metrics.add_part("collector", memory.COLLECTOR_FAMILIES, lambda: memory.collector(runtime))
    metrics.add_part("policy", memory.POLICY_FAMILIES, lambda: memory.policy(runtime))
    metrics.add_part("budget", budget.BUDGET_FAMILIES, lambda: budget.budget(runtime))
    metrics.add_part("admission", budget.ADMISSION_FAMILIES, lambda: budget.admission(runtime))
    metrics.add_part("alerts", budget.ALERT_FAMILIES, lambda: budget.alerts(runtime))
    metrics.add_part("answers", requests.ANSWER_FAMILIES, lambda: requests.answers(runtime))
    metrics.add_part("ingestion", requests.INGESTION_FAMILIES, lambda: requests.ingestion(runtime))
    metrics.add_part("library", requests.LIBRARY_FAMILIES, requests.LibraryGauges(runtime).read)
    metrics.add_part("caches", requests.CACHE_FAMILIES, lambda: requests.caches(runtime))
    metrics.add_part("breakers", requests.BREAKER_FAMILIES, lambda: requests.breakers(runtime))
    metrics.add_part("scopes", requests.SCOPE_FAMILIES, lambda: requests.scopes(runtime))
