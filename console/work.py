"""Work that is no HTTP request: runs of pages, and answers that pages asked for. Each is noted as a request is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from console import resources
from services.runtime import Runtime

_DEFAULT_PAGE = "chat"  # has no path of its own


@contextmanager
def page_run(runtime: Runtime, path: str) -> Iterator[None]:
    """Note the full run of a page's script, however it ends. Runs of live parts alone do not come here."""
    page = path or _DEFAULT_PAGE
    began = time.perf_counter()
    try:
        with runtime.requests.during("PAGE", f"/{page}", log_as="page run"):
            yield
    finally:
        runtime.metrics.page_run(page, time.perf_counter() - began)


def answer_run(write: Callable[[], bool]) -> None:
    """Note an answer that a page asked for; `write` returns whether it came about."""
    runtime = resources.built()
    begun = runtime.requests.begin() if runtime is not None else None
    status = 500
    try:
        status = 200 if write() else 500
    finally:
        if runtime is not None and begun is not None:
            runtime.requests.end(begun, "ANSWER", "/chat", status)
