"""The library of documents: collections, uploads, listing and deletion, for pages, API and command line.

Jobs are at `Library.jobs`, the content of documents at `Library.reader`, answers that quote them at `Library.quotes`,
deletions that wait at `Library.delayed`. Every method takes who asks; what they may not read does not exist for them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from services.core.actor import AccessLevel, Actor, Permission
from services.core.admission import Admission, Gate
from services.core.auditing import Action
from services.core.claims import ALONE, Claims
from services.core.collection_grants import CollectionGrants, NoGrants
from services.core.database import Database
from services.core.errors import NotFoundError
from services.core.events import Counter, EventKind, EventSink, NullEventSink, upload_name
from services.core.i18n import _, plural
from services.core.machine import MEGABYTE
from services.core.preferences import Preferences
from services.core.requests.registry import current_user
from services.core.settings import Settings
from services.core.usage import NoUsage, UsageCounts, UsageSink
from services.knowledge import types
from services.knowledge.collection_deletion import CollectionDeletion
from services.knowledge.delayed_deletions import DelayedDeletions
from services.knowledge.file_names import document_name
from services.knowledge.files.file_store import FileStore
from services.knowledge.files.stored_file import StoredFile
from services.knowledge.ingestion import Ingestion
from services.knowledge.library_audit import LibraryAudit
from services.knowledge.library_jobs import LibraryJobs
from services.knowledge.library_quotes import LibraryQuotes
from services.knowledge.library_reader import LibraryReader
from services.knowledge.retrieval_preferences import RetrievalPreferences
from services.knowledge.store import deletions, intake
from services.knowledge.store.attachments import keep_for_itself, keep_unchangeable, relatives, with_attachments
from services.knowledge.store.collections import CollectionStore
from services.knowledge.store.documents import (
    DocumentFilters,
    DocumentStore,
    document_names,
    move,
    read_document,
    set_enabled,
)
from services.knowledge.store.rights import (
    Readable,
    collections_of,
    first_writable,
    require_collection_level,
    unchangeable,
    writable,
)
from services.knowledge.types import DeletionReport, Document, DocumentStatus, Intake
from services.knowledge.upload_session import UploadSession

if TYPE_CHECKING:
    from services.knowledge.parsing.pool import ParserPool

_UPLOAD_BYTES = 4 * MEGABYTE  # RAM that an upload takes on its way to the disk
# Most documents and chunks deleted in one transaction, so that other writers do not wait for long.
_DELETION_BATCH = 2000
_MOST_COUNTS = 200  # sets of readable collections whose totals are kept


class Library:
    """Documents, collections and jobs. Thread-safe; a change is on disk when its method returns."""

    def __init__(  # noqa: PLR0917 - the composition root calls it, nobody else
        self,
        database: Database,
        files: FileStore,
        parser: ParserPool,
        ingestion: Ingestion,
        preferences: Preferences,
        settings: Settings,
        *,
        reporter: EventSink | None = None,
        admission: Admission | None = None,
        claims: Claims = ALONE,
    ) -> None:
        self._admission = admission or Admission()
        self._database = database
        self._files = files
        self._ingestion = ingestion
        self._settings = settings
        self._reporter = reporter or NullEventSink()
        self._audit = LibraryAudit(self._reporter)
        self._retrieval = RetrievalPreferences(preferences, self._reporter)
        self._writer = ingestion.writer
        self._board = ingestion.board
        self._collections = CollectionStore(database)
        self._ending = CollectionDeletion(self, self._collections, self._writer, self._audit, claims)
        self._documents = DocumentStore(database)
        self._counts: tuple[int, dict[Readable, types.LibraryCounts]] = (-1, {})
        self.grants: CollectionGrants = NoGrants()
        self.usage: UsageSink = NoUsage()
        self.jobs = LibraryJobs(ingestion, self._documents, settings)
        self.quotes = LibraryQuotes(database, self._documents, self._reporter)
        self.reader = LibraryReader(database, self._documents, files, parser, self._board)
        self.delayed = DelayedDeletions(self, self._board.mark_changed, settings.undo_seconds)

    # Collections

    def collections(self, actor: Actor, level: AccessLevel = AccessLevel.READ) -> list[types.Collection]:
        """Return the collections in which `actor` has reached a level, the default one first if it is among them."""
        return [each for each in self._collections.all() if actor.level(each.id) >= level]

    def default_collection(self, actor: Actor) -> types.Collection:
        """Return the collection of documents that are added without naming one: the first that `actor` may add to.

        Raises:
            ForbiddenError: there is none.
        """
        return first_writable(actor, self._collections.all())

    def is_default(self, actor: Actor, collection_id: int) -> bool:
        """Return whether a collection is the one that is made again when it is deleted."""
        return actor.level(collection_id) >= AccessLevel.READ and self._collections.default_id() == collection_id

    def create_collection(self, actor: Actor, name: str) -> types.Collection:
        """Create a collection, which its creator manages.

        Raises:
            BadInputError: the name is empty.
            ConflictError: a collection that `actor` may read has the name.
            ForbiddenError: `actor` may not make any.
        """
        actor.require(Permission.WRITE, _("Create a collection"))
        created = self._collections.create(name, actor.readable())
        self._audit.collection(actor, Action.COLLECTION_CREATED, created, name)
        self.grants.on_collection_created(actor, created)
        self._board.mark_changed()
        return self._collections.get(created)

    def rename_collection(self, actor: Actor, collection_id: int, name: str) -> types.Collection:
        """Give a collection another name; errors as for `create_collection`, or NotFoundError."""
        require_collection_level(actor, collection_id, AccessLevel.MANAGE, _("Rename a collection"))
        self._collections.rename(collection_id, name, actor.readable())
        self._audit.collection(actor, Action.COLLECTION_CHANGED, collection_id, name)
        self._board.mark_changed()
        return self._collections.get(collection_id)

    def delete_collection(self, actor: Actor, collection_id: int, *, erase_quotes: bool = False) -> DeletionReport:
        """Delete a collection with its documents; a default one is created again when it is needed.

        With `erase_quotes` answers that quote them, too; see `delete`.

        Raises:
            NotFoundError: there is no such collection.
            ForbiddenError: `actor` does not manage it.
            ConflictError: another node is deleting it, or a document was added meanwhile; it is kept.
        """
        report = self._ending.delete(actor, collection_id, erase_quotes=erase_quotes)
        self.grants.on_collection_deleted(collection_id)
        return report

    def finish_deletions(self) -> None:
        """Delete the collections whose deletion was interrupted by the end of an earlier process, or of another node.

        What another node is deleting is left to it.

        Raises:
            MillpondError: one could not be deleted; it is kept.
        """
        for collection_id in self._ending.finish():
            self.grants.on_collection_deleted(collection_id)

    # Uploads

    def open_upload(
        self, actor: Actor, name: str, collection_id: int | None = None, *, batch: str = ""
    ) -> UploadSession:
        """Open an upload of a file whose name at its source is `name`.

        The queue is shared among the users of `current_user`, and among what each hands in: files of one `batch` come
        one after the other, those of several in turn.

        Raises:
            UnavailableError: uploads are closed at present, by the memory budget, or as there is no place for files.
            StorageError: too little disk space is free.
            NotFoundError: there is no such collection.
            ForbiddenError: `actor` may not add to it.
        """
        self._admission.check(Gate.UPLOADS)
        self._admission.require(_UPLOAD_BYTES, _("A new file"))
        if collection_id is None:
            collection_id = self.default_collection(actor).id
        require_collection_level(actor, collection_id, AccessLevel.WRITE, _("Add documents"))
        target = self._collections.get(collection_id).id
        shown = document_name(name)
        plan = intake.RevisionPlan.from_settings(self._settings, owner=current_user(), batch=batch, actor=actor)
        return UploadSession(self._files.create(), lambda file: self._admit(actor, file, shown, target, plan))

    def add(
        self, actor: Actor, stream: BinaryIO, name: str, collection_id: int | None = None, *, batch: str = ""
    ) -> Intake:
        """Add a file from a stream of bytes; arguments and errors as for `open_upload` and `UploadSession`."""
        with self.open_upload(actor, name, collection_id, batch=batch) as upload:
            while data := stream.read(MEGABYTE):
                upload.write(data)
            return upload.finish()

    def _admit(
        self, actor: Actor, file: StoredFile, name: str, collection_id: int, plan: intake.RevisionPlan
    ) -> tuple[Intake, bool]:
        is_stored = intake.originals_present(self._database, self._files, [file.sha256])
        with self._writer.transaction() as unit:
            result = intake.admit(unit.connection, file, name, collection_id, plan, is_stored=is_stored)
            unit.unneeded.extend(result.unneeded)
            if result.duplicate:
                keep_for_itself(unit.connection, result.document_id)
            # Read within the transaction: after the commit somebody may delete it, and the upload would look refused.
            document = read_document(unit.connection, result.document_id, self._board.live())
            self._audit.uploaded(actor, document.id, document.name, file.size_bytes, duplicate=result.duplicate)
        self._ingestion.abandon(result.ended)
        self._ingestion.wake(requeued=result.requeued)
        if not result.duplicate:
            self._reporter.count(Counter.BYTES_RECEIVED, file.size_bytes)
            self.usage.count(actor, UsageCounts(documents=1, bytes=file.size_bytes))
            self._reporter.event(EventKind.UPLOAD, upload_name(name, actor), bytes=file.size_bytes, documents=1)
        return Intake(document, result.duplicate), result.keep_file

    # Documents

    def documents(
        self,
        actor: Actor,
        collection_ids: Collection[int] = (),
        query: str = "",
        statuses: Collection[DocumentStatus] = (),
        *,
        limit: int = 100,
        offset: int = 0,
        order: str = "updated_at",
        descending: bool = True,
    ) -> list[Document]:
        """Return the documents that match, a page of them; empty filters match all.

        Raises:
            BadInputError: there is no such order.
        """
        return self._documents.page(
            DocumentFilters(collection_ids, query, statuses, actor.readable()),
            self._board.live(),
            limit=limit,
            offset=offset,
            order=order,
            descending=descending,
        )

    def count_documents(
        self,
        actor: Actor,
        collection_ids: Collection[int] = (),
        query: str = "",
        statuses: Collection[DocumentStatus] = (),
    ) -> int:
        """Return how many documents match; see `documents`."""
        filters = DocumentFilters(collection_ids, query, statuses, actor.readable())
        return self._documents.count(filters, self._board.live())

    def document(self, actor: Actor, document_id: int) -> Document:
        """Return one document.

        Raises:
            NotFoundError: it is gone, or `actor` may not read it.
        """
        return self._documents.get(document_id, self._board.live(), actor.readable())

    def with_attachments(self, actor: Actor, ids: Sequence[int]) -> list[Document]:
        """Return documents with all that `delete` and `move` would take along; missing ones are left out."""
        live = self._board.live()
        found: list[Document] = []
        with self._database.read() as connection:
            given = collections_of(connection, ids, actor.readable())
            everything = with_attachments(connection, [each for each in ids if each in given])
            kept = unchangeable(connection, actor, everything) - given.keys()
            for each in everything:
                with suppress(NotFoundError):
                    if each not in kept:
                        found.append(read_document(connection, each, live))
        return found

    def relatives(self, actor: Actor, document_id: int, most: int) -> tuple[list[Document], list[Document]]:
        """Return the first `most` documents that a document brought as attachments, and of those that brought it."""
        live, readable = self._board.live(), actor.readable()
        with self._database.read() as connection:
            if not collections_of(connection, [document_id], readable):
                return [], []
            found = [collections_of(connection, ids, readable) for ids in relatives(connection, document_id)]
            brought, brought_by = ([read_document(connection, each, live) for each in [*ids][:most]] for ids in found)
            return brought, brought_by

    def set_enabled(self, actor: Actor, ids: Sequence[int], enabled: bool) -> None:
        """Include documents in searches or exclude them; they stay in the library.

        Raises:
            ForbiddenError: `actor` may read one of them, but not change it; nothing was changed.
        """
        with self._writer.transaction() as unit:
            known = writable(unit.connection, actor, ids, _("Change a document"))
            unit.regroupings.extend(set_enabled(unit.connection, known, enabled))
            self._audit.enabled(actor, document_names(unit.connection, known), enabled=enabled)

    def move(self, actor: Actor, ids: Sequence[int], collection_id: int) -> None:
        """Move documents with their attachments to another collection.

        Raises:
            NotFoundError: there is no such collection.
            ForbiddenError: `actor` may not change both collections; nothing was moved.
            ConflictError: it has a document of the same name; nothing was moved.
        """
        require_collection_level(actor, collection_id, AccessLevel.WRITE, _("Move documents"))
        with self._writer.transaction() as unit:
            known = writable(unit.connection, actor, ids, _("Move documents"))
            everything = with_attachments(unit.connection, known)
            kept = unchangeable(unit.connection, actor, everything)
            moved = [each for each in everything if each not in kept]
            unit.regroupings.extend(move(unit.connection, moved, collection_id))
            self._audit.moved(actor, document_names(unit.connection, moved), collection_id)

    def delete(self, actor: Actor, ids: Sequence[int], *, erase_quotes: bool = False) -> DeletionReport:
        """Delete documents with files, chunks, terms and vectors, each atomically with the attachments that came only
        with it; missing ones are not counted.

        Answers that quote them stay, named as quotes of a deleted document, unless `erase_quotes`. Everything else is
        gone from all files within seconds (`services.core.erasure`). An attachment that somebody moved to a collection
        in which `actor` may change nothing stays.

        Raises:
            ForbiddenError: `actor` may read one of them, but not change it; nothing was deleted.
        """
        total = deletions.Removal()
        pending = self.deletable(actor, ids)
        while pending:
            ended: list[int] = []
            with self._writer.transaction() as unit:
                room = _DELETION_BATCH
                while pending and room > 0:
                    # Again: it may have been moved since.
                    for document_id in writable(unit.connection, actor, [pending.pop()], _("Delete a document")):
                        keep_unchangeable(unit.connection, actor, document_id)
                        removal = deletions.delete(unit.connection, document_id)
                        self._audit.deleted(actor, removal.gone.items())
                        room -= 1 + removal.chunks
                        unit.record(removal)
                        ended += removal.ended
                        total.include(removal)
            self._ingestion.abandon(ended)
        erased = self.quotes.stored.erase(total.gone).answers if erase_quotes else 0
        if total.documents:
            self._ingestion.wake(deleted=True)
            self._reporter.count(Counter.DOCUMENTS_DELETED, total.documents)
            text, size = plural("{count} document", "{count} documents", total.documents), total.bytes
            self._reporter.event(EventKind.DELETION, text, documents=total.documents, chunks=total.chunks, bytes=size)
        return DeletionReport(total.documents, total.chunks, total.bytes, erased, self.quotes.stored.count(total.gone))

    def deletable(self, actor: Actor, ids: Sequence[int]) -> list[int]:
        """Return those of the documents that `delete` would delete; errors as for `delete`."""
        with self._database.read() as connection:
            return writable(connection, actor, ids, _("Delete a document"))

    # State

    def counts(self, actor: Actor) -> types.LibraryCounts:
        """Return the totals of what `actor` may read; of everything for operators. Computed once after each unit."""
        readable = None if actor.may(Permission.OPERATE) else actor.readable()
        version, known = self._counts
        if version != self._board.version or len(known) > _MOST_COUNTS:
            version, known = self._counts = (self._board.version, {})
        if readable not in known:
            known[readable] = self._documents.counts(readable)
        return known[readable]

    def version(self) -> int:
        """Return a number that differs after every visible change, progress included; takes about 0.1 microseconds."""
        return self._board.version

    def retrieval_settings(self) -> types.RetrievalSettings:
        """Return the retrieval settings of the chat."""
        return self._retrieval.read()

    def apply_retrieval_settings(self, actor: Actor, settings: types.RetrievalSettings) -> None:
        """Set the retrieval settings of the chat; errors as for `RetrievalPreferences.apply`."""
        self._retrieval.apply(actor, settings)
        self._board.mark_changed()
