"""The status of chat servers: the last one cached, a test question, and what a missing list of models means."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from services.chat.models.base import Backend, stream
from services.chat.prompt import Prompt
from services.chat.types import BackendChoice, BackendStatus, MessageRole
from services.core.errors import ErrorKind, MillpondError
from services.core.i18n import _
from services.core.outgoing import RefusedAddressError

MAX_AGE_SECONDS = 5.0
FIRST_PROBE_SECONDS = 1.0
TEST_TOKENS = 16


def may_answer(error: MillpondError) -> bool:
    """Return whether a server that does not list its models may still answer questions.

    It lacks the list, or sends something else there. One that refuses the key or fails does not answer either.
    """
    if isinstance(error, RefusedAddressError):
        return False
    status = getattr(error.__cause__, "status_code", None)
    if status is None:
        return error.kind is not ErrorKind.TIMED_OUT
    return status in {400, 404, 405, 406, 410, 501}


async def trial(backend: Backend) -> None:
    """Ask a back end a short question.

    Raises:
        MillpondError: it does not answer.
    """
    question = Prompt("Answer with one word.", ((MessageRole.USER, "Say hello."),), (), TEST_TOKENS)
    async with contextlib.aclosing(stream(backend, question)) as pieces:
        async for _piece in pieces:
            pass


class StatusCache:
    """Caches the last status; a stale one is returned at once while a thread probes again.

    `probe` is called in a short-lived thread, one at a time; it must limit its own time.
    """

    def __init__(self, probe: Callable[[BackendChoice], BackendStatus]) -> None:
        self._probe = probe
        self._changed = threading.Condition()
        self._choice: BackendChoice | None = None
        self._status: BackendStatus | None = None
        self._probed_at = 0.0
        self._thread: threading.Thread | None = None

    def status(self, choice: BackendChoice) -> BackendStatus:
        """Return the status of `choice`, at most `MAX_AGE_SECONDS` old or being refreshed."""
        with self._changed:
            if choice != self._choice:
                self._choice, self._status = choice, None
            if self._thread is None and (self._status is None or time.monotonic() - self._probed_at > MAX_AGE_SECONDS):
                self._thread = threading.Thread(target=self._refresh, args=(choice,), name="model status", daemon=True)
                self._thread.start()
            if self._status is None:
                self._changed.wait_for(lambda: self._status is not None, FIRST_PROBE_SECONDS)
            return self._status or BackendStatus(
                choice.kind, choice.model, "loading", _("Waiting for the server's reply.")
            )

    def invalidate(self) -> None:
        """Probe again at the next call."""
        with self._changed:
            self._choice = self._status = None

    def close(self) -> None:
        """Wait for a running probe."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def _refresh(self, choice: BackendChoice) -> None:
        try:
            status = self._probe(choice)
            with self._changed:
                if choice == self._choice:
                    self._status, self._probed_at = status, time.monotonic()
        finally:
            with self._changed:
                self._thread = None
                self._changed.notify_all()
