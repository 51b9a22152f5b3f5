"""Documents and jobs as users see them: listing, filtering, counting, enabling, moving."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row
from sqlalchemy.exc import IntegrityError

from services.core.actor import AccessLevel, Actor
from services.core.database import Database
from services.core.errors import BadInputError, ConflictError
from services.core.i18n import _
from services.knowledge.notes import NoteKind, notes_of
from services.knowledge.store.chunks import IDS_PER_QUERY, Ids
from services.knowledge.store.collections import require_collection, shown_collection
from services.knowledge.store.jobs import FAILED, QUEUED, READY, UNFINISHED_STATES, WORKING
from services.knowledge.store.revisions import revision_ids
from services.knowledge.store.rights import (
    Readable,
    collections_of,
    document_not_found,
    only_readable,
    require_document,
)
from services.knowledge.store.tables import PRESENT, collections, documents, jobs, revisions
from services.knowledge.types import (
    Document,
    DocumentStatus,
    Job,
    JobKind,
    JobProgress,
    LibraryCounts,
    Recognition,
)

Live = Mapping[int, tuple[DocumentStatus, JobProgress]]
"""Status and progress of the active jobs, by job id."""

_NEWEST = revisions.alias("newest")
_ACTIVE = revisions.alias("active")
_state: sa.ColumnElement[str] = sa.func.coalesce(jobs.c.state, READY)
_NOTED = (
    sa.select(_ACTIVE.c.notes)
    .join(documents, documents.c.active_revision_id == _ACTIVE.c.id)
    .where(_ACTIVE.c.notes.is_not(None))
)
_CHUNKS = sa.func.coalesce(_ACTIVE.c.chunks, 0)
_ORDERS: dict[str, Any] = {
    "updated_at": documents.c.updated_at,
    "created_at": documents.c.created_at,
    "name": sa.func.lower(documents.c.name),
    "collection": sa.func.lower(collections.c.name),
    "status": _state,
    "size_bytes": _NEWEST.c.size_bytes,
    "chunks": _CHUNKS,
    "pages": _ACTIVE.c.pages,
    "version": _NEWEST.c.version,
}


@dataclass(frozen=True, slots=True)
class DocumentFilters:
    """Selects documents; an empty filter matches all, of the readable collections."""

    collection_ids: Collection[int] = ()
    query: str = ""
    statuses: Collection[DocumentStatus] = ()
    readable: Readable = None


@dataclass(slots=True)
class Regrouping:
    """Chunks of active revisions, int64 (n,), and their new group in the vector index."""

    ids: Ids
    group: int


def read_document(connection: Connection, document_id: int, live: Live, readable: Readable = None) -> Document:
    """Return one document as seen by the transaction of `connection`; errors as for `DocumentStore.get`."""
    query = _documents(DocumentFilters(readable=readable), live).where(documents.c.id == document_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise document_not_found()
    return _document(row, live)


def document_names(connection: Connection, document_ids: Sequence[int]) -> dict[int, str]:
    """Return the names of documents by their ids."""
    found: dict[int, str] = {}
    for start in range(0, len(document_ids), IDS_PER_QUERY):
        part = documents.c.id.in_(document_ids[start : start + IDS_PER_QUERY])
        for row in connection.execute(sa.select(documents.c.id, documents.c.name).where(part)):
            found[row.id] = row.name
    return found


def set_enabled(connection: Connection, document_ids: Sequence[int], enabled: bool) -> list[Regrouping]:
    """Enable or disable documents; return the changes to the index. Missing documents are skipped."""
    return _update(connection, document_ids, {"enabled": enabled})


def move(connection: Connection, document_ids: Sequence[int], collection_id: int) -> list[Regrouping]:
    """Move documents to another collection; return the changes to the index.

    Raises:
        NotFoundError: there is no such collection.
        ConflictError: it has a document of the same name; nothing was moved.
    """
    require_collection(connection, collection_id)
    try:
        return _update(connection, document_ids, {"collection_id": collection_id})
    except IntegrityError as error:
        raise ConflictError(
            _("The collection has a document of the same name; nothing was moved."),
            _("Delete or rename one of the two first."),
        ) from error


def _update(connection: Connection, document_ids: Sequence[int], values: dict[str, object]) -> list[Regrouping]:
    changed = []
    for document_id in document_ids:
        connection.execute(
            documents.update().where(documents.c.id == document_id).values(updated_at=datetime.now(UTC), **values)
        )
        row = connection.execute(sa.select(documents).where(documents.c.id == document_id)).one_or_none()
        if row is not None and row.active_revision_id is not None:
            ids = revision_ids(connection, row.active_revision_id)
            changed.append(Regrouping(ids, row.collection_id if row.enabled else -1))
    return changed


class DocumentStore:
    """Reads documents and jobs. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(
        self,
        filters: DocumentFilters,
        live: Live,
        *,
        limit: int = 100,
        offset: int = 0,
        order: str = "updated_at",
        descending: bool = True,
    ) -> list[Document]:
        """Return the documents that match, a page of them.

        Raises:
            BadInputError: there is no such order.
        """
        column = _ORDERS.get(order)
        if column is None:
            raise BadInputError(
                _("Documents cannot be ordered by “{order}”.").format(order=order[:50]),
                _("Use one of: {names}.").format(names=", ".join(_ORDERS)),
            )
        keys = (column.desc(), documents.c.id.desc()) if descending else (column, documents.c.id)
        query = _documents(filters, live).order_by(*keys).limit(max(limit, 0)).offset(max(offset, 0))
        with self._database.read() as connection:
            return [_document(row, live) for row in connection.execute(query)]

    def count(self, filters: DocumentFilters, live: Live) -> int:
        """Return how many documents match."""
        query = sa.select(sa.func.count()).select_from(_documents(filters, live).subquery())
        with self._database.read() as connection:
            return connection.scalar(query) or 0

    def get(self, document_id: int, live: Live, readable: Readable) -> Document:
        """Return one document.

        Raises:
            NotFoundError: it is gone, or in none of the readable collections.
        """
        with self._database.read() as connection:
            return read_document(connection, document_id, live, readable)

    def unreadable(self, ids: Collection[int], readable: Readable) -> set[int]:
        """Return those of `ids` that no document in the readable collections has."""
        if readable is None:
            return set()
        with self._database.read() as connection:
            return set(ids).difference(collections_of(connection, sorted(ids), readable))

    def changeable(self, actor: Actor, ids: Collection[int]) -> set[int]:
        """Return those of the documents that `actor` may change."""
        with self._database.read() as connection:
            homes = collections_of(connection, sorted(ids), actor.readable())
        return {each for each, home in homes.items() if actor.level(home) >= AccessLevel.WRITE}

    def unread_pictures(self, actor: Actor) -> list[int]:
        """Return the documents with pages that are unread pictures, of which `actor` may change the kept original."""
        query = only_readable(
            sa.select(documents.c.id, documents.c.collection_id, _ACTIVE.c.notes)
            .join(_ACTIVE, _ACTIVE.c.id == documents.c.active_revision_id)
            .where(_ACTIVE.c.notes.is_not(None), _ACTIVE.c.stored != ""),
            actor.readable(),
        )
        unread = {NoteKind.PICTURE_PAGES, NoteKind.UNRECOGNIZED_PAGES}
        with self._database.read() as connection:
            return [
                row.id
                for row in connection.execute(query)
                if actor.level(row.collection_id) >= AccessLevel.WRITE and any(note[0] in unread for note in row.notes)
            ]

    def require_change(self, actor: Actor, document_id: int, action: str) -> None:
        """Return if a document may be changed; errors as for `require_document`."""
        with self._database.read() as connection:
            require_document(connection, actor, document_id, action)

    def existing(self, ids: Collection[int]) -> set[int]:
        """Return those of `ids` that documents have."""
        found: set[int] = set()
        wanted = sorted(ids)
        with self._database.read() as connection:
            for start in range(0, len(wanted), IDS_PER_QUERY):
                part = documents.c.id.in_(wanted[start : start + IDS_PER_QUERY])
                found.update(connection.scalars(sa.select(documents.c.id).where(part, PRESENT)))
        return found

    def names(self) -> set[str]:
        """Return the names of all documents."""
        with self._database.read() as connection:
            return set(connection.scalars(sa.select(documents.c.name).where(PRESENT)))

    def jobs(
        self,
        live: Live,
        readable: Readable,
        *,
        unfinished_only: bool = False,
        limit: int = 100,
        job_id: int | None = None,
    ) -> list[Job]:
        """Return jobs of documents in the readable collections, the newest first."""
        query = only_readable(
            sa.select(jobs, documents.c.name)
            .join(documents, documents.c.id == jobs.c.document_id)
            .order_by(jobs.c.id.desc())
            .limit(max(limit, 0)),
            readable,
        )
        if unfinished_only:
            query = query.where(jobs.c.state.in_(UNFINISHED_STATES))
        if job_id is not None:
            query = query.where(jobs.c.id == job_id)
        with self._database.read() as connection:
            return [_as_job(row, live) for row in connection.execute(query)]

    def counts(self, readable: Readable) -> LibraryCounts:
        """Return the totals of the readable collections."""
        totals = only_readable(
            sa.select(
                sa.func.count(),
                sa.func.count().filter(documents.c.enabled, documents.c.active_revision_id.is_not(None)),
                sa.func.coalesce(sa.func.sum(_ACTIVE.c.chunks), 0),
                sa.func.coalesce(sa.func.sum(_NEWEST.c.size_bytes), 0),
                sa.func.count().filter(jobs.c.state.in_(UNFINISHED_STATES)),
                sa.func.count().filter(jobs.c.state == FAILED),
            )
            .select_from(documents)
            .outerjoin(_ACTIVE, _ACTIVE.c.id == documents.c.active_revision_id)
            .outerjoin(_NEWEST, _NEWEST.c.id == documents.c.newest_revision_id)
            .outerjoin(jobs, jobs.c.revision_id == documents.c.newest_revision_id)
            .where(PRESENT),
            readable,
        )
        with self._database.read() as connection:
            numbers = [int(value) for value in connection.execute(totals).one()]
            kinds = Counter[str]()
            for facts in connection.execute(only_readable(_NOTED, readable)).scalars():
                for kind, count, _place in facts:
                    kinds[kind] += count
        return LibraryCounts(*numbers, notes=tuple(sorted(kinds.items())))

    def original(self, document_id: int, readable: Readable) -> tuple[str, str]:
        """Return stored name and sha256 of the active revision's original, else of the newest revision's.

        Raises:
            NotFoundError: the document is gone.
        """
        query = only_readable(
            sa.select(_ACTIVE.c.stored, _ACTIVE.c.sha256, _NEWEST.c.stored, _NEWEST.c.sha256)
            .select_from(documents)
            .outerjoin(_ACTIVE, _ACTIVE.c.id == documents.c.active_revision_id)
            .outerjoin(_NEWEST, _NEWEST.c.id == documents.c.newest_revision_id)
            .where(documents.c.id == document_id, PRESENT),
            readable,
        )
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise document_not_found()
        stored, sha256 = row[:2] if row[0] else row[2:]
        return stored or "", sha256 or ""


