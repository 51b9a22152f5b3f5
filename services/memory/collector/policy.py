"""When to collect, in place of after every run of a page: in quiet moments, by allocation, after big work."""

from __future__ import annotations

from collections.abc import Callable

from services.memory.clock import Clock
from services.reporting import Reporter


class CollectionPolicy:
    """Decides when to collect and does it. `busy` says how many requests and answers are under way."""

    def __init__(self, clock: Clock, busy: Callable[[], int], reporter: Reporter) -> None:
        self._clock = clock
        self._busy = busy
        self._reporter = reporter
        self.enabled = True

    def big_work_done(self, what: str) -> None:
        """Say that something big has ended (an ingestion, a delete of many, an unloaded model)."""

    def check(self) -> None:
        """Collect if it is a good moment; called every second or so by `memory-watch`."""
