"""Jobs, and building documents anew: the part of the library that has work done."""

from __future__ import annotations

from collections.abc import Sequence

from services.core.errors import BadInputError, NotFoundError
from services.core.i18n import _
from services.core.settings import Settings
from services.knowledge.ingestion import Ingestion
from services.knowledge.progress import ProgressBoard
from services.knowledge.store import deletions, intake
from services.knowledge.store.documents import DocumentStore
from services.knowledge.store.unit_of_work import DocumentWriter
from services.knowledge.types import Job, JobKind


class LibraryJobs:
    """Orders and watches jobs. `Library` is built on it."""

    _ingestion: Ingestion
    _settings: Settings
    _writer: DocumentWriter
    _board: ProgressBoard
    _documents: DocumentStore

    def jobs(self, *, unfinished_only: bool = False, limit: int = 100) -> list[Job]:
        """Return jobs, the newest first."""
        return self._documents.jobs(self._board.live(), unfinished_only=unfinished_only, limit=limit)

    @property
    def paused(self) -> str:
        """Why jobs wait although nothing is wrong with them (too little disk space or memory), or an empty text."""
        return self._ingestion.paused

    def cancel(self, job_id: int) -> None:
        """Stop a job that is not finished; see `JobStore.cancel` for errors."""
        self._ingestion.job_store.cancel(job_id)
        self._ingestion.abandon([job_id])

    def retry(self, job_id: int) -> Job:
        """Queue a failed or cancelled job again; see `JobStore.retry` for errors."""
        self._ingestion.job_store.retry(job_id)
        self._ingestion.wake()
        return self._job(job_id)

    def remove(self, job_id: int) -> None:
        """Take a job off the list; what it was to become goes, what answers already stays.

        Raises:
            NotFoundError: there is no such job.
        """
        with self._writer.change() as change:
            removal = deletions.remove_job(change.connection, job_id)
            change.note(removal)
        self._ingestion.abandon(removal.ended)

    def rechunk(self, ids: Sequence[int], chunk_tokens: int | None = None, overlap: int | None = None) -> list[Job]:
        """Cut documents into chunks of another size; the old ones answer until the new ones are ready.

        Raises:
            BadInputError: the sizes do not fit together.
            ConflictError: a document is not ready, or a new version of it is being taken in.
        """
        plan = self._plan(chunk_tokens, overlap)
        if plan.chunk_tokens < 16 or not 0 <= plan.overlap < plan.chunk_tokens:
            raise BadInputError(
                _("Chunks need at least 16 tokens, and an overlap smaller than that."), _("Nothing was changed.")
            )
        return self._rebuild(ids, JobKind.RECHUNK, plan)

    def reembed(self, ids: Sequence[int]) -> list[Job]:
        """Compute documents' vectors anew; the old ones answer until the new ones are ready. Errors: `rechunk`."""
        return self._rebuild(ids, JobKind.REEMBED, self._plan())

    def _rebuild(self, ids: Sequence[int], kind: JobKind, plan: intake.RevisionPlan) -> list[Job]:
        ended: list[int] = []
        with self._writer.change() as change:
            begun = []
            for document_id in ids:
                job_id, admission = intake.begin_rebuild(change.connection, document_id, kind, plan)
                change.unneeded.extend(admission.unneeded)
                ended.extend(admission.ended)
                begun.append(job_id)
        self._ingestion.abandon(ended)
        self._ingestion.wake()
        return [self._job(job_id) for job_id in begun]

    def _job(self, job_id: int) -> Job:
        found = self._documents.jobs(self._board.live(), job_id=job_id)
        if not found:
            raise NotFoundError(_("This job does not exist any more."))
        return found[0]

    def _plan(self, chunk_tokens: int | None = None, overlap: int | None = None) -> intake.RevisionPlan:
        settings = self._settings
        return intake.RevisionPlan(
            settings.chunk_tokens if chunk_tokens is None else chunk_tokens,
            settings.chunk_overlap_tokens if overlap is None else overlap,
            settings.queue_limit,
        )
