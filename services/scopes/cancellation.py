"""Telling work to stop, from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Cancellation:
    """Tells something to stop; whoever blocks for it registers how to be woken."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._lock = threading.RLock()
        self._wake: list[Callable[[], object]] = []

    def on_cancel(self, wake: Callable[[], object]) -> None:
        """Call `wake` when it is cancelled, at once if it was."""
        with self._lock:
            self._wake.append(wake)
            late = self.event.is_set()
        if late:
            wake()

    def cancel(self) -> None:
        """Stop it; returns at once."""
        with self._lock:
            self.event.set()
            wake = list(self._wake)
        for call in wake:
            call()

    def forget(self) -> None:
        """Let go of those who wanted to be woken: the work has ended."""
        with self._lock:
            self._wake.clear()
