"""The job queue in the database: claiming, finishing, failing, cancelling, retrying.

A worker holds a job by its `run` number. Whoever revokes the job (a cancel, a newer version, a deletion) changes state
or number in a transaction and deletes what the worker had written; the worker notices in its next transaction, because
each of them starts with `still_holds`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from services.core.database import Database
from services.core.errors import ConflictError, NotFoundError
from services.core.i18n import _
from services.knowledge.store.revisions import drop_content, set_newest, unreferenced
from services.knowledge.store.tables import attachments, documents, jobs, revisions
from services.knowledge.types import JobKind

QUEUED, WORKING, READY, FAILED, CANCELLED = "queued", "working", "ready", "failed", "cancelled"
UNFINISHED_STATES = (QUEUED, WORKING)

# Built once: a thousand small files run through these.
_QUEUED_JOBS = (
    sa.select(
        jobs,
        documents.c.name,
        documents.c.active_revision_id,
        documents.c.attached,
        documents.c.added_by,
        revisions.c.stored,
        revisions.c.sha256,
        revisions.c.chunk_tokens,
        revisions.c.overlap,
    )
    .join(documents, documents.c.id == jobs.c.document_id)
    .join(revisions, revisions.c.id == jobs.c.revision_id)
    .where(jobs.c.state == QUEUED)
)
_WAITING = (
    sa.select(
        jobs.c.id,
        jobs.c.owner,
        jobs.c.batch,
        jobs.c.behind,
        revisions.c.size_bytes,
        revisions.c.sha256,
    )
    .join(revisions, revisions.c.id == jobs.c.revision_id)
    .where(jobs.c.state == QUEUED, jobs.c.id > sa.bindparam("after"))
    .order_by(jobs.c.id)
)
_COUNT_QUEUED = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.state == QUEUED)
_TO_CLAIM = _QUEUED_JOBS.where(jobs.c.id == sa.bindparam("job"))
_BEGIN = (
    jobs.update()
    .where(jobs.c.id == sa.bindparam("job"))
    .values(state=WORKING, run=jobs.c.run + 1, node=sa.bindparam("by"))
)
_HOLDS = sa.select(jobs.c.id).where(
    jobs.c.id == sa.bindparam("job"), jobs.c.run == sa.bindparam("held_run"), jobs.c.state == WORKING
)
_FINISH = (
    jobs.update()
    .where(jobs.c.id == sa.bindparam("job"))
    .values(state=READY, error="", hint="", crashes=0, deaths=0, behind=False, finished_at=sa.bindparam("now"))
)
# Formats that bring others: a copy of their chunks would leave the attachments behind.
_BRINGING = ("message/rfc822", "application/mbox", "application/vnd.ms-outlook")
_SAME_WORK = (
    sa.select(revisions.c.id, documents.c.name)
    .join(documents, documents.c.active_revision_id == revisions.c.id)
    .where(*(revisions.c[name] == sa.bindparam(name) for name in ("sha256", "chunk_tokens", "overlap", "fingerprint")))
    .where(
        revisions.c.media_type.not_in(_BRINGING),
        ~sa.exists().where(attachments.c.parent_id == documents.c.id),
    )
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that a worker holds, and its inputs; `source` is a revision whose chunks can be copied, `attached` tells
    that the document came with another one.

    `waited` is the time in the queue in seconds; None when it is not the first try.
    """

    job_id: int
    run: int
    kind: JobKind
    document_id: int
    name: str
    revision_id: int
    active_revision_id: int | None
    stored: str
    sha256: str
    chunk_tokens: int
    overlap: int
    source: int | None
    source_name: str
    attached: bool = False
    waited: float | None = None
    owner: str = ""
    batch: str = ""
    deaths: int = 0
    added_by: int | None = None
    readable: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job that waits: who handed the file in, with which others, how large it is, whether it waits behind others."""

    id: int
    owner: str
    batch: str
    behind: bool
    size_bytes: int
    sha256: str


class JobStore:
    """The queue. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, fingerprint: str, job_id: int) -> Claim | None:
        """Claim a job; None if it is not queued any more."""
        with self._database.write() as connection:
            row = connection.execute(_TO_CLAIM, {"job": job_id}).one_or_none()
            if row is None:
                return None
            connection.execute(_BEGIN, {"job": row.id, "by": self._database.node or None})
            if row.run:
                drop_content(connection, row.revision_id)  # an earlier run may not have cleaned up: disk full
            source, source_name = _same_work(connection, row, fingerprint)
            return Claim(
                job_id=row.id,
                run=row.run + 1,
                kind=JobKind(row.kind),
                document_id=row.document_id,
                name=row.name,
                revision_id=row.revision_id,
                active_revision_id=row.active_revision_id,
                stored=row.stored,
                sha256=row.sha256,
                chunk_tokens=row.chunk_tokens,
                overlap=row.overlap,
                source=source,
                source_name=source_name,
                attached=bool(row.attached),
                waited=None if row.run else max(0.0, (datetime.now(UTC) - row.created_at).total_seconds()),
                owner=row.owner,
                batch=row.batch,
                deaths=row.deaths,
                added_by=row.added_by,
                readable=None if row.readable is None else frozenset(row.readable),
            )

    def queued(self, after: int = 0) -> list[QueuedJob]:
        """Return the queued jobs with an id larger than `after`, the oldest first."""
        with self._database.read() as connection:
            return [QueuedJob(*row) for row in connection.execute(_WAITING, {"after": after})]

    def count_queued(self) -> int:
        """Return how many jobs are queued."""
        with self._database.read() as connection:
            return connection.scalar(_COUNT_QUEUED) or 0

    def waiting_flows(self, most_bytes: int | None = None) -> list[tuple[str, str]]:
        """Return (owner, batch) of jobs that are queued and do not wait behind others, at most 100; with `most_bytes`,
        only of files that are no larger.
        """
        query = sa.select(jobs.c.owner, jobs.c.batch).distinct().where(jobs.c.state == QUEUED, ~jobs.c.behind)
        if most_bytes is not None:
            small = revisions.c.size_bytes <= most_bytes
            query = query.join(revisions, revisions.c.id == jobs.c.revision_id).where(small)
        with self._database.read() as connection:
            return [(row.owner, row.batch) for row in connection.execute(query.limit(100))]

    def put_back(self, claim: Claim, *, died: bool) -> bool:
        """Return a job to the queue, behind others; `died`: the process that read its file has. False: it was revoked.

        What it had written is deleted when it is claimed again.
        """
        with self._database.write() as connection:
            if not still_holds(connection, claim):
                return False
            values = {"state": QUEUED, "behind": True, "deaths": jobs.c.deaths + int(died)}
            connection.execute(jobs.update().where(jobs.c.id == claim.job_id).values(**values))
            return True

    def fail(self, claim: Claim, error: str, hint: str, *, keep_file: bool, behind: bool = False) -> list[str] | None:
        """Record that the job failed and delete what it had written; return the originals to remove.

        `behind`: it waits behind others when it is retried. None: the job had been revoked, nothing was done.
        """
        with self._database.write() as connection:
            if not still_holds(connection, claim):
                return None
            if behind:
                connection.execute(jobs.update().where(jobs.c.id == claim.job_id).values(behind=True))
            return _end(connection, claim.job_id, FAILED, error, hint, keep_file=keep_file)

    def fail_without_cleanup(self, claim: Claim, error: str, hint: str) -> None:
        """Record that the job failed and nothing more; for a disk too full for `fail`."""
        with self._database.write() as connection:
            if still_holds(connection, claim):
                values = {"state": FAILED, "error": error, "hint": hint, "finished_at": datetime.now(UTC)}
                connection.execute(jobs.update().where(jobs.c.id == claim.job_id).values(**values))

    def cancel(self, job_id: int) -> None:
        """Cancel an unfinished job; what it had written is deleted, the original stays for a retry.

        Raises:
            NotFoundError: there is no such job.
            ConflictError: it is finished.
        """
        with self._database.write() as connection:
            job = _job(connection, job_id)
            if job.state not in UNFINISHED_STATES:
                raise ConflictError(_("This job is finished already; nothing was changed."))
            _end(connection, job_id, CANCELLED, _("Cancelled."), _("Retry the job to ingest the file."))

    def retry(self, job_id: int) -> None:
        """Queue a failed or cancelled job again.

        Raises:
            NotFoundError: there is no such job.
            ConflictError: it has not failed or been cancelled.
        """
        with self._database.write() as connection:
            job = _job(connection, job_id)
            if job.state not in (FAILED, CANCELLED):
                raise ConflictError(_("Only a failed or cancelled job can be retried."))
            requeue(connection, job)

    def requeue_active(self) -> None:
        """Return the active jobs to the queue, at an orderly stop."""
        with self._database.write() as connection:
            own = jobs.c.state == WORKING, of_node(self._database.node)
            connection.execute(jobs.update().where(*own).values(state=QUEUED))

    def unfinished(self) -> int:
        """Return how many jobs are queued or active."""
        with self._database.read() as connection:
            return count_unfinished(connection)


