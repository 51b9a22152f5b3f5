"""The state that the stages of the ingestion pipeline share: active tasks, the backlog of chunks, events, failures."""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from services.core.admission import Admission
from services.core.errors import DatabaseAwayError, ErrorKind, MillpondError, StorageError, UnavailableError
from services.core.events import Counter, EventKind, EventSink, Timer
from services.core.i18n import _, plural
from services.knowledge.files.file_store import FileStore
from services.knowledge.ingestion.attachments import WaitingAttachments
from services.knowledge.ingestion.lanes import Lane
from services.knowledge.ingestion.turns import Flow
from services.knowledge.progress import ProgressBoard
from services.knowledge.recognition.recognized import RecognizedPage
from services.knowledge.store.jobs import Claim, JobStore
from services.knowledge.types import ChunkDraft, DocumentStatus, JobProgress, Section

log = structlog.get_logger(__name__)

# Errors that a retry cannot cure: the original is not kept.
_PERMANENT = frozenset({ErrorKind.BAD_INPUT, ErrorKind.TOO_LARGE})
_RETRY_SECONDS = 1.0
_POLL_SECONDS = 1.0
_EMBEDDED_BATCHES = 2  # that wait between embedding and storing


class PipelineState:
    """The shared state of the pipeline; one lock guards its collections.

    Its three conditions are notified of what one stage each waits for: `changed` of what may let a file begin,
    `to_embed` of parsed chunks, `to_store` of embedded ones, or of room for more of them.
    """

    def __init__(
        self,
        jobs: JobStore,
        files: FileStore,
        board: ProgressBoard,
        events: PipelineEvents,
        *,
        admission: Admission | None = None,
    ) -> None:
        self.events = events
        self.admission = admission or Admission()
        self.jobs = jobs
        self.files = files
        self.board = board
        lock = threading.RLock()
        self.changed = threading.Condition(lock)
        self.to_embed = threading.Condition(lock)
        self.to_store = threading.Condition(lock)
        self.stopping = threading.Event()
        self.active: dict[int, IngestTask] = {}
        self.parsed: list[IngestTask] = []  # with chunks to be embedded that are in no batch
        self._embedded: deque[list[TaskSlice]] = deque()
        self._embedded_quick: deque[list[TaskSlice]] = deque()
        self.moves = 0  # counts what may let another file begin: tasks that ended, chunks that went to the embedder

    def stop(self) -> None:
        """Have all stages stop."""
        self.stopping.set()
        with self.changed:
            for condition in (self.changed, self.to_embed, self.to_store):
                condition.notify_all()

    def start(self, task: IngestTask) -> None:
        """Record that a task is active."""
        with self.changed:
            self.active[task.claim.job_id] = task
        self.board.update(task.claim.job_id, DocumentStatus.QUEUED)
        self.events.started(task.claim.waited)

    def end(self, task: IngestTask) -> None:
        """Record that a task is no longer active, for whatever reason."""
        task.cancelled.set()
        task.drop_attachments()
        with self.changed:
            if self.active.get(task.claim.job_id) is task:
                del self.active[task.claim.job_id]
                self.board.remove(task.claim.job_id)
            self.moves += 1
            self.changed.notify_all()

    def abandon(self, job_id: int) -> None:
        """Make the stages drop the task of a job that was cancelled, superseded or deleted."""
        with self.changed:
            task = self.active.get(job_id)
        if task is not None:
            self.end(task)

    def enqueue_chunks(self, task: IngestTask) -> None:
        """Queue a task with its chunks for the embedding stage."""
        self.board.update(task.claim.job_id, DocumentStatus.EMBEDDING, JobProgress(0, task.total, "chunk"))
        with self.to_embed:
            self.parsed.append(task)
            self.to_embed.notify_all()

    def pass_on(self, batch: list[TaskSlice], *, quick: bool = False) -> None:
        """Hand embedded chunks to the storing stage, `quick` ones ahead; the rest of their files may follow."""
        line = self._embedded_quick if quick else self._embedded
        with self.to_store:
            while len(line) >= _EMBEDDED_BATCHES and not self.stopping.is_set():
                self.to_store.wait(_POLL_SECONDS)
            line.append(batch)
            self.to_store.notify_all()
            self.parsed += [part.task for part in batch if not part.last and not part.task.cancelled.is_set()]
            self.to_embed.notify_all()
            self.moves += 1
            self.changed.notify_all()

    def next_embedded(self, *, wait: bool, quick_only: bool = False) -> list[TaskSlice] | None:
        """Return the next embedded chunks to store, quick ones first; with `wait`, wait a moment for some."""
        with self.to_store:
            if wait and not self._embedded and not self._embedded_quick and not self.stopping.is_set():
                self.to_store.wait(_POLL_SECONDS)
            line = self._embedded_quick or (None if quick_only else self._embedded)
            if not line:
                return None
            batch = line.popleft()
            self.to_store.notify_all()
            return batch

    def should_stop(self, task: IngestTask) -> bool:
        """Return whether a stage has to stop working on a task."""
        return task.cancelled.is_set() or self.stopping.is_set()

    def fail(self, task: IngestTask, error: MillpondError) -> None:
        """Record why a task failed, delete what it had written and end it.

        On a full disk, and while the database is away, this retries until there is a record.
        """
        claim = task.claim
        log.info("ingestion failed", job=claim.job_id, document=claim.document_id, kind=error.kind, reason=str(error))
        while not self.stopping.is_set():
            try:
                unneeded = self.jobs.fail(
                    claim,
                    error.message,
                    error.hint,
                    keep_file=error.kind not in _PERMANENT,
                    behind=error.kind is ErrorKind.TIMED_OUT,
                )
                self.files.remove(unneeded or [])
                if unneeded is not None:
                    self.events.failed()
                break
            except DatabaseAwayError:
                self.stopping.wait(_RETRY_SECONDS)
                continue
            except StorageError:
                log.warning("failed job not cleaned up: disk full", job=claim.job_id)
            try:
                self.jobs.fail_without_cleanup(claim, error.message, error.hint)
                self.events.failed()
                break
            except (StorageError, DatabaseAwayError):
                self.stopping.wait(_RETRY_SECONDS)
        self.end(task)

    def put_back(self, task: IngestTask, *, died: bool = False) -> None:
        """Return a task's job to the queue and end it; while the database is away this waits for it.

        Raises:
            StorageError: the disk is full; the task goes on.
        """
        while not self.stopping.is_set():
            try:
                self.jobs.put_back(task.claim, died=died)
                break
            except DatabaseAwayError:
                self.stopping.wait(_RETRY_SECONDS)
        self.end(task)

    def fail_unexpectedly(self, task: IngestTask, error: Exception) -> None:
        """Fail a task after a defect; the log has the traceback under the reference that the message names."""
        reference = secrets.token_hex(4)
        log.error("ingestion defect", job=task.claim.job_id, reference=reference, exc_info=error)
        self.fail(
            task,
            UnavailableError(
                _("Something unexpected went wrong (reference {reference}).").format(reference=reference),
                _("Retry it; if it happens again, report it with the log lines of that reference."),
            ),
        )


