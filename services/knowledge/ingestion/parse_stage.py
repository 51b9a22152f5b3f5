"""First stage: takes jobs from the queue and turns originals into chunks, or copies chunks that exist already."""

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
from services.core.settings import MEGABYTE
from services.knowledge.ingestion.state import IngestTask, JobRevokedError, PipelineState
from services.knowledge.store import revisions
from services.knowledge.store.jobs import finish, holds
from services.knowledge.store.unit_of_work import DocumentWriter
from services.knowledge.types import ChunkDraft, DocumentStatus, JobKind, JobProgress

if TYPE_CHECKING:
    from services.core.admission import Reservation
    from services.knowledge.parsing import ParserPool

log = structlog.get_logger(__name__)

# So many chunks wait for the embedding stage before the next file is parsed: several seconds of its work; and where
# memory is tight.
ENOUGH_WAITING = 1024
ENOUGH_WHEN_TIGHT = 128
# What a file may take in this process until its chunks are handed over: the spools' buffers, a message of the parser.
READ_BYTES = 8 * MEGABYTE
_REST_SECONDS = 0.5
_COPIED_AT_ONCE = 4096
_READ_AT_ONCE = 256
_LOOK_AGAIN_SECONDS = 5.0


class ParseStage:
    """Any number of threads may be in `run`."""

    def __init__(
        self,
        line: PipelineState,
        database: Database,
        writer: DocumentWriter,
        parser: ParserPool,
        *,
        fingerprint: str,
        suspects: Sequence[int],
        when_idle: Callable[[], None],
    ) -> None:
        self._line = line
        self._database = database
        self._writer = writer
        self._parser = parser
        self._fingerprint = fingerprint
        # Jobs that a crash met are tried one by one: the guilty one shall not take others with it again.
        self._suspects = deque(suspects)
        self._when_idle = when_idle
        self._claiming = threading.Lock()
        self._maybe_more = True
        self._seen_ended = 0
        self._idle_told = True
        self._reading = 0  # files that are read at this moment; guarded by `changed`
        self.paused = ""

    def wake(self) -> None:
        """Say that there may be something in the queue."""
        with self._line.changed:
            self._maybe_more = True
            self._line.changed.notify_all()

    def run(self) -> None:
        """Take jobs until the pipeline stops."""
        line = self._line
        while not line.stopping.is_set():
            work, room = self._next()
            if work is None or room is None:
                continue
            try:
                with room:
                    self._prepare(work)
            except JobRevokedError:
                line.end(work)
            except CancelledError:
                # Nobody cancels but those who have taken the job away, or a stop, after which it goes on.
                line.end(work)
            except MillpondError as error:
                line.fail(work, error)
            except Exception as error:  # noqa: BLE001 - the boundary of the thread: one defect costs one job
                line.fail_unexpectedly(work, error)
            self._rest()
            with line.changed:
                self._reading -= 1
                line.changed.notify_all()

    def _rest(self) -> None:
        """Leave memory and processor to questions for a while, where that is wanted."""
        line = self._line
        rested = 0.0
        while rested < line.admission.pause_seconds and not line.stopping.wait(_REST_SECONDS):
            rested += _REST_SECONDS

    def _next(self) -> tuple[IngestTask, Reservation] | tuple[None, None]:
        """Wait for a job that may begin, and for room; claim it. None: look again."""
        line = self._line
        with self._claiming:
            with line.changed:
                if line.stopping.is_set():
                    return None, None
                room = self._room() if self._may_begin() else None
                if room is None:
                    line.changed.wait(_LOOK_AGAIN_SECONDS)
                    self._maybe_more = True
                    return None, None
                self._maybe_more = False
            try:
                work = self._claim()
            except StorageError as error:
                room.release()
                self.paused = str(error)
                line.stopping.wait(_LOOK_AGAIN_SECONDS)
                return None, None
            if work is not None:
                self._maybe_more = True
                self._idle_told = False
                with line.changed:
                    self._reading += 1
                return work, room
            room.release()
            with line.changed:
                idle = not line.in_work and not self._idle_told
                self._idle_told = self._idle_told or idle
        if idle:
            self._when_idle()
        return None, None

    def _room(self) -> Reservation | None:
        """Return room in memory for one more file; None: it waits, which `paused` explains."""
        what = _("The next document")
        room = self._line.admission.try_reserve(READ_BYTES, what)
        if room is None:
            self.paused = self._line.admission.shortage(READ_BYTES, what)
        return room

    def _may_begin(self) -> bool:
        line = self._line
        if line.in_work and self._suspects:
            return False
        if not self._maybe_more and line.ended == self._seen_ended:
            return False
        self._seen_ended = line.ended
        self.paused = line.files.low_space()
        tight = line.admission.low_memory
        if self.paused or (tight and self._reading):
            return False
        return line.waiting_chunks() < (ENOUGH_WHEN_TIGHT if tight else ENOUGH_WAITING)

    def _claim(self) -> IngestTask | None:
        line = self._line
        claim = None
        while self._suspects and claim is None:
            claim = line.jobs.claim(self._fingerprint, only=self._suspects[0])
            if claim is None:  # cancelled or deleted meanwhile
                self._suspects.popleft()
        if claim is None:
            # Of several files with the same content the first is processed, the others copy from it.
            with line.changed:
                busy = {work.claim.sha256 for work in line.in_work.values()}
            claim = line.jobs.claim(self._fingerprint, busy=busy)
        if claim is None:
            return None
        work = IngestTask(claim)
        line.begin(work)
        return work

    def _prepare(self, work: IngestTask) -> None:
        claim = work.claim
        if claim.kind == JobKind.REEMBED:
            self._reuse_chunks(work)
        elif claim.source is None or not self._copy(work, claim.source):
            self._parse(work)

    def _parse(self, work: IngestTask) -> None:
        claim, board = work.claim, self._line.board
        board.show(claim.job_id, DocumentStatus.PARSING)
        started = time.monotonic()
        parsed = self._parser.parse(
            self._line.files.path(claim.stored),
            claim.name,
            chunk_tokens=claim.chunk_tokens,
            overlap=claim.overlap,
            on_progress=lambda progress: board.show(claim.job_id, DocumentStatus.PARSING, progress),
            cancelled=lambda: self._line.stopped(work),
        )
        self._line.report.parsed(time.monotonic() - started)
        if not parsed.chunks:
            raise BadInputError(
                _("The file contains no text that could be read; nothing of it was kept."),
                _("If it is a scan, run text recognition on it first."),
            )
        work.prepare(
            parsed.chunks, len(parsed.chunks), parsed.sections, media_type=parsed.media_type, pages=parsed.pages
        )
        self._line.hand_over(work)

    def _reuse_chunks(self, work: IngestTask) -> None:
        """Embed anew what the document answers with."""
        source = work.claim.active_revision_id
        with self._writer.change() as change:
            facts = source and revisions.revision_facts(change.connection, source)
            if not source or not facts or not holds(change.connection, work.claim):
                raise JobRevokedError
            revisions.copy_sections(change.connection, source, work.claim.revision_id)
        total = facts.pop("chunks")
        work.prepare(self._stored_drafts(source), total, (), **facts)
        self._line.hand_over(work)

    def _stored_drafts(self, revision_id: int) -> Iterator[ChunkDraft]:
        start = 0
        while True:
            with self._database.read() as connection:
                drafts = revisions.read_drafts(connection, revision_id, start, _READ_AT_ONCE)
            if not drafts:
                return
            yield from drafts
            start += len(drafts)

    def _copy(self, work: IngestTask, source: int) -> bool:
        """Copy chunks and vectors of the same content, made the same way; false if they went away meanwhile."""
        claim, line = work.claim, self._line
        done, total, last = 0, 0, False
        while not last:
            if line.stopping.is_set():
                raise CancelledError(_("Stopped."))
            with self._writer.change() as change:
                connection = change.connection
                if not holds(connection, claim):
                    raise JobRevokedError
                facts = revisions.revision_facts(connection, source)
                if facts is None:
                    revisions.drop_content(connection, claim.revision_id)
                    return False
                total = facts.pop("chunks")
                count = revisions.copy_chunks(connection, source, claim.revision_id, done, _COPIED_AT_ONCE)
                if claim.name != claim.source_name:
                    revisions.rename_terms(connection, claim.revision_id, done, count, self._terms(claim.name))
                done += count
                last = done >= total
                if last:
                    revisions.copy_sections(connection, source, claim.revision_id)
                    facts["fingerprint"] = self._fingerprint
                    change.switches.append(revisions.activate(connection, claim.revision_id, **facts))
                    finish(connection, claim)
            line.board.show(claim.job_id, DocumentStatus.EMBEDDING, JobProgress(done, total, "chunk"))
        line.report.stored(documents=1, chunks=0)
        line.end(work)
        return True

    @staticmethod
    def _terms(name: str) -> Callable[[ChunkDraft], str]:
        from services.knowledge.text.chunks import lexical_terms

        return lambda draft: lexical_terms(draft.text, (*draft.heading, draft.sheet), name)


def begin_thread(name: str, run: Callable[[], None]) -> threading.Thread:
    """Start a thread whose work gives way to that of others."""

    def low() -> None:
        lower_priority()
        run()

    thread = threading.Thread(target=low, name=name, daemon=True)
    thread.start()
    return thread


def lower_priority() -> None:
    """Let the calling thread run when nothing else wants to; threads that it starts inherit this.

    On Linux the priority belongs to a thread, not to the process (setpriority(2)).
    """
    import os
    import sys

    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