def of_node(node: int) -> sa.ColumnElement[bool]:
    """Return the condition for jobs of a node; 0: of all, because there is one process alone."""
    if not node:
        return sa.true()
    return sa.or_(jobs.c.node == node, jobs.c.node.is_(None))


def still_holds(connection: Connection, claim: Claim) -> bool:
    """Return whether a worker still holds its job."""
    return connection.scalar(_HOLDS, {"job": claim.job_id, "held_run": claim.run}) is not None


def finish_job(connection: Connection, claim: Claim) -> None:
    """Record that the job succeeded: its revision is the active one."""
    connection.execute(_FINISH, {"job": claim.job_id, "now": datetime.now(UTC)})


def requeue(connection: Connection, job: Row[Any]) -> None:
    """Queue a job again, its error and crash count cleared.

    Raises:
        ConflictError: its original was not kept, or a newer version superseded it.
    """
    revision = connection.execute(sa.select(revisions).where(revisions.c.id == job.revision_id)).one_or_none()
    if revision is None:
        raise ConflictError(_("A newer version of this document superseded this one."))
    if not revision.stored and job.kind != JobKind.REEMBED:
        raise ConflictError(
            _("The original was not kept because it could not be read."), _("Add the corrected file again.")
        )
    connection.execute(
        jobs.update()
        .where(jobs.c.id == job.id)
        .values(state=QUEUED, error="", hint="", crashes=0, deaths=0, finished_at=None)
    )
    _touch(connection, job.document_id)


