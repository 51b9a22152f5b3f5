"""Third stage of the pipeline: stores chunks and vectors, and activates revisions that are complete.

Who writes keeps others who write waiting, so no transaction is long: a large file gets ready in portions, between those
of other files. Its terms and vectors go into the indexes hidden; the last transaction shows them all at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import structlog

from services.core.errors import CancelledError, DatabaseAwayError, MillpondError, StorageError
from services.knowledge.ingestion.attachments import WaitingAttachment
from services.knowledge.ingestion.embed_stage import embedded
from services.knowledge.ingestion.state import IngestTask, PipelineState, TaskSlice
from services.knowledge.store import revisions
from services.knowledge.store.attachments import admit_attachments
from services.knowledge.store.intake import RevisionPlan
from services.knowledge.store.jobs import finish_job, still_holds
from services.knowledge.store.recognized_pages import insert_pages
from services.knowledge.store.unit_of_work import DocumentWriter, UnitOfWork

if TYPE_CHECKING:
    from services.knowledge.embedding.embedder_protocol import EmbeddingModel

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 5.0
_SECTION_BATCH = 500  # the sections of a huge file are on disk until they are read
_PAGE_BATCH = 100  # and so are its pages read by text recognition
# Files of more chunks get ready in portions of so many.
LARGE_CHUNKS = 1024
_PORTION_CHUNKS = 256
_PORTION_FILES = 32  # of a batch, in one transaction


class StoreStage:
    """Stores embedded chunks; one thread may call `run`."""

    def __init__(
        self,
        state: PipelineState,
        writer: DocumentWriter,
        embedder: EmbeddingModel,
        *,
        on_put_back: Callable[[], object] = lambda: None,
    ) -> None:
        """Build it; `on_put_back` is called when files are in the queue again."""
        self._on_put_back = on_put_back
        self._state = state
        self._writer = writer
        self._embedder = embedder
        self._portions: deque[list[TaskSlice]] = deque()  # of the batches that are being stored
        self._large: deque[IngestTask] = deque()  # large files whose chunks are all stored, by turns

    def run(self) -> None:
        """Store embedded batches until the pipeline stops."""
        state = self._state
        while not state.stopping.is_set():
            idle = not self._portions and not self._large and not self._writer.has_left_over
            batch = state.next_embedded(wait=idle, quick_only=bool(self._portions))
            if batch is not None and self._portions:
                self._portions.appendleft(batch)
            elif batch is not None:
                self._portions += [
                    batch[start : start + _PORTION_FILES] for start in range(0, len(batch), _PORTION_FILES)
                ]
            if self._portions:
                portion = self._portions.popleft()
                if not self._try(portion) and len(portion) > 1:
                    # One of the files is the cause: stored one by one, the others pass.
                    for part in portion:
                        self._try([part])
            if self._large:
                task = self._large.popleft()
                if not self._try_portion(task):
                    self._large.append(task)
            if self._writer.has_left_over:
                self._drop_left_over()
            self._writer.settle()

    def _drop_left_over(self) -> None:
        """Delete a portion of what deletions and newer versions have left."""
        try:
            self._writer.drop_left_over()
        except MillpondError as error:
            log.warning("deleted content is still there", reason=str(error))
            self._state.stopping.wait(_RETRY_SECONDS)

    def _try_portion(self, task: IngestTask) -> bool:
        """Go on with a large file; return whether it is ready, or has ended for another reason."""
        try:
            if not task.cancelled.is_set() and not self._store_portion(task):
                return False
        except DatabaseAwayError as error:
            self._put_back(task, error)
        except MillpondError as error:
            self._state.fail(task, error)
        except Exception as error:  # noqa: BLE001 - the boundary of the thread: one defect costs one job
            self._state.fail_unexpectedly(task, error)
        self._drop_early_vectors(task)
        self._state.end(task)
        return True

    def _put_back(self, task: IngestTask, error: MillpondError) -> None:
        """Have a file read again: what was written of it before the database went away is not known, and is deleted."""
        log.warning("file put back", job=task.claim.job_id, reason=error.message)
        try:
            self._state.put_back(task)
        except StorageError as full:
            self._state.fail(task, full)
        self._on_put_back()

    def _try(self, batch: list[TaskSlice]) -> bool:
        """Store a batch; a single part that cannot be stored fails its job."""
        try:
            while not self._store(batch):
                self._embed_again(batch)
        except CancelledError:
            return True  # the pipeline stops; the jobs go on with the next start
        except DatabaseAwayError as error:
            for part in batch:
                self._put_back(part.task, error)
            return True
        except MillpondError as error:
            if len(batch) == 1:
                self._state.fail(batch[0].task, error)
            return False
        except Exception as error:  # noqa: BLE001 - the boundary of the thread: one defect costs one job
            if len(batch) == 1:
                self._state.fail_unexpectedly(batch[0].task, error)
            return False
        return True

    def _embed_again(self, batch: list[TaskSlice]) -> None:
        """Embed what the model before the present one had embedded: they changed while it waited to be stored."""
        for part in batch:
            if part.drafts:
                texts = [draft.text for draft in part.drafts]
                part.fingerprint, part.vectors = embedded(self._embedder, texts, cancelled=self._state.stopping.is_set)

    def _store(self, batch: list[TaskSlice]) -> bool:
        """Write a batch in one transaction: at most a few hundred chunks, and whole files become visible.

        False: some of its vectors are not of the model that serves; nothing was written.
        """
        gone: list[TaskSlice] = []
        ended: list[int] = []
        counts: list[tuple[IngestTask, int, int]] = []
        with ExitStack() as claimed, self._writer.transaction() as unit:
            # Within a transaction the model stays the same.
            if any(part.drafts and part.fingerprint != self._embedder.fingerprint for part in batch):
                return False
            for part in batch:
                task = part.task
                if task.cancelled.is_set() or not still_holds(unit.connection, task.claim):
                    gone.append(part)
                    continue
                large = task.total > LARGE_CHUNKS
                stored = self._store_sections(unit, task, _SECTION_BATCH if large else len(task.sections))
                counts.append((task, stored, self._store_pages(unit, task, large=large)))
                revision_id = task.claim.revision_id
                revisions.insert_chunks(unit.connection, revision_id, part.drafts, part.vectors, position=task.stored)
                if part.last and not large:
                    ended += self._activate(unit, task, claimed)
        for job_id in ended:
            self._state.abandon(job_id)
        for task, stored, pages in counts:
            task.sections_stored += stored
            task.pages_stored += pages
        kept = [part for part in batch if part not in gone]
        complete = [part for part in kept if part.last and part.task.total <= LARGE_CHUNKS]
        self._state.events.stored(documents=len(complete), chunks=sum(len(part.drafts) for part in kept))
        for part in batch:
            part.task.stored += len(part.drafts)
            if part in complete or part in gone:
                self._state.end(part.task)
            elif part.last:
                self._large.append(part.task)
        return True

    def _store_portion(self, task: IngestTask) -> bool:
        """Do the next of what is left to do for a large file, in one transaction; return whether nothing is left."""
        ended: list[int] = []
        stored = pages = 0
        early = None
        with ExitStack() as claimed, self._writer.transaction() as unit:
            if not still_holds(unit.connection, task.claim):
                return True
            if task.sections_stored < len(task.sections):
                stored = self._store_sections(unit, task, _SECTION_BATCH)
            elif task.pages_stored < len(task.recognized):
                pages = self._store_pages(unit, task, large=True)
            elif task.indexed < task.total:
                revision_id = task.claim.revision_id
                early = revisions.index_early(unit.connection, revision_id, task.indexed, _PORTION_CHUNKS)
                unit.hidden.append(early)
            else:
                ended = self._activate(unit, task, claimed, early=True)
        task.sections_stored += stored
        task.pages_stored += pages
        if stored or pages:
            return False
        if early is not None:
            task.indexed += _PORTION_CHUNKS
            task.early_ids.append(early)
            return False
        task.early_ids.clear()
        for job_id in ended:
            self._state.abandon(job_id)
        self._state.events.stored(documents=1, chunks=0)
        return True

    def _drop_early_vectors(self, task: IngestTask) -> None:
        """Take the hidden vectors of a file that did not get ready out of the index."""
        if task.early_ids:
            # On a full disk, and while the database is away, they stay, hidden, until the next start.
            with suppress(StorageError, DatabaseAwayError), self._writer.transaction() as unit:
                unit.removed.extend(task.early_ids)
            task.early_ids.clear()

    def _activate(self, unit: UnitOfWork, task: IngestTask, claimed: ExitStack, *, early: bool = False) -> list[int]:
        """Make a revision searchable and take in what its file brought; return the jobs that ended for that."""
        switch = revisions.activate(
            unit.connection, task.claim.revision_id, early=early, fingerprint=self._embedder.fingerprint, **task.facts
        )
        unit.switches.append(switch)
        finish_job(unit.connection, task.claim)
        if task.attachments is None:
            return []
        waiting = claimed.enter_context(task.attachments.claimed())
        return self._store_attachments(unit, task, waiting)

    @staticmethod
    def _store_attachments(unit: UnitOfWork, task: IngestTask, waiting: list[WaitingAttachment]) -> list[int]:
        """Take in the files that a document brought; return the jobs that ended for that."""
        claim = task.claim
        admitted = admit_attachments(
            unit.connection,
            claim.document_id,
            [(each.name, each.file) for each in waiting],
            RevisionPlan(
                claim.chunk_tokens,
                claim.overlap,
                0,
                claim.owner,
                claim.batch,
                added_by=claim.added_by,
                readable=claim.readable,
            ),
            is_stored=task.is_stored,
        )
        for each, keep in zip(waiting, admitted.kept, strict=True):
            each.keep = keep
        unit.record(admitted.removal)
        unit.unneeded.extend(admitted.unneeded)
        return [*admitted.ended, *admitted.removal.ended]

    @staticmethod
    def _store_pages(unit: UnitOfWork, task: IngestTask, *, large: bool) -> int:
        """Store the recognised pages that are left, of a large file some of them; return how many."""
        first = task.pages_stored
        pages = task.recognized[first : first + _PAGE_BATCH] if large else task.recognized[first:]
        insert_pages(unit.connection, task.claim.revision_id, pages)
        return len(pages)

    @staticmethod
    def _store_sections(unit: UnitOfWork, task: IngestTask, most: int) -> int:
        """Store at most so many of the sections that are left; return how many."""
        first = task.sections_stored
        last = min(first + most, len(task.sections))
        for start in range(first, last, _SECTION_BATCH):
            sections = task.sections[start : min(start + _SECTION_BATCH, last)]
            revisions.insert_sections(unit.connection, task.claim.revision_id, sections, position=start)
        return last - first
