"""Connects the metrics to the parts of a Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.wiring.gauges import budget, collector, memory, process, work

if TYPE_CHECKING:
    from services.runtime import Runtime


def install(runtime: Runtime) -> None:
    """Have each scrape of `runtime.metrics` ask the parts of `runtime`; those that are not there yet are left out."""
    metrics = runtime.metrics
    metrics.add_part("process", process.FAMILIES, process.ProcessGauges(runtime).read)
    metrics.add_part("samples", memory.SAMPLE_FAMILIES, lambda: memory.samples(runtime.memory))
    metrics.add_part("ledger", memory.LEDGER_FAMILIES, lambda: memory.ledger(runtime.memory))
    metrics.add_part("verdict", memory.VERDICT_FAMILIES, lambda: memory.verdict(runtime.memory))
    metrics.add_part("tracing", memory.TRACING_FAMILIES, lambda: memory.tracing(runtime.memory))
    metrics.add_part("collector", collector.COLLECTOR_FAMILIES, lambda: collector.collector(runtime))
    metrics.add_part("policy", collector.POLICY_FAMILIES, lambda: collector.policy(runtime))
    metrics.add_part("budget", budget.BUDGET_FAMILIES, lambda: budget.budget(runtime))
    metrics.add_part("admission", budget.ADMISSION_FAMILIES, lambda: budget.admission(runtime))
    metrics.add_part("alerts", budget.ALERT_FAMILIES, lambda: budget.alerts(runtime))
    metrics.add_part("answers", work.ANSWER_FAMILIES, lambda: work.answers(runtime))
    metrics.add_part("ingestion", work.INGESTION_FAMILIES, lambda: work.ingestion(runtime))
    metrics.add_part("library", work.LIBRARY_FAMILIES, work.LibraryGauges(runtime).read)
    metrics.add_part("caches", work.CACHE_FAMILIES, lambda: work.caches(runtime))
    metrics.add_part("breakers", work.BREAKER_FAMILIES, lambda: work.breakers(runtime))
    metrics.add_part("scopes", work.SCOPE_FAMILIES, lambda: work.scopes(runtime))
