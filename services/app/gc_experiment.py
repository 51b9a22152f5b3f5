"""The threshold experiment, with what it needs of the other rooms: a workload, settings for its children, room.

What is kept of the service's work: what `runtime.requests` keeps anyway, the routes of the last 500 requests in their
order, and the sizes of the newest documents. Neither a text nor its length is kept or handed to a child, which asks and
uploads words that mean nothing; a result holds how many operations there were of each kind.
"""

from __future__ import annotations

import gc
import random
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psutil

from services.core.errors import MillpondError
from services.core.settings import MEGABYTE
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

if TYPE_CHECKING:
    from services.app.container import Runtime
    from services.operations.request_log import Request

COMMAND = ("services.app.gc_experiment_child",)
MOST_LONG_LIVED = 1_000_000
_LEAST_BYTES = 512 * MEGABYTE  # of a child of which nothing is known yet
_SPARE = 0.9  # of the machine's free memory
_SIZES = 50
# Settings that make a child's work like the service's own. Models of others, alerts and planned restarts stay out.
_SAME = (
    "embedding_model",
    "embedding_sha256",
    "embedding_precision",
    "chunk_tokens",
    "chunk_overlap_tokens",
    "history_turns",
    "language",
)
_ROUTES: dict[tuple[str, str], OperationKind] = {
    ("POST", "/api/search"): OperationKind.QUESTION,
    ("POST", "/v1/chat/completions"): OperationKind.ANSWER,
    ("POST", "/api/documents"): OperationKind.UPLOAD,
    ("DELETE", "/api/documents/{document_id}"): OperationKind.DELETE,
}
_METHODS: dict[str, OperationKind] = {"PAGE": OperationKind.PAGE, "ANSWER": OperationKind.ANSWER}


def offer_experiments(runtime: Runtime, closing: ExitStack) -> None:
    """Give `runtime` its experiments; `closing` ends the one that runs."""

    def workload(operations: int, seed: int) -> Workload:
        done = recorded(runtime, seed)
        wanted = repeat_operations(done, operations) if len(done) >= MIN_RECORDED else built_in_operations(operations, seed)
        tracked = min(MOST_LONG_LIVED, len(gc.get_objects()) + gc.get_freeze_count())
        return Workload(wanted, seed, len(done) >= MIN_RECORDED, tracked)

    def service() -> dict[str, Any]:
        same = {name: getattr(runtime.settings, name) for name in _SAME}
        return {**same, "embedding_device": "cpu", "embedding_threads": 1, "budget": "off", "free_disk_mb": 0}

    def expected() -> int:
        last = next(iter(runtime.experiments.results()), None)
        seen = max((run.figures.peak for run in last.runs), default=0) if last else 0
        return int(1.1 * seen) if seen else max(_LEAST_BYTES, int(1.2 * rss_bytes()))

    def room() -> int:
        free = int(_SPARE * psutil.virtual_memory().available)
        state = runtime.governor.state()
        if state.enabled and state.level >= BudgetLevel.HIGH:
            return -1
        limit = state.budget.limit
        return min(free, limit - rss_bytes()) if state.enabled and limit else free

    laboratory = ExperimentEnvironment(COMMAND, workload, service, expected, room)
    folder = runtime.settings.data_dir / "memory" / "experiments"
    runtime.experiments = Experiments(folder, runtime.clock, runtime.reporter, laboratory)
    closing.callback(runtime.experiments.close)


def recorded(runtime: Runtime, seed: int) -> list[Operation]:
    """Return what the service did of late, oldest first, as kinds and sizes."""
    chance = random.Random(seed)  # noqa: S311 - must be the same each time
    sizes = _document_sizes(runtime)
    found: list[Operation] = []
    for request in reversed(runtime.requests.latest()):
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


def _document_sizes(runtime: Runtime) -> list[int]:
    try:
        return [max(1, document.size_bytes) for document in runtime.library.documents(limit=_SIZES)]
    except MillpondError:
        return []
