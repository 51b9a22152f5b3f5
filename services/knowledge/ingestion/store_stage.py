"""Third stage of the pipeline: stores chunks and vectors, and activates revisions that are complete."""

from __future__ import annotations

import queue
from contextlib import ExitStack

from services.core.errors import MillpondError
from services.knowledge.file_store import FileStore
from services.knowledge.ingestion.attachments import WaitingAttachment
from services.knowledge.ingestion.state import IngestTask, PipelineState, TaskSlice
from services.knowledge.store import revisions
from services.knowledge.store.attachments import admit_attachments
from services.knowledge.store.intake import RevisionPlan
from services.knowledge.store.jobs import Claim, finish_job, still_holds
from services.knowledge.store.unit_of_work import DocumentWriter, UnitOfWork

_POLL_SECONDS = 0.5
_SECTION_BATCH = 500  # the sections of a huge file are on disk until they are read


class StoreStage:
    """Stores embedded chunks; one thread may call `run`."""

    def __init__(self, state: PipelineState, writer: DocumentWriter, files: FileStore, fingerprint: str) -> None:
        self._state = state
        self._files = files
        self._writer = writer
        self._fingerprint = fingerprint

    def run(self) -> None:
        """Store embedded batches until the pipeline stops."""
        while not self._state.stopping.is_set():
            try:
                batch = self._state.embedded.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if not self._try(batch) and len(batch) > 1:
                # One of the files is the cause: stored one by one, the others pass.
                for part in batch:
                    self._try([part])

    def _try(self, batch: list[TaskSlice]) -> bool:
        """Store a batch; a single part that cannot be stored fails its job."""
        try:
            self._store(batch)
        except MillpondError as error:
            if len(batch) == 1:
                self._state.fail(batch[0].task, error)
            return False
        except Exception as error:  # noqa: BLE001 - the boundary of the thread: one defect costs one job
            if len(batch) == 1:
                self._state.fail_unexpectedly(batch[0].task, error)
            return False
        return True

    def _store(self, batch: list[TaskSlice]) -> None:
        """Write a batch in one transaction: at most a few hundred chunks, and whole files become visible."""
        gone: list[TaskSlice] = []
        ended: list[int] = []
        with ExitStack() as claimed, self._writer.transaction() as unit:
            for part in batch:
                task = part.task
                if task.cancelled.is_set() or not still_holds(unit.connection, task.claim):
                    gone.append(part)
                    continue
                revision_id = task.claim.revision_id
                if not task.stored:
                    self._store_sections(unit, task)
                revisions.insert_chunks(unit.connection, revision_id, part.drafts, part.vectors, position=task.stored)
                if part.last:
                    switch = revisions.activate(
                        unit.connection, revision_id, fingerprint=self._fingerprint, **task.facts
                    )
                    unit.switches.append(switch)
                    finish_job(unit.connection, task.claim)
                    if task.attachments is not None:
                        waiting = claimed.enter_context(task.attachments.claimed())
                        ended += self._store_attachments(unit, task.claim, waiting)
        for job_id in ended:
            self._state.abandon(job_id)
        kept = [part for part in batch if part not in gone]
        self._state.events.stored(
            documents=sum(part.last for part in kept), chunks=sum(len(part.drafts) for part in kept)
        )
        for part in batch:
            part.task.stored += len(part.drafts)
            part.task.sections = ()
            if part.last or part in gone:
                self._state.end(part.task)

    def _store_attachments(self, unit: UnitOfWork, claim: Claim, waiting: list[WaitingAttachment]) -> list[int]:
        """Take in the files that a document brought; return the jobs that ended for that."""
        admitted = admit_attachments(
            unit.connection,
            claim.document_id,
            [(each.name, each.file) for each in waiting],
            RevisionPlan(claim.chunk_tokens, claim.overlap, 0),
            is_stored=lambda stored: self._files.location(stored).is_file(),
        )
        for each, keep in zip(waiting, admitted.kept, strict=True):
            each.keep = keep
        unit.record(admitted.removal)
        unit.unneeded.extend(admitted.unneeded)
        return [*admitted.ended, *admitted.removal.ended]

    @staticmethod
    def _store_sections(unit: UnitOfWork, task: IngestTask) -> None:
        for start in range(0, len(task.sections), _SECTION_BATCH):
            sections = task.sections[start : start + _SECTION_BATCH]
            revisions.insert_sections(unit.connection, task.claim.revision_id, sections, position=start)