def _documents(filters: DocumentFilters, live: Live) -> sa.Select[Any]:
    query = only_readable(
        sa.select(
            documents,
            collections.c.name.label("collection"),
            jobs.c.id.label("job_id"),
            _state.label("state"),
            jobs.c.error,
            jobs.c.hint,
            _NEWEST.c.version,
            _NEWEST.c.size_bytes,
            _NEWEST.c.sha256,
            sa.func.coalesce(_ACTIVE.c.media_type, _NEWEST.c.media_type, "").label("media_type"),
            sa.func.coalesce(_ACTIVE.c.pages, _NEWEST.c.pages, 0).label("pages"),
            _ACTIVE.c.notes,
            _ACTIVE.c.recognition,
            _CHUNKS.label("chunks"),
        )
        .join(collections, collections.c.id == documents.c.collection_id)
        .outerjoin(_NEWEST, _NEWEST.c.id == documents.c.newest_revision_id)
        .outerjoin(_ACTIVE, _ACTIVE.c.id == documents.c.active_revision_id)
        .outerjoin(jobs, jobs.c.revision_id == documents.c.newest_revision_id)
        .where(PRESENT),
        filters.readable,
    )
    if filters.collection_ids:
        query = query.where(documents.c.collection_id.in_(list(filters.collection_ids)))
    if filters.query.strip():
        query = query.where(documents.c.name.icontains(filters.query.strip(), autoescape=True))
    if filters.statuses:
        query = query.where(sa.or_(*(_has_status(status, live) for status in set(filters.statuses))))
    return query


