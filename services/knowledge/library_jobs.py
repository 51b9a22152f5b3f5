"""Ingestion jobs as users see them: listing, cancelling, retrying, rebuilding documents."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from services.core.actor import Actor
from services.core.errors import BadInputError, ConflictError, NotFoundError
from services.core.i18n import _
from services.core.requests.registry import current_user
from services.core.settings import Settings
from services.knowledge.ingestion import Ingestion
from services.knowledge.store import deletions, intake
from services.knowledge.store.documents import DocumentStore
from services.knowledge.store.rights import require_document
from services.knowledge.types import Job, JobKind

_REBUILDS = "rebuilds"  # the batch of what a person has rebuilt: new files go in turn with it


class LibraryJobs:
    """Lists and controls the jobs of a library. Thread-safe."""

    def __init__(self, ingestion: Ingestion, documents: DocumentStore, settings: Settings) -> None:
        self._ingestion = ingestion
        self._documents = documents
        self._settings = settings

    def recent(self, actor: Actor, *, unfinished_only: bool = False, limit: int = 100) -> list[Job]:
        """Return at most `limit` jobs, the newest first."""
        live = self._ingestion.board.live()
        return self._documents.jobs(live, actor.readable(), unfinished_only=unfinished_only, limit=limit)

    def changeable(self, actor: Actor, jobs: Sequence[Job]) -> set[int]:
        """Return the ids of those of the jobs that `actor` may cancel, retry and remove."""
        documents = self._documents.changeable(actor, {job.document_id for job in jobs})
        return {job.id for job in jobs if job.document_id in documents}

    @property
    def pause_reason(self) -> str:
        """Why queued jobs wait (too little disk space or memory), or an empty text."""
        return self._ingestion.pause_reason

    def cancel(self, actor: Actor, job_id: int) -> None:
        """Cancel an unfinished job; see `JobStore.cancel` for errors, and ForbiddenError."""
        self._require(actor, job_id, _("Cancel a job"))
        self._ingestion.job_store.cancel(job_id)
        self._ingestion.abandon([job_id])

    def retry(self, actor: Actor, job_id: int) -> Job:
        """Queue a failed or cancelled job again; see `JobStore.retry` for errors, and ForbiddenError."""
        self._require(actor, job_id, _("Retry a job"))
        self._ingestion.job_store.retry(job_id)
        self._ingestion.wake(requeued=True)
        return self._job(actor, job_id)

    def remove(self, actor: Actor, job_id: int) -> None:
        """Remove a job from the list with the revision it was building; the active revision stays.

        Raises:
            NotFoundError: there is no such job.
            ForbiddenError: `actor` may not change its document.
        """
        self._require(actor, job_id, _("Remove a job"))
        with self._ingestion.writer.transaction() as unit:
            removal = deletions.remove_job(unit.connection, job_id)
            unit.record(removal)
        self._ingestion.abandon(removal.ended)

    def rechunk(
        self, actor: Actor, ids: Sequence[int], chunk_tokens: int | None = None, overlap: int | None = None
    ) -> list[Job]:
        """Rebuild documents with another chunk size; the old chunks answer until the new ones are ready.

        Raises:
            BadInputError: the sizes are too small or contradict each other.
            ConflictError: a document is not ready, or a new version of it is being ingested.
            NotFoundError, ForbiddenError: a document is gone, or `actor` may not change it.
        """
        plan = intake.RevisionPlan.from_settings(
            self._settings, chunk_tokens, overlap, owner=current_user(), batch=_REBUILDS, actor=actor
        )
        if plan.chunk_tokens < 16 or not 0 <= plan.overlap < plan.chunk_tokens:
            raise BadInputError(
                _("Chunks need at least 16 tokens, and an overlap smaller than that."), _("Nothing was changed.")
            )
        return self._rebuild(actor, ids, JobKind.RECHUNK, plan)

    def reembed(self, actor: Actor, ids: Sequence[int]) -> list[Job]:
        """Recompute documents' vectors; the old ones answer until the new ones are ready. Errors: see `rechunk`."""
        plan = intake.RevisionPlan.from_settings(self._settings, owner=current_user(), batch=_REBUILDS, actor=actor)
        return self._rebuild(actor, ids, JobKind.REEMBED, plan)

    def reread(self, actor: Actor, ids: Sequence[int]) -> list[Job]:
        """Read documents' originals again, as this version and its settings do; what they say now answers until then.

        Errors: see `rechunk`.
        """
        plan = intake.RevisionPlan.from_settings(self._settings, owner=current_user(), batch=_REBUILDS, actor=actor)
        return self._rebuild(actor, ids, JobKind.REREAD, plan)

    @property
    def recognizes_text(self) -> bool:
        """Whether pages that are pictures are read by text recognition."""
        return self._settings.ocr

    def reread_pictures(self, actor: Actor) -> list[Job]:
        """Read all documents again that have pages which text recognition has not seen; return the jobs.

        Those that are being worked on already, or that `actor` may not change, are left out.
        """
        jobs: list[Job] = []
        for document_id in self._documents.unread_pictures(actor):
            with suppress(ConflictError, NotFoundError):
                jobs += self.reread(actor, [document_id])
        return jobs

    def _rebuild(self, actor: Actor, ids: Sequence[int], kind: JobKind, plan: intake.RevisionPlan) -> list[Job]:
        ended: list[int] = []
        with self._ingestion.writer.transaction() as unit:
            queued = []
            for document_id in ids:
                require_document(unit.connection, actor, document_id, _("Rebuild a document"))
                job_id, result = intake.begin_rebuild(unit.connection, document_id, kind, plan)
                unit.unneeded.extend(result.unneeded)
                ended.extend(result.ended)
                queued.append(job_id)
        self._ingestion.abandon(ended)
        self._ingestion.wake()
        return [self._job(actor, job_id) for job_id in queued]

    def _job(self, actor: Actor, job_id: int) -> Job:
        found = self._documents.jobs(self._ingestion.board.live(), actor.readable(), job_id=job_id)
        if not found:
            raise NotFoundError(_("This job does not exist any more."))
        return found[0]

    def _require(self, actor: Actor, job_id: int, action: str) -> None:
        """Return if the document of a job may be changed.

        Raises:
            NotFoundError: there is no such job, or its document may not be read.
            ForbiddenError: it may be read, but not changed.
        """
        self._documents.require_change(actor, self._job(actor, job_id).document_id, action)
