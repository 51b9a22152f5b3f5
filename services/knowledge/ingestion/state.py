"""What the stages of the pipeline share: the jobs in work, the chunks that wait to be embedded, how a job ends.

What the pipeline reports: one event when it begins to work, one when it is through, and counts in between.

What travels through the pipeline.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog
from numpy.typing import NDArray

from services.core.admission import Admission
from services.core.errors import ErrorKind, MillpondError, StorageError, UnavailableError
from services.core.events import Counter, EventKind, EventSink, Timer
from services.core.i18n import _, plural
from services.knowledge.file_store import FileStore
from services.knowledge.progress import ProgressBoard
from services.knowledge.store.jobs import Claim, JobStore
from services.knowledge.types import ChunkDraft, DocumentStatus, JobProgress, Section

if TYPE_CHECKING:
    from queue import Queue

log = structlog.get_logger(__name__)

# Originals that will never become readable are not kept.
_HOPELESS = frozenset({ErrorKind.BAD_INPUT, ErrorKind.TOO_LARGE})
_RECORD_AGAIN_SECONDS = 1.0
# A file counts as at most this many waiting chunks, so that small files can pass a huge one.
LARGEST_SHARE = 512


class PipelineState:
    """The state of the pipeline. `changed` guards what is in it and is notified whenever that changes."""

    def __init__(
        self,
        jobs: JobStore,
        files: FileStore,
        board: ProgressBoard,
        finished: Queue[list[TaskSlice]],
        report: PipelineEvents,
        *,
        admission: Admission | None = None,
    ) -> None:
        self.report = report
        self.admission = admission or Admission()
        self.jobs = jobs
        self.files = files
        self.board = board
        self.finished = finished
        self.changed = threading.Condition()
        self.stopping = threading.Event()
        self.in_work: dict[int, IngestTask] = {}
        self.parsed: deque[IngestTask] = deque()
        self.embedding: list[IngestTask] = []
        self.ended = 0

    def begin(self, work: IngestTask) -> None:
        """Note that a job is being worked on."""
        with self.changed:
            self.in_work[work.claim.job_id] = work
        self.board.show(work.claim.job_id, DocumentStatus.QUEUED)
        self.report.began(work.claim.waited)

    def end(self, work: IngestTask) -> None:
        """Note that a job is not being worked on any more, however that came."""
        work.cancelled.set()
        with self.changed:
            if self.in_work.get(work.claim.job_id) is work:
                del self.in_work[work.claim.job_id]
                self.board.forget(work.claim.job_id)
            self.ended += 1
            self.changed.notify_all()

    def abandon(self, job_id: int) -> None:
        """Make the stages drop a job that was taken away from them."""
        with self.changed:
            work = self.in_work.get(job_id)
        if work is not None:
            self.end(work)

    def hand_over(self, work: IngestTask) -> None:
        """Put a job with its chunks in front of the embedding stage."""
        self.board.show(work.claim.job_id, DocumentStatus.EMBEDDING, JobProgress(0, work.total, "chunk"))
        with self.changed:
            self.parsed.append(work)
            self.changed.notify_all()

    def waiting_chunks(self) -> int:
        """Return how many chunks wait to be embedded; a huge file counts as `LARGEST_SHARE`."""
        with self.changed:
            return sum(min(work.remaining, LARGEST_SHARE) for work in (*self.parsed, *self.embedding))

    def stopped(self, work: IngestTask) -> bool:
        """Tell whether a stage has to let go of a job."""
        return work.cancelled.is_set() or self.stopping.is_set()

    def fail(self, work: IngestTask, error: MillpondError) -> None:
        """Record why a job failed, delete what it had written and end it.

        On a disk that is full to the last byte this waits until there is room for the record.
        """
        claim = work.claim
        log.info("ingestion failed", job=claim.job_id, document=claim.document_id, kind=error.kind, reason=str(error))
        while not self.stopping.is_set():
            try:
                unneeded = self.jobs.fail(claim, error.message, error.hint, keep_file=error.kind not in _HOPELESS)
                self.files.remove(unneeded or [])
                if unneeded is not None:
                    self.report.failed()
                break
            except StorageError:
                log.warning("no room to clean up after a failed job", job=claim.job_id)
            try:
                self.jobs.give_up(claim, error.message, error.hint)
                self.report.failed()
                break
            except StorageError:
                self.stopping.wait(_RECORD_AGAIN_SECONDS)
        self.end(work)

    def fail_unexpectedly(self, work: IngestTask, error: Exception) -> None:
        """End a job after a defect; the log has the traceback under the reference that the message names."""
        reference = secrets.token_hex(4)
        log.error("ingestion defect", job=work.claim.job_id, reference=reference, exc_info=error)
        self.fail(
            work,
            UnavailableError(
                _("Something unexpected went wrong (reference {reference}).").format(reference=reference),
                _("Retry it; if it happens again, report it with the log lines of that reference."),
            ),
        )


class PipelineEvents:
    """Sums up a stretch of work, from the first job until the queue is empty. Thread-safe."""

    def __init__(self, reporter: EventSink) -> None:
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
            self._reporter.observe(Timer.INGESTION_WAIT, waited)
        if first:
            self._reporter.event(EventKind.INGESTION, _("ingestion begun"))

    def parsed(self, seconds: float) -> None:
        """A file was read and chunked."""
        self._reporter.observe(Timer.PARSING, seconds)

    def embedded(self, seconds: float) -> None:
        """A group of chunks was embedded."""
        self._reporter.observe(Timer.EMBEDDING, seconds)

    def stored(self, *, documents: int, chunks: int) -> None:
        """So many chunks were stored, and so many documents are ready with them."""
        with self._lock:
            self._ready += documents
            self._chunks += chunks
        self._reporter.count(Counter.DOCUMENTS_READY, documents)
        self._reporter.count(Counter.CHUNKS_EMBEDDED, chunks)

    def failed(self) -> None:
        """A job ended without success."""
        with self._lock:
            self._failed += 1
        self._reporter.count(Counter.DOCUMENTS_FAILED)

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


@dataclass(eq=False, slots=True)
class IngestTask:
    """A job in progress. `total` chunks come out of `drafts`; `taken` of them were embedded, `stored` committed."""

    claim: Claim
    cancelled: threading.Event = field(default_factory=threading.Event)
    drafts: Iterator[ChunkDraft] = field(default_factory=lambda: iter(()))
    sections: Sequence[Section] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    total: int = 0
    taken: int = 0
    stored: int = 0

    @property
    def remaining(self) -> int:
        """Chunks that are still to be embedded."""
        return self.total - self.taken

    def prepare(self, drafts: Iterable[ChunkDraft], total: int, sections: Sequence[Section], **facts: Any) -> None:
        """Set what is to be embedded."""
        self.drafts = iter(drafts)
        self.total = total
        self.sections = sections
        self.facts = facts

    def take(self, count: int) -> list[ChunkDraft]:
        """Return at most `count` of the next chunks."""
        drafts = list(islice(self.drafts, count))
        self.taken += len(drafts)
        return drafts


@dataclass(eq=False, slots=True)
class TaskSlice:
    """Some chunks of a job, in a row; `vectors` is float32 (n, d), `last` tells that the job has no more."""

    work: IngestTask
    drafts: list[ChunkDraft]
    last: bool
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))


class JobRevokedError(Exception):
    """The job was cancelled, deleted or replaced while it was being worked on; whoever did that has cleaned up."""
