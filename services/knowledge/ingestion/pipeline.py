"""The ingestion pipeline: its stages, threads, start, recovery and stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from services.core.actor import SERVICE
from services.core.admission import Admission
from services.core.claims import ALONE, ClaimKind, Claims
from services.core.database import Database
from services.core.errors import ConflictError, MillpondError, NotFoundError
from services.core.events import EventSink, NullEventSink
from services.core.settings import Settings
from services.core.thread_priority import start_low_priority_thread
from services.knowledge.files.file_store import FileStore
from services.knowledge.ingestion.embed_stage import EmbedStage
from services.knowledge.ingestion.lanes import MOST_FILES
from services.knowledge.ingestion.leftovers import SharedLeftovers
from services.knowledge.ingestion.parse_stage import ParseStage
from services.knowledge.ingestion.state import PipelineEvents, PipelineState
from services.knowledge.ingestion.store_stage import StoreStage
from services.knowledge.progress import ProgressBoard
from services.knowledge.store.intake import (
    CRASH_LIMIT,
    RevisionPlan,
    begin_rebuild,
    known_originals,
    outdated_documents,
    recover_jobs,
    suspected_jobs,
)
from services.knowledge.store.jobs import JobStore
from services.knowledge.store.unit_of_work import DocumentWriter
from services.knowledge.types import JobKind

if TYPE_CHECKING:
    from services.knowledge.embedding.embedder_protocol import EmbeddingModel
    from services.knowledge.parsing.pool import ParserPool
    from services.knowledge.store.dense_index import DenseIndexManager

log = structlog.get_logger(__name__)

_PARSE_THREADS = MOST_FILES
_CLOSE_SECONDS = 30.0
_OUTDATED = ClaimKind.OUTDATED


class Ingestion:
    """Processes the queue of jobs in background threads of low priority.

    While some chunks are embedded, the next files are parsed and earlier ones stored. RAM use is bounded: a thousand
    chunks or a few files, whichever is more; less where memory is low. A job that finds no memory waits, it does not
    fail. `start` continues what an earlier process left.
    """

    def __init__(  # noqa: PLR0917 - the composition root calls it, nobody else
        self,
        database: Database,
        files: FileStore,
        parser: ParserPool,
        embedder: EmbeddingModel,
        index_manager: DenseIndexManager,
        settings: Settings,
        *,
        crash_limit: int = CRASH_LIMIT,
        reporter: EventSink | None = None,
        admission: Admission | None = None,
        claims: Claims = ALONE,
    ) -> None:
        self._claims = claims
        self.board = ProgressBoard()
        self.writer = DocumentWriter(database, files, index_manager, self.board)
        self.job_store = JobStore(database)
        self._database = database
        self._files = files
        self._parser = parser
        self._embedder = embedder
        self._settings = settings
        self._crash_limit = crash_limit
        self._events = PipelineEvents(reporter or NullEventSink())
        self._state = PipelineState(self.job_store, files, self.board, self._events, admission=admission)
        self._parse_stage: ParseStage | None = None
        self._embed_stage = EmbedStage(self._state, embedder)
        self._threads: list[threading.Thread] = []
        self._idle_listeners: list[Callable[[], None]] = []
        self._leftovers = SharedLeftovers(files, database, claims)

    def start(self) -> None:
        """Recover from a crash, if there was one, then start to process the queue."""
        recovered = recover_jobs(self._database, self._crash_limit)
        self.writer.find_left_over()
        swept = 0
        if self._files.shared:
            self._leftovers.start()
        else:
            swept = self._files.sweep(lambda names: known_originals(self._database, names))
        if recovered.suspects or recovered.failed or recovered.chunks_swept or swept:
            log.info(
                "ingestion recovered",
                interrupted=len(recovered.suspects),
                failed=len(recovered.failed),
                chunks_swept=recovered.chunks_swept,
                files_swept=swept,
            )
        self._queue_outdated(self._embedder.fingerprint)
        state = self._state
        self._parse_stage = ParseStage(
            state,
            self._database,
            self.writer,
            self._parser,
            fingerprint=lambda: self._embedder.fingerprint,
            attachments_limit=self._settings.attachments_limit,
            suspects=recovered.suspects,
            on_idle=self._notify_idle,
        )
        store_stage = StoreStage(state, self.writer, self._embedder, on_put_back=lambda: self.wake(requeued=True))
        self._threads = [
            start_low_priority_thread(
                "ingest-store",
                store_stage.run,
            ),
            start_low_priority_thread("ingest-embed", self._embed_stage.run),
            start_low_priority_thread("ingest-embed-quick", self._embed_stage.run_quick),
            *(
                start_low_priority_thread(f"ingest-parse-{number + 1}", self._parse_stage.run)
                for number in range(_PARSE_THREADS)
            ),
        ]

    def close(self) -> None:
        """Stop; interrupted jobs continue at the next start. Safe to call twice."""
        state = self._state
        self._leftovers.close()
        state.stop()
        for thread in self._threads:
            thread.join(_CLOSE_SECONDS)
        if self._threads:
            self._threads = []
            for task in list(state.active.values()):
                task.drop_attachments()
            self.job_store.requeue_active()
            self._events.finished()

    def wake(self, *, deleted: bool = False, requeued: bool = False) -> None:
        """Wake the pipeline: the queue has a new job, or an old one again (`requeued`), or documents were `deleted`, of
        which idle listeners hear.
        """
        if self._parse_stage is not None:
            self._parse_stage.wake(deleted=deleted, requeued=requeued)
        self.board.mark_changed()

    def recover_taken(self) -> None:
        """Go on with what a node was doing that this one has taken over."""
        self.writer.find_left_over()
        if self._parse_stage is not None:
            self._parse_stage.suspect(suspected_jobs(self._database))
        self.wake(requeued=True)

    def drop_taken(self) -> None:
        """Drop what this node was doing: another one has taken it over meanwhile."""
        with self._state.changed:
            held = list(self._state.active)
        self.abandon(held)
        self.writer.read_anew()

    def abandon(self, job_ids: list[int]) -> None:
        """Drop the tasks of jobs that were cancelled, superseded or deleted in the database."""
        for job_id in job_ids:
            self._state.abandon(job_id)
        if job_ids:
            self.wake()

    @property
    def busy(self) -> bool:
        """Whether documents are being worked on."""
        return bool(self._state.active)

    def wait_idle(self, timeout: float | None = None) -> bool:
        """Wait until nothing is queued or being worked on; return whether that came within `timeout` seconds."""
        return self.board.wait(lambda: not self._state.active and not self.job_store.unfinished(), timeout)

    def add_idle_listener(self, listener: Callable[[], None]) -> None:
        """Have `listener` called in a background thread each time the queue becomes empty, and after deletions."""
        self._idle_listeners.append(listener)

    @property
    def pause_reason(self) -> str:
        """Why queued jobs wait (too little disk space or memory), or an empty text."""
        return self._embed_stage.pause_reason or (
            self._parse_stage.pause_reason if self._parse_stage is not None else ""
        )

    @property
    def files_warning(self) -> str:
        """What is wrong with the place of the originals, or an empty text."""
        return self._files.outage() or self._leftovers.warning

    def _queue_outdated(self, fingerprint: str) -> None:
        """Queue documents whose vectors another embedding model made: dense search does not find them.

        Left to another node that does it just now; what it has queued is no longer among them.
        """
        with self._claims.held(_OUTDATED) as ours:
            if ours:
                self._queue_documents(outdated_documents(self._database, fingerprint))

    def _queue_documents(self, documents: list[int]) -> None:
        limit = self._settings.queue_limit + len(documents)
        plan = RevisionPlan.from_settings(self._settings, queue_limit=limit, owner=SERVICE.name)
        for document_id in documents:
            # Deleted or replaced meanwhile, by another node.
            with suppress(NotFoundError, ConflictError), self.writer.transaction() as unit:
                begin_rebuild(unit.connection, document_id, JobKind.REEMBED, plan)
        if documents:
            log.info("documents queued for re-embedding: another model made their vectors", documents=len(documents))

    def _notify_idle(self) -> None:
        self._events.finished()
        for listener in self._idle_listeners:
            try:
                listener()
            except MillpondError as error:
                log.warning("idle listener failed", reason=str(error))
