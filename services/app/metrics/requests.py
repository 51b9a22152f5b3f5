"""Metrics of the work: answers, ingestion, library, caches, chat back ends, requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol

from services.core.actor import SERVICE
from services.core.events import Counter
from services.core.requests import RequestKind, RequestRegistry
from services.knowledge.notes import NoteKind
from services.operations.metrics import Family, Metrics, MetricValue

if TYPE_CHECKING:
    from services.chat.answer_service import AnswerService
    from services.chat.models.circuit_breaker import CircuitBreakers
    from services.core.cache import Caches
    from services.core.settings import Settings
    from services.identity.identity import Identity
    from services.knowledge.ingestion import Ingestion
    from services.knowledge.library import Library
    from services.knowledge.store.dense_index import DenseIndexManager

_RUNNING = Family("millpond_answers_running", "Answers that are being written.")
_WAITING = Family("millpond_answers_waiting", "Questions that wait for a slot.")
_SLOTS = Family("millpond_answer_slots", "Answers that may be written at once.")
_PLACES = Family("millpond_answer_queue_limit", "Questions that may wait.")
ANSWER_FAMILIES = (_RUNNING, _WAITING, _SLOTS, _PLACES)

_JOBS = Family("millpond_ingestion_jobs", "Documents whose newest version is not finished: queued or worked on.")
_JOB_LIMIT = Family("millpond_ingestion_queue_limit", "Unfinished ingestion jobs that may be.")
_PAUSED = Family("millpond_ingestion_paused", "1 while the queue waits for free disk space or memory.")
INGESTION_FAMILIES = (_JOB_LIMIT, _PAUSED)

_DOCUMENTS = Family("millpond_library_documents", "Documents in the library.")
_SEARCHABLE = Family("millpond_library_searchable_documents", "Documents that answer questions.")
_CHUNKS = Family("millpond_library_chunks", "Chunks of the versions of documents that are complete.")
_BYTES = Family("millpond_library_bytes", "Size of the documents' original files.")
_FAILED = Family("millpond_library_failed_documents", "Documents whose newest version could not be taken in.")
_NOTES = Family(
    "millpond_library_notes", "What was noted about the text of searchable documents, by kind of note.", ("kind",)
)
_VECTORS = Family("millpond_index_vectors", "Vectors in the index in RAM.")
LIBRARY_FAMILIES = (_JOBS, _DOCUMENTS, _SEARCHABLE, _CHUNKS, _BYTES, _FAILED, _NOTES, _VECTORS)

_HITS = Family("millpond_cache_hits_total", "Look-ups that a cache of our own answered.", ("cache",), kind="counter")
_MISSES = Family(
    "millpond_cache_misses_total", "Look-ups that a cache of our own could not answer.", ("cache",), kind="counter"
)
_ENTRIES = Family("millpond_cache_entries", "Entries of a cache of our own.", ("cache",))
_EVICTED = Family(
    "millpond_cache_evicted_total",
    "Entries that were let go for want of room, of age, or of memory.",
    ("cache",),
    kind="counter",
)
_CACHE_BYTES = Family("millpond_cache_bytes", "What a cache of our own holds.", ("cache",))
_CACHE_BUDGET = Family("millpond_cache_budget_bytes", "What a cache of our own may hold at most.", ("cache",))
CACHE_FAMILIES = (
    _HITS,
    _MISSES,
    _ENTRIES,
    _EVICTED,
    _CACHE_BYTES,
    _CACHE_BUDGET,
)

_SCOPES = Family("millpond_requests_running", "Requests that have their slot.", ("kind",))
_SCOPES_WAITING = Family("millpond_requests_waiting", "Requests that wait for a slot.", ("kind",))
_SCOPES_ENDED = Family(
    "millpond_requests_ended_total", "Requests that have ended.", ("kind", "outcome"), kind="counter"
)
SCOPE_FAMILIES = (_SCOPES, _SCOPES_WAITING, _SCOPES_ENDED)

_USAGE = Family(
    "millpond_usage_total",
    "Questions, tokens, documents and bytes that people used, by their role; never by name.",
    ("what", "role"),
    kind="counter",
)
USAGE_FAMILIES = (_USAGE,)


def usage(identity: Identity) -> Iterator[MetricValue]:
    """Return what was used since the start, by role."""
    for role, used in identity.usage.by_role().items():
        for what, count in asdict(used).items():
            yield MetricValue(_USAGE, count, (what, role.value))


def answer_limits(settings: Settings) -> Iterator[MetricValue]:
    """Return how many answers may run and wait."""
    yield MetricValue(_SLOTS, settings.answers_total)
    yield MetricValue(_PLACES, settings.answers_waiting)


def answers(settings: Settings, service: AnswerService) -> Iterator[MetricValue]:
    """Return the limits, and how many answers run and wait."""
    yield from answer_limits(settings)
    running, waiting = service.slots()
    yield MetricValue(_RUNNING, running)
    yield MetricValue(_WAITING, waiting)


def ingestion_limits(settings: Settings) -> Iterator[MetricValue]:
    """Return how long the queue may be."""
    yield MetricValue(_JOB_LIMIT, settings.queue_limit)


def ingestion(settings: Settings, service: Ingestion) -> Iterator[MetricValue]:
    """Return the limit, and whether the queue waits."""
    yield from ingestion_limits(settings)
    yield MetricValue(_PAUSED, float(bool(service.pause_reason)))


def library(index: DenseIndexManager, service: Library) -> Iterator[MetricValue]:
    """Return the library's totals, those that pages and API show: added up once after each change."""
    yield MetricValue(_VECTORS, len(index.index))
    counts = service.counts(SERVICE)
    yield MetricValue(_JOBS, counts.jobs_unfinished)
    yield MetricValue(_DOCUMENTS, counts.documents)
    yield MetricValue(_SEARCHABLE, counts.searchable)
    yield MetricValue(_CHUNKS, counts.chunks)
    yield MetricValue(_BYTES, counts.bytes)
    yield MetricValue(_FAILED, counts.jobs_failed)
    noted = dict(counts.notes)
    for kind in NoteKind:
        yield MetricValue(_NOTES, noted.get(kind.value, 0), (kind.value,))


