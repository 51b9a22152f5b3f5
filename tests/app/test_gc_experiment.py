from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from services.app.gc_experiment import build_experiments, recorded_operations
from services.core.events import NullEventSink
from services.core.settings import Settings
from services.knowledge.library import Library
from services.memory.budget.governor import Governor
from services.memory.clock import Clock
from services.memory.gc_experiment.types import OperationKind
from services.memory.gc_experiment.workload import MIN_RECORDED, count_operations
from services.operations.request_log import RecentRequests


def library(sizes: list[int]) -> Library:
    documents = [SimpleNamespace(size_bytes=size) for size in sizes]
    return cast("Library", SimpleNamespace(documents=lambda _actor, limit: documents[:limit]))


def test_kinds_in_their_order_and_sizes_are_taken_over() -> None:
    """What the service did becomes operations, oldest first; reads and failures are left out, huge files are cut."""
    requests = RecentRequests(lambda: 1, lambda: None)

    def did(method: str, route: str, status: int = 200) -> None:
        requests.end(requests.begin(), method, route, status)

    did("PAGE", "/chat")
    did("POST", "/api/documents", 202)
    did("GET", "/api/documents")
    did("POST", "/api/search")
    did("POST", "/api/search", 400)
    did("ANSWER", "/chat")
    did("DELETE", "/api/documents/{document_id}", 204)
    found = recorded_operations(requests, library([50_000_000]), seed=1)
    assert [kind for kind, _size in found] == [
        OperationKind.PAGE,
        OperationKind.UPLOAD,
        OperationKind.QUESTION,
        OperationKind.ANSWER,
        OperationKind.DELETE,
    ]
    assert dict(found)[OperationKind.UPLOAD] == 32 * 1024
    assert found == recorded_operations(requests, library([50_000_000]), seed=1)


def test_no_text_of_anybody_is_in_what_children_get() -> None:
    """Operations are kinds and numbers: a question's words can be in none of them."""
    requests = RecentRequests(lambda: 1, lambda: None)
    requests.end(requests.begin(), "POST", "/api/search", 200, "id-of-a-request")
    found: list[Any] = recorded_operations(requests, library([]), seed=1)
    assert [(type(kind), type(size)) for kind, size in found] == [(OperationKind, int)]


def test_the_services_own_work_is_what_is_repeated(tmp_path: Path) -> None:
    """A recording that never reaches the children would recommend settings for somebody else's service."""
    requests, governor = RecentRequests(lambda: 1, lambda: None), cast("Governor", SimpleNamespace())
    with ExitStack() as closing:
        settings = Settings(data_dir=tmp_path)
        built = build_experiments(settings, Clock(), NullEventSink(), governor, requests, library([]), closing)
        assert not built._environment.workload(20, 1).recorded
        for _number in range(MIN_RECORDED):
            requests.end(requests.begin(), "POST", "/api/search", 200)
        workload = built._environment.workload(20, 1)
    assert workload.recorded
    assert count_operations(workload.operations) == {"question": 20}
