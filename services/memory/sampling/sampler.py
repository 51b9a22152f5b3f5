"""The one thread that looks at the process, once a second, however many tabs are open."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import structlog

from services.memory.clock import Clock
from services.memory.process import rss_bytes
from services.memory.types import Sample, Series

log = structlog.get_logger(__name__)


class Sampler:
    """Takes a sample a second and hands it to `sink`. `sources` add columns of their own (counts, the last ledger)."""

    def __init__(self, clock: Clock, sink: Callable[[Sample], None], seconds: float = 1.0) -> None:
        self._clock = clock
        self._sink = sink
        self._seconds = seconds
        self._sources: list[Callable[[], Mapping[str, float]]] = []
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def add_source(self, source: Callable[[], Mapping[str, float]]) -> None:
        """Have each sample also carry what `source` returns: values by column name."""
        self._sources.append(source)

    def start(self) -> None:
        """Begin sampling."""
        self._thread = threading.Thread(target=self._run, name="memory-sampler", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; safe to call twice."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def sample(self) -> Sample:
        """Look once, now."""
        values: dict[str, float] = {Series.RSS: float(rss_bytes())}
        for source in self._sources:
            values.update(source())
        return Sample(self._clock.time(), values)

    def _run(self) -> None:
        due = self._clock.time()
        while not self._clock.wait(self._stopping, due - self._clock.time()):
            due = max(due + self._seconds, self._clock.time())
            self._sink(self.sample())
