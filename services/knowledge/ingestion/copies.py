"""Jobs that parse nothing: chunks that exist already are copied with their vectors, or embedded again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from services.core.database import Database
from services.core.errors import CancelledError
from services.core.i18n import _
from services.knowledge.ingestion.state import IngestTask, JobRevokedError, PipelineState, TaskSlice
from services.knowledge.store import revisions
from services.knowledge.store.jobs import still_holds
from services.knowledge.store.recognized_pages import copy_pages
from services.knowledge.store.unit_of_work import DocumentWriter
from services.knowledge.types import ChunkDraft, DocumentStatus, JobProgress

# Chunks or sections of a transaction: others that write wait for it.
_COPY_BATCH = 512
_READ_BATCH = 256


class ChunkCopies:
    """Copies chunks and sections from one revision to another, portion by portion. Thread-safe."""

    def __init__(self, state: PipelineState, database: Database, writer: DocumentWriter) -> None:
        self._state = state
        self._database = database
        self._writer = writer

    def reuse_chunks(self, task: IngestTask) -> None:
        """Prepare the chunks of the active revision to be embedded again.

        Raises:
            JobRevokedError: the document is gone, or has a newer version.
            CancelledError: the job was cancelled, or the pipeline stops.
        """
        source = task.claim.active_revision_id
        with self._database.read() as connection:
            facts = source and revisions.revision_facts(connection, source)
        if not source or not facts:
            raise JobRevokedError
        self._copy_sections(task, source)
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

    def _copy_sections(self, task: IngestTask, source: int) -> None:
        """Copy the sections of a revision, portion by portion."""
        start = 0
        while not self._state.should_stop(task):
            with self._writer.transaction() as unit:
                if not still_holds(unit.connection, task.claim):
                    raise JobRevokedError
                target = task.claim.revision_id
                copied = revisions.copy_sections(unit.connection, source, target, start, _COPY_BATCH)
                if copied < _COPY_BATCH:
                    copy_pages(unit.connection, source, target)
            if copied < _COPY_BATCH:
                return
            start += copied
        raise CancelledError(_("Stopped."))

    def copy(self, task: IngestTask, source: int) -> bool:
        """Copy chunks and vectors of a revision with the same content and plan; false if it was deleted meanwhile.

        The storing stage activates them. Errors: as for `reuse_chunks`.
        """
        claim, state = task.claim, self._state
        done, total = 0, 1
        facts: dict[str, Any] | None = None
        self._copy_sections(task, source)
        while done < total:
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
            state.board.update(claim.job_id, DocumentStatus.EMBEDDING, JobProgress(done, total, "chunk"))
        task.prepare((), total, (), **(facts or {}))
        task.taken = task.stored = total
        state.pass_on([TaskSlice(task, [], last=True)])
        return True

    @staticmethod
    def _terms(name: str) -> Callable[[ChunkDraft], str]:
        from services.knowledge.text.chunks import lexical_terms

        return lambda draft: lexical_terms(draft.text, (*draft.heading, draft.sheet), name)