def supersede(connection: Connection, document_id: int) -> tuple[list[str], list[int]]:
    """Delete a document's revision in the making, if any; return (originals to remove, jobs that ended)."""
    document = connection.execute(sa.select(documents).where(documents.c.id == document_id)).one()
    newest = document.newest_revision_id
    if newest is None or newest == document.active_revision_id:
        return [], []
    ended = list(
        connection.execute(
            sa.select(jobs.c.id).where(jobs.c.revision_id == newest, jobs.c.state.in_(UNFINISHED_STATES))
        ).scalars()
    )
    now = datetime.now(UTC)
    connection.execute(
        jobs.update()
        .where(jobs.c.id.in_(ended))
        .values(state=CANCELLED, error=_("Superseded by a newer version."), hint="", finished_at=now)
    )
    stored = connection.scalar(sa.select(revisions.c.stored).where(revisions.c.id == newest)) or ""
    drop_content(connection, newest)
    connection.execute(revisions.delete().where(revisions.c.id == newest))
    set_newest(connection, document_id, document.active_revision_id)
    return unreferenced(connection, [stored]), ended


def count_unfinished(connection: Connection) -> int:
    """Return how many jobs are queued or active."""
    query = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.state.in_(UNFINISHED_STATES))
    return connection.scalar(query) or 0


def _job(connection: Connection, job_id: int) -> Row[Any]:
    job = connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).one_or_none()
    if job is None:
        raise NotFoundError(_("This job does not exist any more."))
    return job


def _end(
    connection: Connection, job_id: int, state: str, error: str, hint: str, *, keep_file: bool = True
) -> list[str]:
    job = _job(connection, job_id)
    connection.execute(
        jobs.update()
        .where(jobs.c.id == job_id)
        .values(state=state, error=error, hint=hint, finished_at=datetime.now(UTC))
    )
    drop_content(connection, job.revision_id)
    _touch(connection, job.document_id)
    if keep_file:
        return []
    stored = connection.scalar(sa.select(revisions.c.stored).where(revisions.c.id == job.revision_id)) or ""
    connection.execute(revisions.update().where(revisions.c.id == job.revision_id).values(stored=""))
    return unreferenced(connection, [stored])


def _touch(connection: Connection, document_id: int) -> None:
    connection.execute(documents.update().where(documents.c.id == document_id).values(updated_at=datetime.now(UTC)))


def _same_work(connection: Connection, job: Row[Any], fingerprint: str) -> tuple[int | None, str]:
    """Return (id, document name) of an active revision with the chunks and vectors that this job would make."""
    if job.kind in {JobKind.REEMBED, JobKind.REREAD}:
        return None, ""
    wanted = {name: getattr(job, name) for name in ("sha256", "chunk_tokens", "overlap")}
    query = _SAME_WORK if job.readable is None else _SAME_WORK.where(documents.c.collection_id.in_(job.readable))
    found = connection.execute(query, {**wanted, "fingerprint": fingerprint}).one_or_none()
    return (None, "") if found is None else (found.id, found.name)
