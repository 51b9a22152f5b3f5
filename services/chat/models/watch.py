"""The state of a model server, looked up beside the page that shows it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from services.chat.types import BackendChoice, BackendStatus
from services.texts import _

FRESH_SECONDS = 5.0
FIRST_LOOK_SECONDS = 1.0


class StatusWatch:
    """Keeps the last status; a stale one is returned at once while a thread looks again.

    `probe` is called in a short-lived thread, one at a time; it has to bound its own time.
    """

    def __init__(self, probe: Callable[[BackendChoice], BackendStatus]) -> None:
        self._probe = probe
        self._changed = threading.Condition()
        self._choice: BackendChoice | None = None
        self._status: BackendStatus | None = None
        self._looked = 0.0
        self._thread: threading.Thread | None = None

    def status(self, choice: BackendChoice) -> BackendStatus:
        """Return the status of `choice`, at most some seconds old or being renewed."""
        with self._changed:
            if choice != self._choice:
                self._choice, self._status = choice, None
            if self._thread is None and (self._status is None or time.monotonic() - self._looked > FRESH_SECONDS):
                self._thread = threading.Thread(target=self._look, args=(choice,), name="model status", daemon=True)
                self._thread.start()
            if self._status is None:
                self._changed.wait_for(lambda: self._status is not None, FIRST_LOOK_SECONDS)
            return self._status or BackendStatus(
                choice.kind, choice.model, "loading", _("Waiting for the server's reply.")
            )

    def forget(self) -> None:
        """Look again at the next call."""
        with self._changed:
            self._choice = self._status = None

    def close(self) -> None:
        """Wait for a look that is under way."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def _look(self, choice: BackendChoice) -> None:
        try:
            status = self._probe(choice)
            with self._changed:
                if choice == self._choice:
                    self._status, self._looked = status, time.monotonic()
        finally:
            with self._changed:
                self._thread = None
                self._changed.notify_all()
