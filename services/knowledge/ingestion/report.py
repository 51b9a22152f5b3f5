"""What the pipeline reports: one event when it begins to work, one when it is through, and counts in between."""

from __future__ import annotations

import threading
import time

from services.reporting import Counted, EventKind, Reporter, Timing
from services.texts import _, plural


class Report:
    """Sums up a stretch of work, from the first job until the queue is empty. Thread-safe."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._lock = threading.Lock()
        self._began: float | None = None
        self._ready = self._failed = self._chunks = 0

    def began(self, waited: float | None) -> None:
        """A job is being worked on; `waited` seconds in the queue where that is known."""
        with self._lock:
            first = self._began is None
            if first:
                self._began = time.monotonic()
        if waited is not None:
            self._reporter.observe(Timing.INGESTION_WAIT, waited)
        if first:
            self._reporter.event(EventKind.INGESTION, _("ingestion begun"))

    def parsed(self, seconds: float) -> None:
        """A file was read and chunked."""
        self._reporter.observe(Timing.PARSING, seconds)

    def embedded(self, seconds: float) -> None:
        """A group of chunks was embedded."""
        self._reporter.observe(Timing.EMBEDDING, seconds)

    def stored(self, *, documents: int, chunks: int) -> None:
        """So many chunks were stored, and so many documents are ready with them."""
        with self._lock:
            self._ready += documents
            self._chunks += chunks
        self._reporter.count(Counted.DOCUMENTS_READY, documents)
        self._reporter.count(Counted.CHUNKS_EMBEDDED, chunks)

    def failed(self) -> None:
        """A job ended without success."""
        with self._lock:
            self._failed += 1
        self._reporter.count(Counted.DOCUMENTS_FAILED)

    def through(self) -> None:
        """Nothing is left to do."""
        with self._lock:
            began, ready, failed, chunks = self._began, self._ready, self._failed, self._chunks
            self._began = None
            self._ready = self._failed = self._chunks = 0
        if began is not None:
            text = plural("{count} document taken in", "{count} documents taken in", ready)
            figures = {"documents": ready, "failed": failed, "chunks": chunks, "seconds": time.monotonic() - began}
            self._reporter.event(EventKind.INGESTION, text, **figures)
