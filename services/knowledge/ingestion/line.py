"""What the stages of the pipeline share: the jobs in work, the chunks that wait to be embedded, how a job ends."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from typing import TYPE_CHECKING

import structlog

from services.admission import Admission
from services.errors import ErrorKind, MillpondError, StorageError, UnavailableError
from services.knowledge.files import FileStore
from services.knowledge.ingestion.report import Report
from services.knowledge.ingestion.work import Piece, Work
from services.knowledge.progress import ProgressBoard
from services.knowledge.store.jobs import JobStore
from services.knowledge.types import DocumentStatus, Progress
from services.texts import _

if TYPE_CHECKING:
    from queue import Queue

log = structlog.get_logger(__name__)

# Originals that will never become readable are not kept.
_HOPELESS = frozenset({ErrorKind.BAD_INPUT, ErrorKind.TOO_LARGE})
_RECORD_AGAIN_SECONDS = 1.0
# A file counts as at most this many waiting chunks, so that small files can pass a huge one.
LARGEST_SHARE = 512


class Line:
    """The state of the pipeline. `changed` guards what is in it and is notified whenever that changes."""

    def __init__(
        self,
        jobs: JobStore,
        files: FileStore,
        board: ProgressBoard,
        finished: Queue[list[Piece]],
        report: Report,
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
        self.in_work: dict[int, Work] = {}
        self.parsed: deque[Work] = deque()
        self.embedding: list[Work] = []
        self.ended = 0

    def begin(self, work: Work) -> None:
        """Note that a job is being worked on."""
        with self.changed:
            self.in_work[work.claim.job_id] = work
        self.board.show(work.claim.job_id, DocumentStatus.QUEUED)
        self.report.began(work.claim.waited)

    def end(self, work: Work) -> None:
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

    def hand_over(self, work: Work) -> None:
        """Put a job with its chunks in front of the embedding stage."""
        self.board.show(work.claim.job_id, DocumentStatus.EMBEDDING, Progress(0, work.total, "chunk"))
        with self.changed:
            self.parsed.append(work)
            self.changed.notify_all()

    def waiting_chunks(self) -> int:
        """Return how many chunks wait to be embedded; a huge file counts as `LARGEST_SHARE`."""
        with self.changed:
            return sum(min(work.remaining, LARGEST_SHARE) for work in (*self.parsed, *self.embedding))

    def stopped(self, work: Work) -> bool:
        """Tell whether a stage has to let go of a job."""
        return work.cancelled.is_set() or self.stopping.is_set()

    def fail(self, work: Work, error: MillpondError) -> None:
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

    def fail_unexpectedly(self, work: Work, error: Exception) -> None:
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