class LRUCacheInfo(Protocol):
    """What `functools.lru_cache` tells of itself."""

    @property
    def hits(self) -> int: ...
    @property
    def misses(self) -> int: ...
    @property
    def currsize(self) -> int: ...


def caches(
    caches: Caches, metrics: Metrics, letter_scripts: Callable[[], LRUCacheInfo] | None = None
) -> Iterator[MetricValue]:
    """Return how the caches do; `letter_scripts` tells of the one of `services.knowledge.retrieval.language_trust`."""
    for stats in caches.stats():
        named = (stats.name,)
        yield MetricValue(_HITS, stats.hits, named)
        yield MetricValue(_MISSES, stats.misses, named)
        yield MetricValue(_ENTRIES, stats.entries, named)
        yield MetricValue(_EVICTED, stats.evicted, named)
        yield MetricValue(_CACHE_BYTES, stats.bytes, named)
        yield MetricValue(_CACHE_BUDGET, stats.budget, named)
    windows = ("conversation_windows",)
    yield MetricValue(_HITS, metrics.total(Counter.WINDOW_HITS), windows)
    yield MetricValue(_MISSES, metrics.total(Counter.WINDOW_MISSES), windows)
    if letter_scripts is not None:
        info = letter_scripts()
        labels = ("letter_scripts",)
        yield MetricValue(_HITS, info.hits, labels)
        yield MetricValue(_MISSES, info.misses, labels)
        yield MetricValue(_ENTRIES, info.currsize, labels)


_BREAKER = Family(
    "millpond_breaker_state", "Whether a chat back end is asked: 0 yes, 1 with one question, 2 not now.", ("backend",)
)
_OPENED = Family(
    "millpond_breaker_opened_total", "How often a chat back end was left alone.", ("backend",), kind="counter"
)
BREAKER_FAMILIES = (_BREAKER, _OPENED)
_STATES = {"closed": 0, "half_open": 1, "open": 2}  # of `services.chat.models.circuit_breaker`, not imported by all


def breakers(breakers: CircuitBreakers) -> Iterator[MetricValue]:
    """Return how the breaker of each chat back end stands."""
    for status in breakers.statuses():
        yield MetricValue(_BREAKER, _STATES[status.state.value], (status.backend,))
        yield MetricValue(_OPENED, status.opened, (status.backend,))


def scopes(requests: RequestRegistry) -> Iterator[MetricValue]:
    """Return which requests run, wait and have ended."""
    for kind in RequestKind:
        running, waiting = requests.counts(kind)
        yield MetricValue(_SCOPES, running, (kind.value,))
        yield MetricValue(_SCOPES_WAITING, waiting, (kind.value,))
        for outcome, number in requests.outcome_counts(kind).items():
            yield MetricValue(_SCOPES_ENDED, number, (kind.value, outcome.value))
