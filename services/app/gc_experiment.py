"""Builds the threshold experiment: the recorded workload, settings for its children, memory headroom.

What is kept of the service's work: what the request log keeps anyway, the routes of the last 500 requests in their
order, and the sizes of the newest documents. Neither a text nor its length is kept or handed to a child, which asks and
uploads words that mean nothing; a result holds how many operations there were of each kind.
"""

from __future__ import annotations

import gc
import random
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psutil

from services.app.damage import report_files
from services.core.actor import SERVICE
from services.core.errors import MillpondError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.memory.budget.types import BudgetLevel
from services.memory.gc_experiment.runner import ExperimentEnvironment, Experiments
from services.memory.gc_experiment.types import Operation, OperationKind, Workload
from services.memory.gc_experiment.workload import (
    MAX_UPLOAD_BYTES,
    MIN_RECORDED,
    built_in_operations,
    random_size,
    repeat_operations,
)
from services.memory.process import rss_bytes
from services.memory.tracked_objects import count_tracked

if TYPE_CHECKING:
    from services.core.events import EventSink
    from services.core.settings import Settings
    from services.knowledge.library import Library
    from services.memory.budget.governor import Governor
    from services.memory.clock import Clock
    from services.operations.request_log import RecentRequests, Request

COMMAND = ("services.app.gc_experiment_child",)
MAX_LONG_LIVED = 1_000_000
_MIN_CHILD_BYTES = 512 * MEGABYTE  # of a child of which nothing is known yet
_AVAILABLE_SHARE = 0.9  # of the machine's free memory
_DOCUMENTS = 50
_ROUTES: dict[tuple[str, str], OperationKind] = {
    ("POST", "/api/search"): OperationKind.QUESTION,
    ("POST", "/v1/chat/completions"): OperationKind.ANSWER,
    ("POST", "/api/documents"): OperationKind.UPLOAD,
    ("DELETE", "/api/documents/{document_id}"): OperationKind.DELETE,
}
_METHODS: dict[str, OperationKind] = {"PAGE": OperationKind.PAGE, "ANSWER": OperationKind.ANSWER}


def build_experiments(  # noqa: PLR0917 - the composition root calls it, nobody else
    settings: Settings,
    clock: Clock,
    reporter: EventSink,
    governor: Governor,
    request_log: RecentRequests,
    library: Library,
    closing: ExitStack,
) -> Experiments:
    """Return the experiments; `closing` ends the one that runs."""

    def workload(operations: int, seed: int) -> Workload:
        recorded = recorded_operations(request_log, library, seed)
        enough = len(recorded) >= MIN_RECORDED
        wanted = repeat_operations(recorded, operations) if enough else built_in_operations(operations, seed)
        tracked = min(MAX_LONG_LIVED, count_tracked() + gc.get_freeze_count())
        return Workload(wanted, seed, enough, tracked)

    def expected() -> int:
        last = next(iter(experiments.results()), None)
        peak = max((run.figures.peak for run in last.runs), default=0) if last else 0
        return int(1.1 * peak) if peak else max(_MIN_CHILD_BYTES, int(1.2 * rss_bytes()))

    def headroom() -> int:
        free = int(_AVAILABLE_SHARE * psutil.virtual_memory().available)
        state = governor.state()
        if state.enabled and state.level >= BudgetLevel.HIGH:
            return -1
        limit = state.budget.limit
        return min(free, limit - rss_bytes()) if state.enabled and limit else free

    environment = ExperimentEnvironment(COMMAND, workload, lambda: child_settings(settings), expected, headroom)
    folder = settings.data_dir / "memory" / "experiments"
    experiments = Experiments(folder, clock, reporter, environment)
    closing.callback(experiments.close)
    report_files(_("Results of experiments that cannot be read: {names}"), experiments.damaged_results(), reporter)
    return experiments


def child_settings(settings: Settings) -> dict[str, Any]:
    """Return settings that make a child's work like the service's own, without remote models, alerts and restarts."""
    return {
        "embedding_model": settings.embedding_model,
        "embedding_sha256": settings.embedding_sha256,
        "embedding_precision": settings.embedding_precision,
        "chunk_tokens": settings.chunk_tokens,
        "chunk_overlap_tokens": settings.chunk_overlap_tokens,
        "history_turns": settings.history_turns,
        "embedding_device": "cpu",
        "embedding_threads": 1,
        "budget": "off",
        "free_disk_mb": 0,
    }


def recorded_operations(request_log: RecentRequests, library: Library, seed: int) -> list[Operation]:
    """Return what the service did recently, oldest first, as kinds and sizes."""
    chance = random.Random(seed)  # noqa: S311 - must be the same each time
    sizes = _document_sizes(library)
    found: list[Operation] = []
    for request in reversed(request_log.latest()):
        kind = _kind(request)
        if kind is OperationKind.UPLOAD and sizes:
            found.append((kind, min(chance.choice(sizes), MAX_UPLOAD_BYTES)))
        elif kind is not None:
            found.append((kind, random_size(kind, chance)))
    return found


def _kind(request: Request) -> OperationKind | None:
    """Return what a request was; None for one that failed, and for reads of the API."""
    if request.status >= 400:
        return None
    return _METHODS.get(request.method) or _ROUTES.get((request.method, request.route))


def _document_sizes(library: Library) -> list[int]:
    try:
        return [max(1, document.size_bytes) for document in library.documents(SERVICE, limit=_DOCUMENTS)]
    except MillpondError:
        return []
