"""Figures of the service: the library, requests, caches."""

from __future__ import annotations

from collections.abc import Iterator

from console.ui.shared.formatting import size
from services.core.machine import MEGABYTE
from services.core.requests import RequestKind
from services.knowledge.notes import NoteKind
from tests.figures.doors import Told
from tests.figures.rows import Door, Figure, Value, api, command, counted, metric, strip, tile, total_of, words


def service_figures(told: Told) -> Iterator[Figure]:
    """Yield the rows; some depend on what there is, such as caches."""
    yield from _library()
    yield from _requests(told)
    yield from _caches(told)


def _library() -> Iterator[Figure]:
    start = "/api/status/counts/"
    yield Figure(
        "documents",
        (
            api(f"{start}documents"),
            metric("millpond_library_documents"),
            tile("overview", "Documents", counted),
            strip(lambda value: f"{counted(value)} document"),
            command(lambda value: f"Documents: {value}, "),
        ),
    )
    yield Figure(
        "searchable documents",
        (
            api(f"{start}searchable"),
            metric("millpond_library_searchable_documents"),
            tile("overview", "Searchable documents", counted),
            command(lambda value: f", {value:.0f} of them searchable"),
        ),
    )
    yield Figure(
        "chunks",
        (
            api(f"{start}chunks"),
            metric("millpond_library_chunks"),
            tile("overview", "Chunks", counted),
            strip(lambda value: f"{counted(value)} chunk"),
            command(lambda value: f", {counted(value)} chunk"),
        ),
    )
    yield Figure(
        "bytes of originals",
        (
            api(f"{start}bytes"),
            metric("millpond_library_bytes"),
            tile("overview", "Files on disk", size),
            command(lambda value: f", {(value or 0) / MEGABYTE:.1f} MB"),
        ),
    )
    yield Figure(
        "unfinished jobs",
        (
            api(f"{start}jobs_unfinished"),
            metric("millpond_ingestion_jobs"),
            tile("overview", "Jobs unfinished", counted),
            command(lambda value: f"Jobs: {value} unfinished"),
        ),
    )
    yield Figure(
        "failed jobs",
        (
            api(f"{start}jobs_failed"),
            metric("millpond_library_failed_documents"),
            tile("overview", "Jobs failed", counted),
            command(lambda value: f"{value} failed"),
        ),
    )
    for kind in NoteKind:
        yield Figure(
            f"notes of {kind}",
            (
                metric("millpond_library_notes", kind.value),
                Door(f"{start}notes", lambda told, kind=kind: dict(told.at(f"{start}notes")).get(kind.value, 0)),
            ),
        )
    for field, door in (
        ("limit", metric("millpond_connections_limit")),
        ("descriptors", metric("millpond_descriptors_limit")),
        ("idle", metric("millpond_connections", "idle")),
        ("open", Door("millpond_connections", lambda told: total_of(told, "millpond_connections"))),
    ):
        yield Figure(f"connections: {field}", (api(f"/api/status/connections/{field}"), door))
    yield Figure("start", (api("/api/status/started_at"), metric("millpond_start_time_seconds")))


def _requests(told: Told) -> Iterator[Figure]:
    running = [one for one in told.at("/api/requests/running") if not one["position"]]
    waiting = [one for one in told.at("/api/requests/running") if one["position"]]
    waiting_answers = told.at("/api/status/answers/waiting")
    for kind in RequestKind:
        yield Figure(
            f"running {kind}",
            (
                metric("millpond_requests_running", kind.value),
                Door("/api/requests", lambda _told, kind=kind: sum(one["kind"] == kind for one in running)),
                *([api("/api/status/answers/running"), metric("millpond_answers_running")] if kind == "answer" else []),
            ),
        )
        yield Figure(
            f"waiting {kind}",
            (
                metric("millpond_requests_waiting", kind.value),
                Door("/api/requests", lambda _told, kind=kind: sum(one["kind"] == kind for one in waiting)),
                *([api("/api/status/answers/waiting"), metric("millpond_answers_waiting")] if kind == "answer" else []),
            ),
        )
    yield Figure(
        "answers in progress",
        (
            api("/api/status/answers/running"),
            tile("overview", "Answers in progress", lambda value: _slots(value, waiting_answers)),
        ),
    )
    yield Figure("requests served", (api("/api/budget/restart/requests_served"), metric("millpond_work_total")))
    yield Figure(
        "requests served at the sample", (api("/api/memory/latest/requests"), Door("log of requests", _served))
    )


def _served(told: Told) -> Value:
    return told.served


def _slots(running: Value, waiting: Value) -> str:
    return f"{running} + {waiting}" if waiting else str(running)


def _caches(told: Told) -> Iterator[Figure]:
    for place, cache in enumerate(told.at("/api/caches")):
        for field, name in (
            ("hits", "hits_total"),
            ("misses", "misses_total"),
            ("evicted", "evicted_total"),
            ("entries", "entries"),
            ("bytes", "bytes"),
            ("budget", "budget_bytes"),
        ):
            doors = (api(f"/api/caches/{place}/{field}"), metric(f"millpond_cache_{name}", cache["name"]))
            yield Figure(f"{field} of the cache {cache['name']}", doors)
        if cache["budget"]:
            yield Figure(
                f"share of the cache {cache['name']}",
                (
                    api(f"/api/caches/{place}/bytes"),
                    words("overview", lambda value, cache=cache: f"{cache['label']}** · {size(value)} of "),
                ),
            )
