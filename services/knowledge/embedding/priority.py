"""Questions go before ingestion: batch work stops between two operations while a question is under way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# A batch gives way for at most this long in all, so that a flood of questions cannot stop ingestion for good.
PATIENCE_SECONDS = 3.0


class Priority:
    """Tells batch work when a question is under way; thread-safe."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._urgent = 0

    @contextmanager
    def urgent(self) -> Iterator[None]:
        """Hold batch work back while the block runs."""
        with self._condition:
            self._urgent += 1
        try:
            yield
        finally:
            with self._condition:
                self._urgent -= 1
                if not self._urgent:
                    self._condition.notify_all()

    def batch(self) -> Batch:
        """Return what one batch of work calls between its operations."""
        return Batch(self)

    def wait(self, timeout_seconds: float) -> float:
        """Wait until no question is under way; return how long that took, in seconds."""
        if not self._urgent:
            return 0.0
        started = time.monotonic()
        with self._condition:
            self._condition.wait_for(lambda: not self._urgent, timeout_seconds)
        return time.monotonic() - started


class Batch:
    """One batch's patience with questions."""

    def __init__(self, priority: Priority) -> None:
        self._priority = priority
        self._patience_seconds = PATIENCE_SECONDS

    def give_way(self) -> None:
        """Return at once when no question is under way; else wait for it, as long as there is patience left."""
        if self._patience_seconds > 0:
            self._patience_seconds -= self._priority.wait(self._patience_seconds)


def never() -> None:
    """Give way to nobody: what a question calls where a batch calls `Batch.give_way`."""
