"""Starts, watches and stops the pipeline."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from services.core.admission import Admission
from services.core.database import Database
from services.core.errors import MillpondError
from services.core.events import EventSink, NullEventSink
from services.core.settings import Settings
from services.knowledge.file_store import FileStore
from services.knowledge.ingestion.embed_stage import EmbedStage
from services.knowledge.ingestion.parse_stage import ParseStage, begin_thread
from services.knowledge.ingestion.state import PipelineEvents, PipelineState
from services.knowledge.ingestion.store_stage import StoreStage
from services.knowledge.progress import ProgressBoard
from services.knowledge.store.intake import RevisionPlan, begin_rebuild, known_originals, outdated, recover
from services.knowledge.store.jobs import JobStore
from services.knowledge.store.unit_of_work import DocumentWriter, Keeper
from services.knowledge.types import JobKind

if TYPE_CHECKING:
    from services.knowledge.embedding import Embedder
    from services.knowledge.parsing import ParserPool

log = structlog.get_logger(__name__)

CRASH_LIMIT = 3
_READERS = 2
_GROUPS_WAITING = 2  # groups of vectors between embedding and storing
_CLOSE_SECONDS = 30.0


class Ingestion:
    """Works through the queue of jobs in background threads of low priority.

    While some chunks are embedded, the next files are parsed and the last ones stored. What is in RAM is bounded: a
    thousand chunks or a few files, whichever is more; less where memory is tight. What there is no room for waits, no
    job fails for that. `start` goes on with what an earlier process left.
    """

    def __init__(  # noqa: PLR0917 - the composition root calls it, nobody else
        self,
        database: Database,
        files: FileStore,
        parser: ParserPool,
        embedder: Embedder,
        keeper: Keeper,
        settings: Settings,
        *,
        crash_limit: int = CRASH_LIMIT,
        reporter: EventSink | None = None,
        admission: Admission | None = None,
    ) -> None:
        self.board = ProgressBoard()
        self.writer = DocumentWriter(database, files, keeper, self.board)
        self.job_store = JobStore(database)
        self._database = database
        self._files = files
        self._parser = parser
        self._embedder = embedder
        self._settings = settings
        self._crash_limit = crash_limit
        self._report = PipelineEvents(reporter or NullEventSink())
        self._line = PipelineState(
            self.job_store, files, self.board, queue.Queue(_GROUPS_WAITING), self._report, admission=admission
        )
        self._reading: ParseStage | None = None
        self._embedding = EmbedStage(self._line, embedder)
        self._threads: list[threading.Thread] = []
        self._idle_listeners: list[Callable[[], None]] = []

    def start(self) -> None:
        """Put in order what a crash left, then begin to work through the queue."""
        fingerprint = self._embedder.fingerprint
        recovered = recover(self._database, self._crash_limit)
        swept = self._files.sweep(lambda: known_originals(self._database))
        if recovered.suspects or recovered.given_up or recovered.chunks_swept or swept:
            log.info(
                "ingestion recovered",
                interrupted=len(recovered.suspects),
                given_up=len(recovered.given_up),
                chunks_swept=recovered.chunks_swept,
                files_swept=swept,
            )
        self._queue_outdated(fingerprint)
        line = self._line
        self._reading = ParseStage(
            line,
            self._database,
            self.writer,
            self._parser,
            fingerprint=fingerprint,
            suspects=recovered.suspects,
            when_idle=self._tell_idle,
        )
        self._threads = [
            begin_thread("ingest-store", StoreStage(line, self.writer, fingerprint).run),
            begin_thread("ingest-embed", self._embedding.run),
            *(begin_thread(f"ingest-read-{number + 1}", self._reading.run) for number in range(_READERS)),
        ]

    def close(self) -> None:
        """Stop in the middle of whatever is being done; it goes on at the next start. Safe to call twice."""
        line = self._line
        line.stopping.set()
        with line.changed:
            line.changed.notify_all()
        for thread in self._threads:
            thread.join(_CLOSE_SECONDS)
        if self._threads:
            self._threads = []
            self.job_store.put_back()
            self._report.through()

    def wake(self) -> None:
        """Say that there is something new in the queue."""
        if self._reading is not None:
            self._reading.wake()
        self.board.changed()

    def abandon(self, job_ids: list[int]) -> None:
        """Let go of jobs that were cancelled, replaced or deleted in the database."""
        for job_id in job_ids:
            self._line.abandon(job_id)
        if job_ids:
            self.wake()

    def wait_idle(self, timeout: float | None = None) -> bool:
        """Wait until nothing is queued or being worked on; return whether that came within `timeout` seconds."""
        return self.board.wait(lambda: not self._line.in_work and not self.job_store.unfinished(), timeout)

    def add_idle_listener(self, listener: Callable[[], None]) -> None:
        """Have `listener` called in a background thread each time the queue has been worked through."""
        self._idle_listeners.append(listener)

    @property
    def paused(self) -> str:
        """Why the queue waits although there are jobs (too little disk space or memory), or an empty text."""
        return self._embedding.paused or (self._reading.paused if self._reading is not None else "")

    def _queue_outdated(self, fingerprint: str) -> None:
        """Queue what another embedding model embedded, so that a change of the model does not hide documents."""
        documents = outdated(self._database, fingerprint)
        settings = self._settings
        plan = RevisionPlan(settings.chunk_tokens, settings.chunk_overlap_tokens, settings.queue_limit + len(documents))
        for document_id in documents:
            with self.writer.change() as change:
                begin_rebuild(change.connection, document_id, JobKind.REEMBED, plan)
        if documents:
            log.info("documents are embedded anew with another model", documents=len(documents))

    def _tell_idle(self) -> None:
        self._report.through()
        for listener in self._idle_listeners:
            try:
                listener()
            except MillpondError as error:
                log.warning("work for idle times failed", reason=str(error))