class PipelineEvents:
    """Emits the events and metrics of a run, from the first job until the queue is empty. Thread-safe."""

    def __init__(self, reporter: EventSink) -> None:
        self._reporter = reporter
        self._lock = threading.Lock()
        self._started: float | None = None
        self._ready = self._failed = self._chunks = 0

    def started(self, waited: float | None) -> None:
        """Record that a job started, after `waited` seconds in the queue where that is known."""
        with self._lock:
            first = self._started is None
            if first:
                self._started = time.monotonic()
        if waited is not None:
            self._reporter.observe(Timer.INGESTION_WAIT, waited)
        if first:
            self._reporter.event(EventKind.INGESTION, _("ingestion started"))

    def parsed(self, seconds: float) -> None:
        """Record that a file was parsed and chunked."""
        self._reporter.observe(Timer.PARSING, seconds)

    def recognized(self) -> None:
        """Record that text recognition read a page."""
        self._reporter.count(Counter.PAGES_RECOGNIZED)

    def embedded(self, seconds: float) -> None:
        """Record that a batch of chunks was embedded."""
        self._reporter.observe(Timer.EMBEDDING, seconds)

    def stored(self, *, documents: int, chunks: int) -> None:
        """Record how many chunks were stored, and how many documents became ready with them."""
        with self._lock:
            self._ready += documents
            self._chunks += chunks
        self._reporter.count(Counter.DOCUMENTS_READY, documents)
        self._reporter.count(Counter.CHUNKS_EMBEDDED, chunks)

    def failed(self) -> None:
        """Record that a job failed."""
        with self._lock:
            self._failed += 1
        self._reporter.count(Counter.DOCUMENTS_FAILED)

    def finished(self) -> None:
        """Emit the summary of the run: the queue is empty."""
        with self._lock:
            started, ready, failed, chunks = self._started, self._ready, self._failed, self._chunks
            self._started = None
            self._ready = self._failed = self._chunks = 0
        if started is not None:
            text = plural("{count} document ingested", "{count} documents ingested", ready)
            figures = {"documents": ready, "failed": failed, "chunks": chunks, "seconds": time.monotonic() - started}
            self._reporter.event(EventKind.INGESTION, text, **figures)


