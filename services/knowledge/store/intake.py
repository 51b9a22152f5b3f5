"""Admission of files and rebuilds to the job queue, each decided in one transaction; recovery of the queue at start."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from services.core.actor import SERVICE, Actor
from services.core.database import Database
from services.core.errors import BusyError, ConflictError, NotFoundError
from services.core.i18n import _, plural
from services.core.settings import Settings
from services.knowledge.files.file_store import FileStore
from services.knowledge.files.stored_file import StoredFile
from services.knowledge.store.collections import require_collection
from services.knowledge.store.jobs import (
    CANCELLED,
    FAILED,
    QUEUED,
    UNFINISHED_STATES,
    WORKING,
    count_unfinished,
    of_node,
    requeue,
    supersede,
)
from services.knowledge.store.revisions import drop_early_terms, set_newest
from services.knowledge.store.tables import chunks, documents, jobs, recognized_pages, revisions, sections
from services.knowledge.types import JobKind

MOST_OWNER = 255  # characters of an owner's name that are kept


# A file that so many ends of the process interrupted is not tried again by itself.
CRASH_LIMIT = 3


@dataclass(frozen=True, slots=True)
class IntakeResult:
    """The outcome for a file: its document, whether the content was known, whether the file itself is still needed.

    `unneeded` are originals that nothing refers to any more, `ended` the jobs that a newer version superseded;
    `requeued`: an old job goes into the queue again instead of a new one.
    """

    document_id: int
    duplicate: bool = False
    keep_file: bool = True
    unneeded: list[str] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    requeued: bool = False


@dataclass(frozen=True, slots=True)
class RevisionPlan:
    """How to build a revision: sizes in tokens of the embedder; most unfinished jobs before new ones are refused.

    `owner` is who wants it, `batch` names what the same person handed in with it: the queue is shared among them.
    `added_by` is that person's account. Chunks of the same content are copied from the `readable` collections alone
    (None: from all): a copy is there at once, which would tell that another collection has the file.
    """

    chunk_tokens: int
    overlap: int
    queue_limit: int
    owner: str = ""
    batch: str = ""
    added_by: int | None = None
    readable: frozenset[int] | None = None

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        chunk_tokens: int | None = None,
        overlap: int | None = None,
        queue_limit: int | None = None,
        *,
        owner: str = "",
        batch: str = "",
        actor: Actor = SERVICE,
    ) -> Self:
        """Return the plan that the settings ask for, except for what is given; `actor` is who wants it."""
        return cls(
            settings.chunk_tokens if chunk_tokens is None else chunk_tokens,
            settings.chunk_overlap_tokens if overlap is None else overlap,
            settings.queue_limit if queue_limit is None else queue_limit,
            owner,
            batch,
            actor.person_id,
            actor.readable(),
        )


def admit(
    connection: Connection,
    file: StoredFile,
    name: str,
    collection_id: int,
    plan: RevisionPlan,
    *,
    is_stored: Callable[[str], bool],
) -> IntakeResult:
    """Queue a file that is durably stored, or recognise a duplicate; `is_stored` tells whether an original exists.

    Raises:
        NotFoundError: there is no such collection.
        BusyError: too many jobs are waiting.
    """
    require_collection(connection, collection_id)
    same = same_content(connection, file.sha256, collection_id, name)
    if same is not None and same.state not in (FAILED, CANCELLED):
        return IntakeResult(same.id, duplicate=True, keep_file=False)
    _check_queue(connection, plan)
    stored = _known_original(connection, file, is_stored)
    if same is not None:
        # The content is known but its job failed or was cancelled: retry it with the new file.
        connection.execute(revisions.update().where(revisions.c.id == same.newest_revision_id).values(stored=stored))
        requeue(connection, connection.execute(sa.select(jobs).where(jobs.c.id == same.job_id)).one())
        shared = {"owner": plan.owner, "batch": plan.batch, "readable": _listed(plan)}
        connection.execute(jobs.update().where(jobs.c.id == same.job_id).values(**shared))
        return IntakeResult(same.id, keep_file=stored == file.stored, requeued=True)
    document_id, version, unneeded, ended = find_or_create_document(connection, name, collection_id, plan)
    revision_id = insert_revision(
        connection,
        document_id,
        plan,
        version=version,
        sha256=file.sha256,
        size_bytes=file.size_bytes,
        stored=stored,
    )
    _insert_job(connection, document_id, revision_id, JobKind.INGEST, plan)
    return IntakeResult(document_id, keep_file=stored == file.stored, unneeded=unneeded, ended=ended)


def begin_rebuild(
    connection: Connection, document_id: int, kind: JobKind, plan: RevisionPlan
) -> tuple[int, IntakeResult]:
    """Queue a rechunk, reembed or reread of a document's active revision; return (job id, what else changed).

    Raises:
        NotFoundError: the document is gone.
        ConflictError: there is nothing to rebuild, or a new version is being ingested.
        BusyError: too many jobs are waiting.
    """
    document = connection.execute(sa.select(documents).where(documents.c.id == document_id)).one_or_none()
    if document is None:
        raise NotFoundError(_("This document does not exist any more."))
    if document.active_revision_id is None:
        raise ConflictError(_("“{name}” is not ready yet; nothing was changed.").format(name=document.name))
    ingest_job = connection.scalar(
        sa.select(jobs.c.id).where(
            jobs.c.revision_id == document.newest_revision_id,
            jobs.c.kind == JobKind.INGEST,
            jobs.c.state.in_(UNFINISHED_STATES),
        )
    )
    if ingest_job is not None:
        raise ConflictError(
            _("A new version of “{name}” is being ingested; nothing was changed.").format(name=document.name),
            _("Try again when it is ready."),
        )
    _check_queue(connection, plan)
    unneeded, ended = supersede(connection, document_id)
    active = connection.execute(sa.select(revisions).where(revisions.c.id == document.active_revision_id)).one()
    if not active.sha256:
        raise ConflictError(
            _("“{name}” was added by a program; only that program can change it.").format(name=document.name)
        )
    if kind == JobKind.RECHUNK and not active.stored:
        raise ConflictError(
            _("The original of “{name}” was not kept; it cannot be rechunked.").format(name=document.name)
        )
    if kind == JobKind.REREAD and not active.stored:
        raise ConflictError(
            _("The original of “{name}” was not kept; it cannot be read again.").format(name=document.name)
        )
    if kind in {JobKind.REEMBED, JobKind.REREAD}:
        plan = replace(plan, chunk_tokens=active.chunk_tokens, overlap=active.overlap)
    kept = ("version", "sha256", "size_bytes", "stored", "media_type", "pages", "notes", "recognition")
    revision_id = insert_revision(connection, document_id, plan, **{name: getattr(active, name) for name in kept})
    job_id = _insert_job(connection, document_id, revision_id, kind, plan)
    return job_id, IntakeResult(document_id, unneeded=unneeded, ended=ended)


def same_content(connection: Connection, sha256: str, collection_id: int, name: str) -> Row[Any, Any, Any, Any] | None:
    """Return (id, newest_revision_id, job_id, state) of a collection's document with this content, or None."""
    query = (
        sa.select(documents.c.id, documents.c.newest_revision_id, jobs.c.id.label("job_id"), jobs.c.state)
        .join(revisions, revisions.c.id == documents.c.newest_revision_id)
        .outerjoin(jobs, jobs.c.revision_id == revisions.c.id)
        .where(documents.c.collection_id == collection_id, revisions.c.sha256 == sha256)
        .order_by(documents.c.name != name, documents.c.id)
        .limit(1)
    )
    return connection.execute(query).one_or_none()


