"""Third stage: writes chunks and vectors, and switches documents to revisions that are complete."""

from __future__ import annotations

import queue

from services.core.errors import MillpondError
from services.knowledge.ingestion.state import IngestTask, PipelineState, TaskSlice
from services.knowledge.store import revisions
from services.knowledge.store.jobs import finish, holds
from services.knowledge.store.unit_of_work import DocumentWriter, UnitOfWork

_LOOK_AGAIN_SECONDS = 0.5
_SECTIONS_AT_ONCE = 500  # those of a huge file are on disk until they are read


class StoreStage:
    """One thread may be in `run`."""

    def __init__(self, line: PipelineState, writer: DocumentWriter, fingerprint: str) -> None:
        self._line = line
        self._writer = writer
        self._fingerprint = fingerprint

    def run(self) -> None:
        """Store what was embedded until the pipeline stops."""
        while not self._line.stopping.is_set():
            try:
                group = self._line.finished.get(timeout=_LOOK_AGAIN_SECONDS)
            except queue.Empty:
                continue
            if not self._try(group) and len(group) > 1:
                # One of the files is the cause; alone, the others pass.
                for piece in group:
                    self._try([piece])

    def _try(self, group: list[TaskSlice]) -> bool:
        """Store a group; a single piece that cannot be stored fails its job."""
        try:
            self._store(group)
        except MillpondError as error:
            if len(group) == 1:
                self._line.fail(group[0].work, error)
            return False
        except Exception as error:  # noqa: BLE001 - the boundary of the thread: one defect costs one job
            if len(group) == 1:
                self._line.fail_unexpectedly(group[0].work, error)
            return False
        return True

    def _store(self, group: list[TaskSlice]) -> None:
        """Write a group in one transaction: at most a few hundred chunks, and whole files become visible."""
        gone: list[TaskSlice] = []
        with self._writer.change() as change:
            for piece in group:
                work = piece.work
                if work.cancelled.is_set() or not holds(change.connection, work.claim):
                    gone.append(piece)
                    continue
                revision_id = work.claim.revision_id
                if not work.stored:
                    self._store_sections(change, work)
                revisions.insert_chunks(
                    change.connection, revision_id, piece.drafts, piece.vectors, position=work.stored
                )
                if piece.last:
                    switch = revisions.activate(
                        change.connection, revision_id, fingerprint=self._fingerprint, **work.facts
                    )
                    change.switches.append(switch)
                    finish(change.connection, work.claim)
        kept = [piece for piece in group if piece not in gone]
        self._line.report.stored(
            documents=sum(piece.last for piece in kept), chunks=sum(len(piece.drafts) for piece in kept)
        )
        for piece in group:
            piece.work.stored += len(piece.drafts)
            piece.work.sections = ()
            if piece.last or piece in gone:
                self._line.end(piece.work)

    @staticmethod
    def _store_sections(change: UnitOfWork, work: IngestTask) -> None:
        for start in range(0, len(work.sections), _SECTIONS_AT_ONCE):
            part = work.sections[start : start + _SECTIONS_AT_ONCE]
            revisions.insert_sections(change.connection, work.claim.revision_id, part, position=start)