@dataclass(eq=False, slots=True)
class IngestTask:
    """A job in progress: of `total` chunks in `drafts`, `taken` went to the embedder and `stored` are committed.

    `flow` is whose it is, and what it was handed in with. `sections_stored` and `pages_stored` are committed, too, and
    the terms and vectors of `indexed` chunks are there, but not shown yet.
    """

    claim: Claim
    lane: Lane = Lane.QUICK
    cancelled: threading.Event = field(default_factory=threading.Event)
    drafts: Iterator[ChunkDraft] = field(default_factory=lambda: iter(()))
    sections: Sequence[Section] = ()
    recognized: Sequence[RecognizedPage] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    attachments: WaitingAttachments | None = None
    is_stored: Callable[[str], bool] = lambda _stored: False  # of what they have in common with others
    total: int = 0
    taken: int = 0
    stored: int = 0
    sections_stored: int = 0
    pages_stored: int = 0
    indexed: int = 0
    early_ids: list[NDArray[np.int64]] = field(default_factory=list)

    flow: Flow = field(init=False)

    def __post_init__(self) -> None:
        self.flow = Flow(self.claim.owner, self.claim.batch)

    @property
    def remaining(self) -> int:
        """Chunks that have not gone to the embedder yet."""
        return self.total - self.taken

    def drop_attachments(self) -> None:
        """Drop the files that it brought, unless they are stored or being stored."""
        if self.attachments is not None:
            self.attachments.drop()

    def prepare(
        self,
        drafts: Iterable[ChunkDraft],
        total: int,
        sections: Sequence[Section],
        recognized: Sequence[RecognizedPage] = (),
        **facts: Any,
    ) -> None:
        """Set the chunks to embed, the sections, the pages read by text recognition, the facts about the revision."""
        self.drafts = iter(drafts)
        self.total = total
        self.sections = sections
        self.recognized = recognized
        self.facts = facts

    def next_drafts(self, count: int) -> list[ChunkDraft]:
        """Return at most `count` of the next chunks."""
        drafts = list(islice(self.drafts, count))
        self.taken += len(drafts)
        return drafts


@dataclass(eq=False, slots=True)
class TaskSlice:
    """The next `count` chunks of a task; `vectors` is float32 (n, d), of the model `fingerprint`; `last` tells that the
    task has no more.
    """

    task: IngestTask
    drafts: list[ChunkDraft]
    last: bool
    count: int = 0
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    fingerprint: str = ""


class JobRevokedError(Exception):
    """The job was cancelled, deleted or superseded while it was active; whoever did that has cleaned up."""