def _has_status(status: DocumentStatus, live: Live) -> sa.ColumnElement[bool]:
    if status in (DocumentStatus.PARSING, DocumentStatus.EMBEDDING):
        doing = [job_id for job_id, (at, _progress) in live.items() if at == status]
        return sa.and_(_state == WORKING, jobs.c.id.in_(doing))
    if status == DocumentStatus.QUEUED:
        begun = [job_id for job_id, (at, _progress) in live.items() if at != DocumentStatus.QUEUED]
        return sa.or_(_state == QUEUED, sa.and_(_state == WORKING, jobs.c.id.not_in(begun)))
    return _state.is_not_distinct_from(status.value)


def _status(state: str, job_id: int | None, live: Live) -> tuple[DocumentStatus, JobProgress]:
    if state == WORKING:
        return live.get(job_id or 0, (DocumentStatus.QUEUED, JobProgress()))
    return DocumentStatus(state), JobProgress()


def _document(row: Row[Any], live: Live) -> Document:
    status, progress = _status(row.state, row.job_id, live)
    return Document(
        id=row.id,
        name=row.name,
        collection_id=row.collection_id,
        collection=shown_collection(row.collection),
        added_by=row.added_by,
        status=status,
        progress=progress,
        error=row.error or "",
        hint=row.hint or "",
        enabled=row.enabled,
        searchable=row.enabled and row.active_revision_id is not None,
        version=row.version or 1,
        size_bytes=row.size_bytes or 0,
        sha256=row.sha256 or "",
        media_type=row.media_type,
        pages=row.pages,
        notes=notes_of(row.notes),
        recognition=None if row.recognition is None else Recognition(*row.recognition),
        chunks=row.chunks,
        created_at=row.created_at,
        updated_at=row.updated_at,
        job_id=row.job_id,
    )


def _as_job(row: Row[Any], live: Live) -> Job:
    status, progress = _status(row.state, row.id, live)
    return Job(
        id=row.id,
        document_id=row.document_id,
        document=row.name,
        kind=JobKind(row.kind),
        status=status,
        progress=progress,
        error=row.error,
        hint=row.hint,
        attempts=row.run,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
