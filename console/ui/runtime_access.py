"""The one application of the process: the ASGI lifespan, the API and every page get the same services.

Also the work that is no HTTP request: runs of pages, and answers that pages requested. Each is logged as a request is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import streamlit as st
import structlog

from services.app.container import Foundation, Platform, Services
from services.app.startup import Application
from services.core.errors import MillpondError, UnavailableError
from services.core.i18n import _
from services.core.settings import Settings
from services.memory.clock import Clock
from services.memory.refusal import memory_refused

log = structlog.get_logger(__name__)

_DEFAULT_PAGE = "chat"  # has no path of its own


class _Process:
    """Holds the application outside of Streamlit's cache, which anybody's "clear cache" empties for everybody."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settings: Settings | None = None
        self._url = ""
        self._application: Application | None = None
        self._starting: threading.Thread | None = None
        self._on_failure: Callable[[], None] | None = None
        self._clock: Clock | None = None
        self._before: Callable[[Application], None] | None = None
        self._patience = 0.0

    def configure(  # noqa: PLR0917 - called once, by the function below
        self,
        settings: Settings,
        url: str,
        on_failure: Callable[[], None] | None,
        clock: Clock | None,
        before: Callable[[Application], None] | None,
        patience: float,
    ) -> None:
        with self._lock:
            if self._application is not None:
                raise RuntimeError("configure() comes before the first application()")
            self._settings, self._url, self._on_failure, self._clock = settings, url, on_failure, clock
            self._before, self._patience = before, patience

    def application(self) -> Application:
        with self._lock:
            if self._application is None:
                self._application = Application(self._settings or Settings(), self._clock)
                self._starting = threading.Thread(
                    target=self._start, args=(self._application,), name="millpond-start", daemon=True
                )
                self._starting.start()
            return self._application

    def existing(self) -> Application | None:
        return self._application

    def stop_answers(self) -> None:
        application = self._application
        if application is not None and application.ready:
            application.services.answers.close()

    def close(self) -> None:
        with self._lock:
            application, starting = self._application, self._starting
            self._application = self._starting = None
        if starting is not None:
            starting.join()  # a start cannot be interrupted half-way; it takes seconds
        if application is not None:
            application.close()

    def _start(self, application: Application) -> None:
        try:
            _import_page_libraries()
            if self._before is not None:
                self._before(application)
            application.start(self._url, patience=self._patience)
        except MillpondError as error:
            application.fail(error)
            log.error("start failed", kind=error.kind, message=error.message)  # noqa: TRY400 - expected, no traceback
        except Exception as error:
            refused = memory_refused(error)
            reference = uuid4().hex[:12]
            if refused is None:
                log.exception("start failed", reference=reference)
            else:
                log.error("start failed", message=refused.message, cause=str(error))  # noqa: TRY400 - no defect
            application.fail(refused or _defect(reference))
        if application.failure is not None and self._on_failure is not None:
            self._on_failure()


def _defect(reference: str) -> UnavailableError:
    return UnavailableError(
        _("Millpond could not start because of a defect (reference {reference}).").format(reference=reference),
        _("The log has the details under this reference."),
    )


def _import_page_libraries() -> None:
    """Import what the first table on a page would: 70 MB that belong to the memory of a ready process.

    The memory budget starts from that figure, and the first visitor need not wait.
    """
    import pandas as pd  # noqa: F401 - for the pages; it brings pyarrow


_process = _Process()


def configure(
    settings: Settings,
    *,
    url: str = "",
    on_failure: Callable[[], None] | None = None,
    clock: Clock | None = None,
    before: Callable[[Application], None] | None = None,
    patience: float = 0.0,
) -> None:
    """Set how the application is built, before it is first asked for; by default from environment and file.

    Args:
        settings: all settings.
        url: the address of this server, told to other processes that find the data folder locked.
        on_failure: called when the start was given up; `application().failure` says why.
        clock: what everything that watches goes by; None: the real time. Tests pass a faster one.
        before: called in the starting thread before the data folder is opened; it may wait, and give up by raising.
        patience: seconds to wait for another process to release the data folder.
    """
    _process.configure(settings, url, on_failure, clock, before, patience)


@st.cache_resource(show_spinner=False)
def application() -> Application:
    """Return the process's application; the first call makes it start in the background."""
    return _process.application()


def ready_services() -> Services:
    """Return the services of the process.

    Raises:
        UnavailableError: they are still starting, or could not start.
    """
    return application().services


def existing_application() -> Application | None:
    """Return the process's application if it was asked for already; costs nothing, from any thread."""
    return _process.existing()


def existing_foundation() -> Foundation | None:
    """Return what the process's application has from its first moment; None before anybody asked for it."""
    application = _process.existing()
    return application.foundation if application is not None else None


def existing_platform() -> Platform | None:
    """Return what exists once the data folder is open; None before."""
    application = _process.existing()
    return application.opened if application is not None else None


def stop_answers() -> None:
    """Break off the answers in progress, so that whoever reads them comes to an end before the server does."""
    _process.stop_answers()


def close() -> None:
    """Stop the application, at shutdown."""
    _process.close()
    application.clear()


@contextmanager
def page_run(services: Services, path: str) -> Iterator[None]:
    """Log the full run of a page's script, however it ends. Runs of fragments alone do not come here."""
    page = path or _DEFAULT_PAGE
    began = time.perf_counter()
    try:
        with services.request_log.track("PAGE", f"/{page}", log_as="page run"), services.memory.pinned():
            yield
    finally:
        services.metrics.observe_page_run(page, time.perf_counter() - began)


def answer_run(write: Callable[[], bool]) -> None:
    """Log an answer that a page requested; `write` returns whether it came about."""
    foundation = existing_foundation()
    begun = foundation.request_log.begin() if foundation is not None else None
    status = 500
    try:
        status = 200 if write() else 500
    finally:
        if foundation is not None and begun is not None:
            foundation.request_log.end(begun, "ANSWER", "/chat", status)
