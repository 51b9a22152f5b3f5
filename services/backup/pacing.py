"""How fast a backup goes: it gives way to questions, and ends soon when it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable

from services.core.errors import CancelledError
from services.core.i18n import _
from services.core.machine import MEGABYTE

_REST_SECONDS = 0.002
_BUSY_REST_SECONDS = 0.025


class Pace:
    """Rests after each megabyte, longer while questions are answered; counts what was done."""

    def __init__(
        self,
        busy: Callable[[], bool] = lambda: False,
        stopping: threading.Event | None = None,
        progress: Callable[[int], None] = lambda _done: None,
    ) -> None:
        """`busy`: whether questions are answered at present; `progress` is called with all bytes that were done."""
        self._busy = busy
        self._stopping = stopping or threading.Event()
        self._progress = progress
        self._since = 0
        self.done = 0

    def step(self, done: int) -> None:
        """Count `done` bytes more, and rest when it is time.

        Raises:
            CancelledError: the work is to end.
        """
        self.done += done
        self._since += done
        if self._since < MEGABYTE:
            return
        self._since = 0
        self._progress(self.done)
        self.rest()

    def rest(self) -> None:
        """Rest now; errors as for `step`."""
        if self._stopping.wait(_BUSY_REST_SECONDS if self._busy() else _REST_SECONDS):
            raise CancelledError(
                _("The backup was stopped; backups from before are whole, and what was copied is used by the next one.")
            )