def _known_original(connection: Connection, file: StoredFile, is_stored: Callable[[str], bool]) -> str:
    """Return the name of an original with the same bytes, so that they are kept once, or else the new file's."""
    return next((known for known in _originals_with(connection, [file.sha256]) if is_stored(known)), file.stored)


def _originals_with(connection: Connection, hashes: Sequence[str]) -> list[str]:
    query = sa.select(revisions.c.stored).where(revisions.c.sha256.in_(hashes), revisions.c.stored != "").distinct()
    return list(connection.execute(query).scalars())


def originals_present(database: Database, files: FileStore, hashes: Sequence[str]) -> Callable[[str], bool]:
    """Return what tells in a transaction whether an original with one of these hashes exists.

    A server is asked now: a transaction keeps all who write waiting.

    Raises:
        FilesUnavailableError: it does not answer.
    """
    if not files.remote:
        return files.exists
    with database.read() as connection:
        known = _originals_with(connection, hashes) if hashes else []
    present = {name for name in known if files.exists(name)}
    return present.__contains__


def find_or_create_document(
    connection: Connection, name: str, collection_id: int, plan: RevisionPlan
) -> tuple[int, int, list[str], list[int]]:
    """Find or create the document; return (id, version of the coming revision, unneeded originals, ended jobs)."""
    query = sa.select(documents).where(documents.c.collection_id == collection_id, documents.c.name == name)
    found = connection.execute(query).one_or_none()
    if found is not None:
        newest = sa.select(sa.func.max(revisions.c.version)).where(revisions.c.document_id == found.id)
        version = (connection.scalar(newest) or 0) + 1
        unneeded, ended = supersede(connection, found.id)
        return found.id, version, unneeded, ended
    now = datetime.now(UTC)
    created = (
        documents.insert()
        .values(collection_id=collection_id, name=name, added_by=plan.added_by, created_at=now, updated_at=now)
        .returning(documents.c.id)
    )
    return connection.execute(created).scalar_one(), 1, [], []


def insert_revision(connection: Connection, document_id: int, plan: RevisionPlan, **columns: Any) -> int:
    """Add a revision to a document, as its newest one, and return its id."""
    created = revisions.insert().values(
        document_id=document_id,
        chunk_tokens=plan.chunk_tokens,
        overlap=plan.overlap,
        created_at=datetime.now(UTC),
        **columns,
    )
    revision_id = int(connection.execute(created.returning(revisions.c.id)).scalar_one())
    set_newest(connection, document_id, revision_id)
    return revision_id


