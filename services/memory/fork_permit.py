"""Whose turn it is to copy the process: one at a time, where people see it and can cancel it, and if there is room."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from services.core.admission import Admission
from services.core.errors import BusyError
from services.core.i18n import _
from services.core.requests import RequestKind, RequestRegistry, RequestScope
from services.memory.process import rss_bytes

CHECK_SECONDS = 0.2  # so often it is asked whether the look was cancelled
_UNSHARED = 0.25  # of RSS: what counting references writes to, and the results

_turn = threading.Lock()  # one copy at a time: two would need the memory twice
_scopes: weakref.ref[RequestRegistry] | None = None
_admission: weakref.ref[Admission] | None = None


def use_scopes(scopes: RequestRegistry) -> None:
    """Have every look run in a scope of `scopes`, where people see it and can cancel it."""
    global _scopes  # noqa: PLW0603 - copies of the process are the process's affair, as `_turn` is
    _scopes = weakref.ref(scopes)


def use_admission(admission: Admission) -> None:
    """Have every look ask `admission` for room: a copy of the process takes memory of its own."""
    global _admission  # noqa: PLW0603 - copies of the process are the process's affair, as `_turn` is
    _admission = weakref.ref(admission)


def _room(what: str) -> AbstractContextManager[object]:
    """Return room for the pages that a copy will not share for long.

    Raises:
        UnavailableError: the memory budget has none.
    """
    admission = _admission() if _admission else None
    if admission is None:
        return nullcontext()
    return admission.reserve_for_child(int(rss_bytes() * _UNSHARED), what or _("A look at the memory"))


@contextmanager
def in_turn(deadline: float, what: str) -> Iterator[Callable[[], None]]:
    """Wait for the turn; yields what raises once the look is cancelled."""
    scopes = _scopes() if _scopes else None
    scope: RequestScope | None = None
    if scopes is not None:
        scope = scopes.open(RequestKind.DIAGNOSTIC, what)
    try:
        while scope is not None and not scope.begin():
            scope.check()
            _still_time(deadline)
            time.sleep(CHECK_SECONDS / 4)
        while not _turn.acquire(timeout=CHECK_SECONDS):
            if scope is not None:
                scope.check()
            _still_time(deadline)
        try:
            with _room(what):
                yield scope.check if scope is not None else lambda: None
        finally:
            _turn.release()
    except BaseException as error:
        if scope is not None:
            scope.close(error)
        raise
    if scope is not None:
        scope.close()


def _still_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise BusyError(_("Another look at the memory is still running."), _("Try again in a moment."))
