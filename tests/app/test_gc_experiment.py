from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from services.app.gc_experiment import recorded_operations
from services.knowledge.library import Library
from services.memory.gc_experiment.types import OperationKind
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
