"""First stage of the pipeline: claims queued jobs, parses originals or copies chunks that exist already."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import structlog

from services.core.database import Database
from services.core.errors import BadInputError, CancelledError, MillpondError, StorageError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.knowledge.ingestion.attachments import WaitingAttachments
from services.knowledge.ingestion.state import IngestTask, JobRevokedError, PipelineState
from services.knowledge.store import revisions
from services.knowledge.store.attachments import MOST_DEPTH, depth_of
from services.knowledge.store.jobs import Claim, finish_job, still_holds
from services.knowledge.store.unit_of_work import DocumentWriter
from services.knowledge.types import ChunkDraft, DocumentStatus, JobKind, JobProgress

if TYPE_CHECKING:
    from services.core.admission import Reservation
    from services.knowledge.parsing.pool import ParserPool

log = structlog.get_logger(__name__)

# No further file is parsed while so many chunks wait to be embedded: several seconds of the embedding stage's work.
BACKLOG_CHUNKS = 1024
BACKLOG_CHUNKS_LOW_MEMORY = 128
# RAM of a file in this process until its chunks are queued: the spools' buffers and one message of the parser.
PARSE_BYTES = 8 * MEGABYTE
_REST_SECONDS = 0.5
_COPY_BATCH = 4096
_READ_BATCH = 256
_POLL_SECONDS = 5.0


class ParseStage:
    """Claims and parses jobs; any number of threads may call `run`."""

    def __init__(
        self,
        state: PipelineState,
        database: Database,
        writer: DocumentWriter,
        parser: ParserPool,
        *,
        fingerprint: str,
        attachments_limit: int,
        suspects: Sequence[int],
        on_idle: Callable[[], None],
    ) -> None:
        self._attachments_limit = attachments_limit
        self._state = state
        self._database = database
        self._writer = writer
        self._parser = parser
        self._fingerprint = fingerprint
        # Jobs that were active during a crash run one at a time, so that the cause cannot take others down again.
        self._suspects = deque(suspects)
        self._on_idle = on_idle
        self._claiming = threading.Lock()
        self._maybe_more = True
        self._seen_ended = 0
        self._idle_notified = True
        self._parsing = 0  # files being parsed; guarded by `changed`
        self.pause_reason = ""

    def wake(self, *, deleted: bool = False) -> None:
        """Wake the threads: the queue may have a job; or something was `deleted`, and idle listeners are called."""
        with self._state.changed:
            self._maybe_more = True
            self._idle_notified = self._idle_notified and not deleted
            self._state.changed.notify_all()

    def run(self) -> None:
        """Claim and parse jobs until the pipeline stops."""
        state = self._state
        while not state.stopping.is_set():
            task, reservation = self._next()
            if task is None or reservation is None:
                continue
            try:
                with reservation:
                    self._prepare(task)
            except JobRevokedError:
                state.end(task)
            except CancelledError:
                # Either the job was revoked, or the pipeline stops; then it continues at the next start.
                state.end(task)
            except MillpondError as error:
                state.fail(task, error)
            except Exception as error:  # noqa: BLE001 - the boundary of the thread: one defect costs one job
                state.fail_unexpectedly(task, error)
            self._rest()
            with state.changed:
                self._parsing -= 1
                state.changed.notify_all()

    def _rest(self) -> None:
        """Pause between files as long as admission control asks for, to leave memory and CPU to questions."""
        state = self._state
        rested = 0.0
        while rested < state.admission.pause_seconds and not state.stopping.wait(_REST_SECONDS):
            rested += _REST_SECONDS

    def _next(self) -> tuple[IngestTask, Reservation] | tuple[None, None]:
        """Wait for a job that may start and for memory, and claim the job. None: call again."""
        state = self._state
        with self._claiming:
            with state.changed:
                if state.stopping.is_set():
                    return None, None
                reservation = self._reserve() if self._may_start() else None
                if reservation is None:
                    state.changed.wait(_POLL_SECONDS)
                    self._maybe_more = True
                    return None, None
                self._maybe_more = False
            try:
                task = self._claim()
            except StorageError as error:
                reservation.release()
                self.pause_reason = str(error)
                state.stopping.wait(_POLL_SECONDS)
                return None, None
            if task is not None:
                self._maybe_more = True
                self._idle_notified = False
                with state.changed:
                    self._parsing += 1
                return task, reservation
            reservation.release()
            with state.changed:
                idle = not state.active and not self._idle_notified
                self._idle_notified = self._idle_notified or idle
        if idle:
            self._on_idle()
        return None, None

    def _reserve(self) -> Reservation | None:
        """Reserve memory for one more file; None: the file waits, and `pause_reason` says why."""
        what = _("The next document")
        reservation = self._state.admission.try_reserve(PARSE_BYTES, what)
        if reservation is None:
            self.pause_reason = self._state.admission.shortage(PARSE_BYTES, what)
        return reservation

    def _may_start(self) -> bool:
        state = self._state
        if state.active and self._suspects:
            return False
        if not self._maybe_more and state.ended == self._seen_ended:
            return False
        self._seen_ended = state.ended
        self.pause_reason = state.files.shortage()
        low_memory = state.admission.low_memory
        if self.pause_reason or (low_memory and self._parsing):
            return False
        return state.backlog_chunks() < (BACKLOG_CHUNKS_LOW_MEMORY if low_memory else BACKLOG_CHUNKS)

    def _claim(self) -> IngestTask | None:
        state = self._state
        claim = None
        while self._suspects and claim is None:
            claim = state.jobs.claim(self._fingerprint, only=self._suspects[0])
            if claim is None:  # cancelled or deleted meanwhile
                self._suspects.popleft()
        if claim is None:
            # Of several files with the same content the first is processed, the others copy from it.
            with state.changed:
                busy = {task.claim.sha256 for task in state.active.values()}
            claim = state.jobs.claim(self._fingerprint, busy=busy)
        if claim is None:
            return None
        task = IngestTask(claim)
        state.start(task)
        return task

    def _prepare(self, task: IngestTask) -> None:
        claim = task.claim
        if claim.kind == JobKind.REEMBED:
            self._reuse_chunks(task)
        elif claim.source is None or not self._copy(task, claim.source):
            self._parse(task)

    def _parse(self, task: IngestTask) -> None:
        claim, board = task.claim, self._state.board
        board.update(claim.job_id, DocumentStatus.PARSING)
        started = time.monotonic()
        # What a mail has brought is there already when its chunks are made anew.
        task.attachments = WaitingAttachments(self._state.files) if claim.kind == JobKind.INGEST else None
        parsed = self._parser.parse(
            self._state.files.path(claim.stored),
            claim.name,
            chunk_tokens=claim.chunk_tokens,
            overlap=claim.overlap,
            on_progress=lambda progress: board.update(claim.job_id, DocumentStatus.PARSING, progress),
            cancelled=lambda: self._state.should_stop(task),
            attachments=task.attachments,
            most_attachments=self._most_attachments(claim),
        )
        if task.cancelled.is_set():  # whoever set that may have been too early for the last of the files
            task.drop_attachments()
        self._state.events.parsed(time.monotonic() - started)
        if not parsed.chunks:
            raise BadInputError(
                _("The file contains no text that could be read; nothing of it was kept."),
                _("If it is a scan, run text recognition on it first."),
            )
        task.prepare(
            parsed.chunks,
            len(parsed.chunks),
            parsed.sections,
            media_type=parsed.media_type,
            pages=parsed.pages,
            notes=[list(note) for note in parsed.notes],
        )
        self._state.enqueue_chunks(task)

    def _most_attachments(self, claim: Claim) -> int:
        if claim.attached:
            with self._database.read() as connection:
                if depth_of(connection, claim.document_id) >= MOST_DEPTH:
                    return 0
        return self._attachments_limit

    def _reuse_chunks(self, task: IngestTask) -> None:
        """Prepare the chunks of the active revision to be embedded again."""
        source = task.claim.active_revision_id
        with self._writer.transaction() as unit:
            facts = source and revisions.revision_facts(unit.connection, source)
            if not source or not facts or not still_holds(unit.connection, task.claim):
                raise JobRevokedError
            revisions.copy_sections(unit.connection, source, task.claim.revision_id)
        total = facts.pop("chunks")
        task.prepare(self._stored_drafts(source), total, (), **facts)
        self._state.enqueue_chunks(task)

    def _stored_drafts(self, revision_id: int) -> Iterator[ChunkDraft]:
        start = 0
        while True:
            with self._database.read() as connection:
                drafts = revisions.read_drafts(connection, revision_id, start, _READ_BATCH)
            if not drafts:
                return
            yield from drafts
            start += len(drafts)

    def _copy(self, task: IngestTask, source: int) -> bool:
        """Copy chunks and vectors of a revision with the same content and plan; false if it was deleted meanwhile."""
        claim, state = task.claim, self._state
        done, total, last = 0, 0, False
        while not last:
            if state.stopping.is_set():
                raise CancelledError(_("Stopped."))
            with self._writer.transaction() as unit:
                connection = unit.connection
                if not still_holds(connection, claim):
                    raise JobRevokedError
                facts = revisions.revision_facts(connection, source)
                if facts is None:
                    revisions.drop_content(connection, claim.revision_id)
                    return False
                total = facts.pop("chunks")
                count = revisions.copy_chunks(connection, source, claim.revision_id, done, _COPY_BATCH)
                if claim.name != claim.source_name:
                    revisions.rename_terms(connection, claim.revision_id, done, count, self._terms(claim.name))
                done += count
                last = done >= total
                if last:
                    revisions.copy_sections(connection, source, claim.revision_id)
                    facts["fingerprint"] = self._fingerprint
                    unit.switches.append(revisions.activate(connection, claim.revision_id, **facts))
                    finish_job(connection, claim)
            state.board.update(claim.job_id, DocumentStatus.EMBEDDING, JobProgress(done, total, "chunk"))
        state.events.stored(documents=1, chunks=0)
        state.end(task)
        return True

    @staticmethod
    def _terms(name: str) -> Callable[[ChunkDraft], str]:
        from services.knowledge.text.chunks import lexical_terms

        return lambda draft: lexical_terms(draft.text, (*draft.heading, draft.sheet), name)


def start_low_priority_thread(name: str, run: Callable[[], None]) -> threading.Thread:
    """Start a daemon thread of low priority."""

    def low() -> None:
        lower_priority()
        run()

    thread = threading.Thread(target=low, name=name, daemon=True)
    thread.start()
    return thread


def lower_priority() -> None:
    """Lower the priority of the calling thread; threads that it starts inherit it.

    On Linux the priority belongs to a thread, not to the process (setpriority(2)).
    """
    import os
    import sys

    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
