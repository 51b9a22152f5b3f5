"""First stage of the pipeline: claims queued jobs, parses originals or copies chunks that exist already.

Which job is next: `waiting_jobs` (whose turn it is), `lanes` (whether its file is quick or large), `backlog` (whether
there is chunk enough to embed).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from services.core.database import Database
from services.core.errors import CancelledError, DatabaseAwayError, MillpondError, StorageError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.knowledge.files.stored_file import FilesUnavailableError
from services.knowledge.ingestion.attachments import WaitingAttachments
from services.knowledge.ingestion.backlog import Backlog
from services.knowledge.ingestion.copies import ChunkCopies
from services.knowledge.ingestion.lanes import QUICK_BYTES, Lane, Place, Places
from services.knowledge.ingestion.state import IngestTask, JobRevokedError, PipelineState, TaskSlice
from services.knowledge.ingestion.turns import Flow
from services.knowledge.ingestion.waiting_jobs import WaitingJobs
from services.knowledge.parsing.worker_death import MOST_DEATHS, WorkerDiedError, given_up
from services.knowledge.store.attachments import MOST_DEPTH, depth_of
from services.knowledge.store.intake import originals_present
from services.knowledge.store.jobs import Claim, QueuedJob
from services.knowledge.store.unit_of_work import DocumentWriter
from services.knowledge.types import DocumentStatus, JobKind

if TYPE_CHECKING:
    from services.core.admission import Reservation
    from services.knowledge.parsing.pool import ParserPool

log = structlog.get_logger(__name__)

# What was in work during a crash runs without company for so long after a start, then one by one beside other files.
ALONE_SECONDS = 3.0
# RAM of a file in this process until its chunks are queued: the spools' buffers and one message of the parser.
PARSE_BYTES = 8 * MEGABYTE
_REST_SECONDS = 0.5
_POLL_SECONDS = 5.0
_GIVE_WAY_SECONDS = 0.5


class ParseStage:
    """Claims and parses jobs; any number of threads may call `run`."""

    def __init__(
        self,
        state: PipelineState,
        database: Database,
        writer: DocumentWriter,
        parser: ParserPool,
        *,
        fingerprint: Callable[[], str],
        attachments_limit: int,
        suspects: Sequence[int],
        on_idle: Callable[[], None],
    ) -> None:
        self._attachments_limit = attachments_limit
        self._state = state
        self._database = database
        self._copies = ChunkCopies(state, database, writer)
        self._parser = parser
        self._fingerprint = fingerprint
        # Jobs that were active during a crash run one at a time, so that the cause cannot take many down again.
        self._suspects = deque(suspects)
        self._alone_until = time.monotonic() + ALONE_SECONDS
        self._suspected: list[int] = []  # to be added to them; guarded by the lock of `state`
        self._on_idle = on_idle
        self._claiming = threading.Lock()
        self._waiting = WaitingJobs(state.jobs)  # guarded by `_claiming`
        self._maybe_more = self._read_anew = self._news = True
        self._check_count = False
        self._seen_moves = 0
        self._idle_notified = True
        self._places = Places()  # guarded by the lock of `state`, as is what flows have used of them
        self._used: list[tuple[Flow, float]] = []
        self._resting = 0  # threads that rest
        self.pause_reason = ""

    def wake(self, *, deleted: bool = False, requeued: bool = False) -> None:
        """Wake the threads: the queue may have a job, or an old one again (`requeued`); or something was `deleted`, and
        idle listeners are called.
        """
        with self._state.changed:
            self._maybe_more = self._news = True
            self._read_anew = self._read_anew or requeued
            self._idle_notified = self._idle_notified and not deleted
            self._state.changed.notify_all()

    def suspect(self, job_ids: Sequence[int]) -> None:
        """Have jobs run one at a time that were active during a crash, of this node or another one."""
        with self._state.changed:  # whoever waits for news has the other lock
            self._suspected.extend(job_ids)

    def run(self) -> None:
        """Claim and parse jobs until the pipeline stops."""
        state = self._state
        while not state.stopping.is_set():
            started = self._next()
            if started is None:
                continue
            task, place, reservation = started
            try:
                with reservation:
                    self._prepare(task, place)
            except JobRevokedError:
                state.end(task)
            except CancelledError:
                # The job was revoked, or made way for another one, or the pipeline stops; then it continues at the
                # next start.
                if state.should_stop(task):
                    state.end(task)
                else:
                    self._put_back(task)
            except FilesUnavailableError as error:
                log.warning("original not to be had", job=task.claim.job_id, reason=error.message)
                self._put_back(task)
            except DatabaseAwayError as error:
                log.warning("file put back", job=task.claim.job_id, reason=error.message)
                self._put_back(task)
            except WorkerDiedError as error:
                self._worker_died(task, error)
            except MillpondError as error:
                state.fail(task, error)
            except Exception as error:  # noqa: BLE001 - the boundary of the thread: one defect costs one job
                state.fail_unexpectedly(task, error)
            self._rest()
            with state.changed:
                self._places.leave(place)
                self._used.append((task.flow, place.newly_used()))
                state.moves += 1
                state.changed.notify_all()

    def _worker_died(self, task: IngestTask, error: WorkerDiedError) -> None:
        """Return a job to the queue whose reader has died, for a few times: most often the file is not the cause."""
        deaths = task.claim.deaths + 1
        log.warning("parser died", job=task.claim.job_id, how=error.how, outside=error.outside, deaths=deaths)
        if deaths >= MOST_DEATHS:
            self._state.fail(task, given_up(error, deaths))
        else:
            self._put_back(task, died=True)

    def _put_back(self, task: IngestTask, *, died: bool = False) -> None:
        try:
            self._state.put_back(task, died=died)
        except StorageError as error:
            self._state.fail(task, error)
        else:
            self.wake(requeued=True)

    def _rest(self) -> None:
        """Begin no file as long as admission control asks for, to leave memory and CPU to questions."""
        state = self._state
        with state.changed:
            self._resting += 1
        rested = 0.0
        while rested < state.admission.pause_seconds and not state.stopping.wait(_REST_SECONDS):
            rested += _REST_SECONDS
        with state.changed:
            self._resting -= 1

    def _next(self) -> tuple[IngestTask, Place, Reservation] | None:
        """Wait for a job that may start and for memory, and claim the job. None: call again."""
        state = self._state
        with self._claiming:
            with state.changed:
                if state.stopping.is_set():
                    return None
                lanes = self._free_lanes()
                reservation = self._reserve() if lanes else None
                if reservation is None:
                    if not state.changed.wait(self._poll_seconds()):
                        self._maybe_more = self._news = self._check_count = True
                    return None
                self._maybe_more = False
            try:
                started = self._claim(lanes)
                left = 0 if started is not None else state.jobs.count_queued()
            except (StorageError, DatabaseAwayError) as error:
                reservation.release()
                self.pause_reason = str(error)
                state.stopping.wait(_POLL_SECONDS)
                self._maybe_more = self._read_anew = True
                return None
            if started is not None:
                self._maybe_more = True
                self._idle_notified = False
                return *started, reservation
            reservation.release()
            with state.changed:
                idle = not state.active and not self._idle_notified and not left
                self._idle_notified = self._idle_notified or idle
        if idle:
            self._on_idle()
        return None

    def _poll_seconds(self) -> float:
        """Return how long to wait for news: while suspects run alone, no longer than that."""
        alone = self._alone_until - time.monotonic() if self._suspects else 0.0
        return min(_POLL_SECONDS, alone) if alone > 0 else _POLL_SECONDS

    def _reserve(self) -> Reservation | None:
        """Reserve memory for one more file; None: the file waits, and `pause_reason` says why."""
        what = _("The next document")
        reservation = self._state.admission.try_reserve(PARSE_BYTES, what)
        if reservation is None:
            self.pause_reason = self._state.admission.shortage(PARSE_BYTES, what)
        return reservation

    def _free_lanes(self) -> frozenset[Lane]:
        """Return of which lanes a file may start, none while nothing has changed since the last time."""
        state = self._state
        if self._resting or (state.active and self._suspects and time.monotonic() < self._alone_until):
            return frozenset()
        if not self._maybe_more and state.moves == self._seen_moves:
            return frozenset()
        self._seen_moves = state.moves
        self.pause_reason = state.files.shortage() or state.files.outage()
        if self.pause_reason:
            return frozenset()
        return self._places.free_lanes(low_memory=state.admission.low_memory)

    def _claim(self, lanes: frozenset[Lane]) -> tuple[IngestTask, Place] | None:
        self._bring_up_to_date()
        started = self._claim_suspect(lanes)
        if started is not None or (self._suspects and time.monotonic() < self._alone_until):
            return started
        state = self._state
        with state.changed:
            # Of several files with the same content the first is processed, the others copy from it.
            busy = {task.claim.sha256 for task in state.active.values()}
            backlog = Backlog(state.active.values(), low_memory=state.admission.low_memory)
        suspects = set(self._suspects)

        def may_start(flow: Flow, lane: Lane, job: QueuedJob) -> bool:
            return lane in lanes and job.sha256 not in busy and job.id not in suspects and backlog.admits(flow, lane)

        while (found := self._waiting.next(may_start)) is not None:
            flow, lane, job = found
            self._waiting.remove(flow, lane, job)
            claim = state.jobs.claim(self._fingerprint(), job.id)
            if claim is not None:
                return self._start(claim, lane)
        return None

    def _bring_up_to_date(self) -> None:
        """Bring the copy of the queue up to date, and what its flows have used."""
        with self._state.changed:
            news, anew, check = self._news, self._read_anew, self._check_count
            self._news = self._read_anew = self._check_count = False
            used, self._used = [*self._used, *self._places.newly_used()], []
            suspected, self._suspected = self._suspected, []
        if suspected:
            self._suspects.extend(job_id for job_id in suspected if job_id not in self._suspects)
            self._alone_until = time.monotonic() + ALONE_SECONDS
        for flow, seconds in used:
            self._waiting.charge(flow, seconds)
        if news or anew:
            self._waiting.refresh(anew=anew)
        if check and not anew and self._waiting.outdated:
            self._waiting.refresh(anew=True)

    def _claim_suspect(self, lanes: frozenset[Lane]) -> tuple[IngestTask, Place] | None:
        """Claim the next job that was active during a crash, unless one is being processed."""
        state = self._state
        while self._suspects and Lane.LARGE in lanes and self._suspects[0] not in state.active:
            claim = state.jobs.claim(self._fingerprint(), self._suspects[0])
            if claim is not None:
                self._read_anew = True
                return self._start(claim, Lane.LARGE)
            self._suspects.popleft()  # it is finished, or was cancelled or deleted meanwhile
        return None

    def _start(self, claim: Claim, lane: Lane) -> tuple[IngestTask, Place]:
        task = IngestTask(claim, lane)
        with self._state.changed:
            place = self._places.enter(task.flow, lane)
        self._state.start(task)
        return task, place

    def _prepare(self, task: IngestTask, place: Place) -> None:
        claim = task.claim
        if claim.kind == JobKind.REEMBED:
            self._copies.reuse_chunks(task)
        elif claim.source is None or not self._copies.copy(task, claim.source):
            self._parse(task, place)

    def _makes_way(self, task: IngestTask, place: Place) -> Callable[[], bool]:
        """Return a function that tells, asked while a file is parsed, whether it makes way for one that waits."""
        checked = 0.0

        def makes_way() -> bool:
            nonlocal checked
            if not place.slow or place.seconds < checked:
                return False
            checked = place.seconds + _GIVE_WAY_SECONDS
            with self._state.changed:
                lane = self._places.makes_way_for(place)
                placed = self._places.flows()
            if lane is None:
                return False
            waiting = {
                Flow(*one) for one in self._state.jobs.waiting_flows(QUICK_BYTES if lane is Lane.QUICK else None)
            }
            # Whoever has a place already, or may be given this one again, is not who it is for.
            waiting -= placed
            if lane is Lane.LARGE:
                waiting = {flow for flow in waiting if flow.owner != task.flow.owner}
            if not waiting:
                return False
            log.info("parsing put off", job=task.claim.job_id, seconds=round(place.seconds, 1))
            return True

        return makes_way

    def _parse(self, task: IngestTask, place: Place) -> None:
        claim, board, files = task.claim, self._state.board, self._state.files
        board.update(claim.job_id, DocumentStatus.PARSING)
        started = time.monotonic()
        # What a mail has brought is there already when its chunks are made anew.
        task.attachments = WaitingAttachments(files) if claim.kind == JobKind.INGEST else None
        makes_way = self._makes_way(task, place)
        with files.opened(claim.stored, claim.sha256) as path:
            parsed = self._parser.parse(
                path,
                claim.name,
                chunk_tokens=claim.chunk_tokens,
                overlap=claim.overlap,
                on_progress=lambda progress: board.update(claim.job_id, DocumentStatus.PARSING, progress),
                on_recognized=self._state.events.recognized,
                cancelled=lambda: self._state.should_stop(task) or makes_way(),
                attachments=task.attachments,
                most_attachments=self._most_attachments(claim),
            )
        if task.attachments is not None:
            task.is_stored = originals_present(self._database, files, task.attachments.hashes())
        if task.cancelled.is_set():  # whoever set that may have been too early for the last of the files
            task.drop_attachments()
        self._state.events.parsed(time.monotonic() - started)
        task.prepare(
            parsed.chunks,
            len(parsed.chunks),
            parsed.sections,
            parsed.recognized,
            media_type=parsed.media_type,
            pages=parsed.pages,
            notes=[list(note) for note in parsed.notes],
            recognition=None if parsed.recognition is None else list(parsed.recognition),
        )
        if task.total:
            self._state.enqueue_chunks(task)
        else:  # pictures without text: there is nothing to embed
            self._state.pass_on([TaskSlice(task, [], last=True)])

    def _most_attachments(self, claim: Claim) -> int:
        if claim.attached:
            with self._database.read() as connection:
                if depth_of(connection, claim.document_id) >= MOST_DEPTH:
                    return 0
        return self._attachments_limit
