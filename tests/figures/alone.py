"""Figures that one door alone tells, with the reason where that is no matter of course. Patterns of shell style."""

from __future__ import annotations

METRICS: tuple[str, ...] = (
    # Told as words elsewhere, or as lists of single events.
    "millpond_build_info",
    "millpond_ready",
    "millpond_part_unread",
    "millpond_verdict_*",
    "millpond_tracing",
    "millpond_gc_enabled",
    "millpond_gc_trial*",
    "millpond_gc_policy_*",
    "millpond_budget_level",
    "millpond_budget_acting",
    "millpond_budget_step_active",
    "millpond_budget_decisions_total",
    "millpond_door_closed*",
    "millpond_check_*",
    "millpond_breaker_*",
    "millpond_ingestion_paused",
    # Counts and histograms of what happens: in no other place.
    "millpond_*_seconds",
    "millpond_documents_total",
    "millpond_chunks_embedded_total",
    "millpond_recognized_pages_total",
    # Of a change of the embedding model, while there is one: the API tells it as one object.
    "millpond_model_change_*",
    # Of backups, where there is a folder for them: as one object, too.
    "millpond_backup*",
    # Of the nodes that share the database, where there are some: in the list of the nodes.
    "millpond_node*",
    # Of the cache that nodes share, where there is one: the API tells it as one object.
    "millpond_shared_cache_*",
    "millpond_received_bytes_total",
    "millpond_answers_total",
    "millpond_requests_ended_total",
    "millpond_connections_closed_total",
    "millpond_usage_total",
    "millpond_index_vectors",
    # Settings.
    "millpond_answer_slots",
    "millpond_answer_queue_limit",
    "millpond_ingestion_queue_limit",
    # Only where there is a GPU, and then in the sample, too.
    "millpond_gpu_*",
    "python_gc_objects_*",
    "python_info",
    "process_*",
)
API: tuple[str, ...] = (
    # Parts of a verdict, which is one object wherever it is told.
    "/api/memory/verdict/*",
    "/api/memory/held/*",
    "/api/memory/owners/*",  # in the table by name of the owner
    "/api/memory/watching/*",
    "/api/memory/latest/*",  # each column is looked up below
    "/api/collector/settings/*",
    "/api/collector/kept/*",
    "/api/collector/defaults*",
    "/api/collector/trial/*",
    "/api/collector/last_trial/*",
    "/api/collector/pauses/recent/*",
    "/api/collector/pauses/bounds*",
    "/api/collector/pauses/longest/*",
    "/api/collector/effects/effects/*",
    "/api/budget/since",
    "/api/budget/watermarks/*",
    "/api/budget/steps/*",
    "/api/budget/decisions/*",
    "/api/budget/doors/*",
    "/api/budget/restart/*",
    "/api/status/resources/*",
    "/api/status/chat_model/*",
    "/api/status/connections/*",
    "/api/requests/running/*",
    "/api/requests/recent/*",
    "/api/requests/limits/*",
    "/api/caches/hit_rate",
    "/api/caches/shared/*",
    "/api/embedding-model/*",
    "/api/tracing/[!t]*",
)
# Columns of a sample that are in the history alone.
COLUMNS: tuple[str, ...] = ("gpu_*",)
TILES: dict[str, tuple[str, ...]] = {
    "overview": (),
    "memory": ("Of its limit", "Pressure", "Cgroup"),
    # Windows of the last minutes, and what one action did: the tables of the API have the single pauses and effects.
    "collector": (
        "Pauses, last *",
        "p95, last *",
        "p95 before",
        "p95 in the trial",
        "Pause",
        "Duration",
        "Change",
        "Objects found",
    ),
    "budget": (),
}
