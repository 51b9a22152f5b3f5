"""The permit to copy the process: one copy at a time, visible, cancellable, and within the memory budget."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from services.core.admission import Admission
from services.core.errors import BusyError, CancelledError
from services.core.i18n import _
from services.core.requests import RequestKind, RequestRegistry, RequestScope
from services.memory.process import rss_bytes

CANCELLATION_CHECK_SECONDS = 0.2
_COPIED_SHARE = 0.25  # of RSS: pages that reference counting writes to, and the results

_permit = threading.Lock()  # two copies at once would need the memory twice
_claims: set[object] = set()  # one for each copy that waits and that somebody waits for
_registry: weakref.ref[RequestRegistry] | None = None
_admission: weakref.ref[Admission] | None = None


def set_request_registry(registry: RequestRegistry) -> None:
    """Run every copy in a scope of `registry`, where users see it and can cancel it."""
    global _registry  # noqa: PLW0603 - there is one process to copy, as there is one `_permit`
    _registry = weakref.ref(registry)


def set_admission(admission: Admission) -> None:
    """Reserve memory from `admission` for every copy."""
    global _admission  # noqa: PLW0603 - there is one process to copy, as there is one `_permit`
    _admission = weakref.ref(admission)


def _reserve_memory(what: str) -> AbstractContextManager[object]:
    """Reserve memory for the pages that a copy will not share for long.

    Raises:
        UnavailableError: the memory budget does not allow it.
    """
    admission = _admission() if _admission else None
    if admission is None:
        return nullcontext()
    return admission.reserve_for_child(int(rss_bytes() * _COPIED_SHARE), what or _("Memory diagnostics"))


@contextmanager
def acquire_fork_permit(deadline: float, what: str, *, gives_way: bool = False) -> Iterator[Callable[[], None]]:
    """Wait for the permit and hold it; yields a function that raises once the request is cancelled.

    Args:
        deadline: of `time.monotonic`, until which to wait.
        what: the description of the request.
        gives_way: nobody waits for this one: it is cancelled once somebody waits for another.

    Raises:
        BusyError: another copy was still at work at the deadline.
        CancelledError: the request was cancelled while it waited.
        UnavailableError: the memory budget does not allow a copy.
    """
    registry = _registry() if _registry else None
    scope: RequestScope | None = None
    if registry is not None:
        scope = registry.open(RequestKind.DIAGNOSTIC, what)

    def check() -> None:
        if scope is not None:
            scope.check()
        if gives_way and _claims:
            raise CancelledError(_("This diagnostic made way for one that somebody waits for."))

    try:
        with nullcontext() if gives_way else _claim():
            while scope is not None and not scope.begin():
                check()
                _check_deadline(deadline)
                time.sleep(CANCELLATION_CHECK_SECONDS / 4)
            while not _permit.acquire(timeout=CANCELLATION_CHECK_SECONDS):
                check()
                _check_deadline(deadline)
        try:
            with _reserve_memory(what):
                yield check
        finally:
            _permit.release()
    except BaseException as error:
        if scope is not None:
            scope.close(error)
        raise
    if scope is not None:
        scope.close()


@contextmanager
def _claim() -> Iterator[None]:
    """Make the copies that give way end."""
    claim = object()
    _claims.add(claim)
    try:
        yield
    finally:
        _claims.discard(claim)


def _check_deadline(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise BusyError(_("Another memory diagnostic is still running."), _("Try again in a moment."))
