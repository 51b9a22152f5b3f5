"""The one Runtime of the process: the ASGI lifespan, the API and every page get the same object.

Work that is no HTTP request: runs of pages, and answers that pages asked for. Each is noted as a request is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import streamlit as st
import structlog

from services.app.container import Runtime
from services.core.errors import MillpondError, UnavailableError
from services.core.i18n import _
from services.core.settings import Settings
from services.memory.clock import Clock

log = structlog.get_logger(__name__)

_DEFAULT_PAGE = "chat"  # has no path of its own


class _Process:
    """Holds the Runtime outside of Streamlit's cache, which anybody's "clear cache" empties for everybody."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settings: Settings | None = None
        self._url = ""
        self._runtime: Runtime | None = None
        self._starting: threading.Thread | None = None
        self._on_failure: Callable[[], None] | None = None
        self._clock: Clock | None = None
        self._before: Callable[[Runtime], None] | None = None
        self._patience = 0.0

    def configure(  # noqa: PLR0917 - called once, by the function below
        self,
        settings: Settings,
        url: str,
        on_failure: Callable[[], None] | None,
        clock: Clock | None,
        before: Callable[[Runtime], None] | None,
        patience: float,
    ) -> None:
        with self._lock:
            if self._runtime is not None:
                raise RuntimeError("configure() comes before the first runtime()")
            self._settings, self._url, self._on_failure, self._clock = settings, url, on_failure, clock
            self._before, self._patience = before, patience

    def runtime(self) -> Runtime:
        with self._lock:
            if self._runtime is None:
                self._runtime = Runtime(self._settings or Settings(), self._clock)
                self._starting = threading.Thread(
                    target=self._start, args=(self._runtime,), name="millpond-start", daemon=True
                )
                self._starting.start()
            return self._runtime

    def peek(self) -> Runtime | None:
        return self._runtime

    def stop_answers(self) -> None:
        with self._lock:
            runtime = self._runtime
        if runtime is not None and runtime.ready:
            runtime.answering.close()

    def close(self) -> None:
        with self._lock:
            runtime, starting = self._runtime, self._starting
            self._runtime = self._starting = None
        if starting is not None:
            starting.join()  # a start cannot be interrupted half-way; it takes seconds
        if runtime is not None:
            runtime.close()

    def _start(self, runtime: Runtime) -> None:
        try:
            _load_what_pages_need()
            if self._before is not None:
                self._before(runtime)
            runtime.start(self._url, patience=self._patience)
        except MillpondError as error:
            runtime.failure = error
            log.error("start failed", kind=error.kind, message=error.message)  # noqa: TRY400 - expected, no traceback
        except Exception:
            reference = uuid4().hex[:12]
            log.exception("start failed", reference=reference)
            runtime.failure = UnavailableError(
                _("Millpond could not start because of a defect (reference {reference}).").format(reference=reference),
                _("The log has the details under this reference."),
            )
        if runtime.failure is not None and self._on_failure is not None:
            self._on_failure()


def _load_what_pages_need() -> None:
    """Import what the first table on a page would: 70 MB that belong to what the service takes when it is ready.

    The memory budget reckons from that figure, and the first visitor need not wait.
    """
    import pandas as pd  # noqa: F401 - for the pages; it brings pyarrow


_process = _Process()


def configure(
    settings: Settings,
    *,
    url: str = "",
    on_failure: Callable[[], None] | None = None,
    clock: Clock | None = None,
    before: Callable[[Runtime], None] | None = None,
    patience: float = 0.0,
) -> None:
    """Say how the Runtime is to be built, before it is first asked for; by default from environment and file.

    Args:
        settings: all settings.
        url: the address of this server, told to other processes that find the data folder locked.
        on_failure: called when the start was given up; `runtime().failure` says why.
        clock: what everything that watches goes by; None: the real time. Tests pass a faster one.
        before: called in the starting thread before the data folder is opened; it may wait, and give up by raising.
        patience: seconds to wait for another process to let go of the data folder.
    """
    _process.configure(settings, url, on_failure, clock, before, patience)


@st.cache_resource(show_spinner=False)
def runtime() -> Runtime:
    """Return the process's Runtime; the first call makes it start in the background.

    Until `runtime().ready`, its services raise `UnavailableError`.
    """
    return _process.runtime()


def built() -> Runtime | None:
    """Return the process's Runtime if it was asked for already; costs nothing, from any thread."""
    return _process.peek()


def stop_answers() -> None:
    """Break off the answers in progress, so that whoever reads them comes to an end before the server does."""
    _process.stop_answers()


def close() -> None:
    """Stop the Runtime, at shutdown."""
    _process.close()
    runtime.clear()


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
    runtime = built()
    begun = runtime.requests.begin() if runtime is not None else None
    status = 500
    try:
        status = 200 if write() else 500
    finally:
        if runtime is not None and begun is not None:
            runtime.requests.end(begun, "ANSWER", "/chat", status)