def _insert_job(connection: Connection, document_id: int, revision_id: int, kind: JobKind, plan: RevisionPlan) -> int:
    created = jobs.insert().values(
        document_id=document_id,
        revision_id=revision_id,
        kind=kind,
        state=QUEUED,
        created_at=datetime.now(UTC),
        owner=plan.owner[:MOST_OWNER],
        batch=plan.batch,
        readable=_listed(plan),
    )
    return int(connection.execute(created.returning(jobs.c.id)).scalar_one())


def _listed(plan: RevisionPlan) -> list[int] | None:
    return None if plan.readable is None else sorted(plan.readable)


def _check_queue(connection: Connection, plan: RevisionPlan) -> None:
    if count_unfinished(connection) >= plan.queue_limit:
        raise BusyError(
            plural(
                "{count} file is waiting already; this one was not accepted.",
                "{count} files are waiting already; this one was not accepted.",
                plan.queue_limit,
            ),
            _("Try again when some of them are done."),
        )


@dataclass(frozen=True, slots=True)
class RecoveryResult:
    """Jobs queued again after a crash (`suspects`), jobs that failed for too many crashes, orphan chunks deleted."""

    suspects: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    chunks_swept: int = 0


def recover_jobs(database: Database, crash_limit: int) -> RecoveryResult:
    """Queue interrupted jobs again, fail those interrupted by `crash_limit` crashes, delete incomplete revisions.

    As a node of several this recovers what the node itself was working on.
    """
    with database.write() as connection:
        failed = requeue_interrupted(connection, database.node, crash_limit)
        swept = sweep_incomplete(connection)
    return RecoveryResult(suspected_jobs(database), failed, swept)


def requeue_interrupted(connection: Connection, node: int, crash_limit: int) -> list[int]:
    """Queue the jobs again that a node was working on when it ended, or fail them; return those that failed."""
    interrupted = connection.execute(
        sa.select(jobs.c.id, jobs.c.crashes).where(jobs.c.state == WORKING, of_node(node)).order_by(jobs.c.id)
    ).all()
    failed: list[int] = []
    for job_id, crashes in interrupted:
        outcome: dict[str, object] = {"state": QUEUED}
        if crashes + 1 >= crash_limit:
            failed.append(job_id)
            outcome = {
                "state": FAILED,
                "error": plural(
                    "Millpond was killed {count} time while it processed this file.",
                    "Millpond was killed {count} times while it processed this file.",
                    crashes + 1,
                ),
                "hint": _("If the file was not the cause, retry it; otherwise save it in another format."),
                "finished_at": datetime.now(UTC),
            }
        connection.execute(jobs.update().where(jobs.c.id == job_id).values(crashes=crashes + 1, **outcome))
    return failed


def suspected_jobs(database: Database) -> list[int]:
    """Return the queued jobs that were active during a crash."""
    query = sa.select(jobs.c.id).where(jobs.c.state == QUEUED, jobs.c.crashes > 0).order_by(jobs.c.id)
    with database.read() as connection:
        return list(connection.execute(query).scalars())


def sweep_incomplete(connection: Connection) -> int:
    """Delete what was written of revisions that nobody works on and that are not active; return how many chunks."""
    incomplete = (
        sa.select(revisions.c.id)
        .outerjoin(documents, documents.c.active_revision_id == revisions.c.id)
        .where(
            documents.c.id.is_(None),
            ~sa.exists().where(jobs.c.revision_id == revisions.c.id, jobs.c.state == WORKING),
        )
    )
    for revision_id in connection.execute(incomplete.where(revisions.c.terms_indexed > 0)).scalars().all():
        drop_early_terms(connection, revision_id)
    swept = connection.execute(chunks.delete().where(chunks.c.revision_id.in_(incomplete))).rowcount
    connection.execute(sections.delete().where(sections.c.revision_id.in_(incomplete)))
    connection.execute(recognized_pages.delete().where(recognized_pages.c.revision_id.in_(incomplete)))
    return swept


def outdated_documents(database: Database, fingerprint: str) -> list[int]:
    """Return the documents whose vectors another embedding model made and that have no unfinished job."""
    query = (
        sa.select(documents.c.id)
        .join(revisions, revisions.c.id == documents.c.active_revision_id)
        .where(
            revisions.c.fingerprint != fingerprint,
            revisions.c.sha256 != "",  # documents added by a program are for that program to embed
            documents.c.newest_revision_id == documents.c.active_revision_id,
        )
    )
    with database.read() as connection:
        return list(connection.execute(query).scalars())


def known_originals(database: Database, names: Collection[str]) -> set[str]:
    """Return those of some originals, by their stored names, that a revision refers to."""
    with database.read() as connection:
        query = sa.select(revisions.c.stored).where(revisions.c.stored.in_(names))
        return set(connection.execute(query).scalars())
