"""Metrics of the parts of the process, read when they are scraped: all families at once, values as soon as a part
exists.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from services.app.listed_nodes import listed_nodes, own_name
from services.app.metrics import backup, connections, health, memory, model_change, node_states, requests, shared_cache
from services.app.metrics.standard import ShownPauses, sampled_values
from services.operations.metrics import Metrics

if TYPE_CHECKING:
    from services.app.build_chat import Chat
    from services.app.build_documents import Knowledge
    from services.app.container import Foundation, Platform
    from services.backup.backup_service import Backups
    from services.core.cache import Caches
    from services.core.settings import Settings
    from services.operations.connections import ConnectionCounts


def register_foundation(
    foundation: Foundation,
    *,
    ready: Callable[[], bool],
    count_sessions: Callable[[], int],
    count_connections: Callable[[], ConnectionCounts],
) -> None:
    """Declare every family, in the order of the exposition, and connect what exists from the first moment."""
    metrics, settings = foundation.metrics, foundation.settings
    process = memory.ProcessGauges(ready, foundation.request_log, foundation.started_at)
    metrics.add_part("process", memory.FAMILIES, process.read)
    metrics.add_part("checks", health.FAMILIES, lambda: health.read(foundation.health))
    metrics.add_part("sessions", memory.SESSION_FAMILIES, lambda: memory.sessions(count_sessions))
    metrics.add_part("samples", memory.SAMPLE_FAMILIES)
    metrics.add_part("ledger", memory.LEDGER_FAMILIES)
    metrics.add_part("verdict", memory.VERDICT_FAMILIES)
    metrics.add_part("tracing", memory.TRACING_FAMILIES)
    metrics.add_part("collector", memory.COLLECTOR_FAMILIES)
    metrics.add_part("policy", memory.POLICY_FAMILIES)
    metrics.add_part("budget", memory.BUDGET_FAMILIES)
    metrics.add_part("admission", memory.ADMISSION_FAMILIES, lambda: memory.admission(foundation.admission))
    metrics.add_part("alerts", memory.ALERT_FAMILIES)
    metrics.add_part("answers", requests.ANSWER_FAMILIES, lambda: requests.answer_limits(settings))
    metrics.add_part("ingestion", requests.INGESTION_FAMILIES, lambda: requests.ingestion_limits(settings))
    metrics.add_part("library", requests.LIBRARY_FAMILIES)
    metrics.add_part("model change", model_change.FAMILIES)
    metrics.add_part("backups", backup.FAMILIES)
    metrics.add_part("node", node_states.OWN_FAMILIES)
    metrics.add_part("nodes", node_states.FAMILIES)
    metrics.add_part("caches", requests.CACHE_FAMILIES, lambda: requests.caches(foundation.caches, metrics))
    metrics.add_part("shared cache", shared_cache.FAMILIES, lambda: shared_cache.read(foundation.caches))
    metrics.add_part("breakers", requests.BREAKER_FAMILIES)
    metrics.add_part("connections", connections.FAMILIES, lambda: connections.read(count_connections()))
    metrics.add_part("usage", requests.USAGE_FAMILIES)
    metrics.add_part("scopes", requests.SCOPE_FAMILIES, lambda: requests.scopes(foundation.requests))


def register_platform(platform: Platform, *, count_sessions: Callable[[], int]) -> None:
    """Connect memory, budget and operations."""
    metrics, watched = platform.metrics, platform.memory
    metrics.set_pause_source(ShownPauses(watched))
    metrics.set_moment(watched.pinned)
    metrics.set_sampled_source(lambda: sampled_values(watched))
    metrics.connect_part("sessions", lambda: memory.sessions(count_sessions, watched))
    metrics.connect_part("samples", lambda: memory.samples(watched))
    metrics.connect_part("ledger", lambda: memory.ledger(watched))
    metrics.connect_part("verdict", lambda: memory.verdict(watched))
    metrics.connect_part("tracing", lambda: memory.tracing(watched))
    metrics.connect_part("collector", lambda: memory.collector(watched))
    metrics.connect_part("policy", lambda: memory.policy(platform.gc_policy))
    metrics.connect_part("budget", lambda: memory.budget(platform.governor))
    metrics.connect_part("usage", lambda: requests.usage(platform.identity))
    metrics.connect_part("alerts", lambda: memory.alerts(platform.webhook))
    metrics.connect_part("node", lambda: node_states.read_own(own_name(platform)))
    if platform.nodes is not None:
        metrics.connect_part("nodes", lambda: node_states.read(listed_nodes(platform)))


def register_knowledge(metrics: Metrics, settings: Settings, caches: Caches, knowledge: Knowledge) -> None:
    """Connect ingestion, library, and the caches of retrieval."""
    from services.knowledge.text.scripts import script_of

    metrics.connect_part("ingestion", lambda: requests.ingestion(settings, knowledge.ingestion))
    metrics.connect_part("library", lambda: requests.library(knowledge.index, knowledge.library))
    metrics.connect_part("model change", lambda: model_change.read(knowledge.model_change))
    metrics.connect_part("caches", lambda: requests.caches(caches, metrics, letter_scripts=script_of.cache_info))


def register_chat(metrics: Metrics, settings: Settings, chat: Chat) -> None:
    """Connect answers and chat back ends."""
    metrics.connect_part("answers", lambda: requests.answers(settings, chat.answers))
    metrics.connect_part("breakers", lambda: requests.breakers(chat.models.breakers))


def register_backups(metrics: Metrics, backups: Backups) -> None:
    """Connect the backups."""
    metrics.connect_part("backups", lambda: backup.read(backups))
