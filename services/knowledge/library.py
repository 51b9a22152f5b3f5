"""The library of documents: collections, uploads, listing and deletion, for pages, API and command line.

Jobs are at `Library.jobs`, the content of documents at `Library.reader`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, BinaryIO

from services.core.actor import Actor, Permission
from services.core.admission import Admission, Gate
from services.core.database import Database
from services.core.document_quotes import DocumentQuotes, NoQuotes, Quoted
from services.core.errors import BadInputError, MillpondError, NotFoundError
from services.core.events import Counter, EventKind, EventSink, NullEventSink
from services.core.i18n import _, plural
from services.core.machine import MEGABYTE
from services.core.preferences import Preferences
from services.core.requests.registry import current_user
from services.core.settings import Settings
from services.knowledge import types
from services.knowledge.file_names import document_name
from services.knowledge.file_store import FileStore, StoredFile
from services.knowledge.ingestion import Ingestion
from services.knowledge.library_jobs import LibraryJobs
from services.knowledge.library_reader import LibraryReader
from services.knowledge.store import deletions, intake
from services.knowledge.store.attachments import keep_for_itself, relatives, with_attachments
from services.knowledge.store.chunks import ContentStore
from services.knowledge.store.collections import CollectionEnd, CollectionStore
from services.knowledge.store.documents import DocumentFilters, DocumentStore, move, read_document, set_enabled
from services.knowledge.types import DeletionReport, Document, DocumentStatus, Intake
from services.knowledge.upload_session import UploadSession

if TYPE_CHECKING:
    from services.knowledge.parsing.pool import ParserPool

_RETRIEVAL = "knowledge.retrieval"
_READ_BYTES = MEGABYTE
_UPLOAD_BYTES = 4 * _READ_BYTES  # RAM that an upload takes on its way to the disk
# Most documents and chunks deleted in one transaction, so that other writers do not wait for long.
_DELETION_BATCH = 2000


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
    ) -> None:
        self._admission = admission or Admission()
        self._database = database
        self._files = files
        self._ingestion = ingestion
        self._preferences = preferences
        self._settings = settings
        self._reporter = reporter or NullEventSink()
        self._writer = ingestion.writer
        self._board = ingestion.board
        self._collections = CollectionStore(database)
        self._documents = DocumentStore(database)
        self._counts = (-1, types.LibraryCounts())
        self.quotes: DocumentQuotes = NoQuotes()
        self.jobs = LibraryJobs(ingestion, self._documents, settings)
        self.reader = LibraryReader(self._documents, ContentStore(database), files, parser, self._board)

    # Collections

    def collections(self) -> list[types.Collection]:
        """Return all collections, the default one first."""
        return self._collections.all()

    def default_collection(self) -> types.Collection:
        """Return the collection of documents that are added without naming one."""
        return self._collections.all()[0]

    def create_collection(self, name: str) -> types.Collection:
        """Create a collection.

        Raises:
            BadInputError: the name is empty.
            ConflictError: the name is taken.
        """
        created = self._collections.create(name)
        self._board.mark_changed()
        return self._collections.get(created)

    def rename_collection(self, collection_id: int, name: str) -> types.Collection:
        """Give a collection another name; errors as for `create_collection`, or NotFoundError."""
        self._collections.rename(collection_id, name)
        self._board.mark_changed()
        return self._collections.get(collection_id)

    def delete_collection(self, collection_id: int, *, erase_quotes: bool = False) -> DeletionReport:
        """Delete a collection with its documents; a default one is created again when it is needed.

        With `erase_quotes` answers that quote them, too; see `delete`.

        Raises:
            NotFoundError: there is no such collection.
        """
        self._collections.get(collection_id)
        self._collections.begin_end(collection_id, CollectionEnd.QUOTES if erase_quotes else CollectionEnd.DOCUMENTS)
        try:
            with self._writer.transaction() as unit:
                ids = deletions.document_ids(unit.connection, collection_id)
            report = self.delete(ids, erase_quotes=erase_quotes)
            while self._writer.has_left_over:
                self._writer.drop_left_over()
            with self._writer.transaction() as unit:
                deletions.delete_collection(unit.connection, collection_id)
        except MillpondError:
            with suppress(MillpondError):  # the error before it says why
                self._collections.begin_end(collection_id, None)
            raise
        return report

    def finish_deletions(self) -> None:
        """Delete the collections whose deletion was interrupted by the end of an earlier process."""
        for collection_id, end in self._collections.ending():
            self.delete_collection(collection_id, erase_quotes=end is CollectionEnd.QUOTES)

    # Uploads

    def open_upload(self, name: str, collection_id: int | None = None, *, batch: str = "") -> UploadSession:
        """Open an upload of a file whose name at its source is `name`.

        The queue is shared among the users of `current_user`, and among what each hands in: files of one `batch` come
        one after the other, those of several in turn.

        Raises:
            UnavailableError: uploads are closed at present, to keep within the memory budget.
            StorageError: too little disk space is free.
            NotFoundError: there is no such collection.
        """
        self._admission.check(Gate.UPLOADS)
        self._admission.require(_UPLOAD_BYTES, _("A new file"))
        target = self.default_collection().id if collection_id is None else self._collections.get(collection_id).id
        shown = document_name(name)
        plan = intake.RevisionPlan.from_settings(self._settings, owner=current_user(), batch=batch)
        return UploadSession(self._files.create(), lambda file: self._admit(file, shown, target, plan))

    def add(self, stream: BinaryIO, name: str, collection_id: int | None = None, *, batch: str = "") -> Intake:
        """Add a file from a stream of bytes; arguments and errors as for `open_upload` and `UploadSession`."""
        with self.open_upload(name, collection_id, batch=batch) as upload:
            while data := stream.read(_READ_BYTES):
                upload.write(data)
            return upload.finish()

    def _admit(self, file: StoredFile, name: str, collection_id: int, plan: intake.RevisionPlan) -> tuple[Intake, bool]:
        with self._writer.transaction() as unit:
            result = intake.admit(
                unit.connection,
                file,
                name,
                collection_id,
                plan,
                is_stored=lambda stored: self._files.location(stored).is_file(),
            )
            unit.unneeded.extend(result.unneeded)
            if result.duplicate:
                keep_for_itself(unit.connection, result.document_id)
            # Read within the transaction: after the commit somebody may delete it, and the upload would look refused.
            document = read_document(unit.connection, result.document_id, self._board.live())
        self._ingestion.abandon(result.ended)
        self._ingestion.wake(requeued=result.requeued)
        if not result.duplicate:
            self._reporter.count(Counter.BYTES_RECEIVED, file.size_bytes)
            self._reporter.event(EventKind.UPLOAD, name, bytes=file.size_bytes, documents=1)
        return Intake(document, result.duplicate), result.keep_file

    # Documents

    def documents(
        self,
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
            DocumentFilters(collection_ids, query, statuses),
            self._board.live(),
            limit=limit,
            offset=offset,
            order=order,
            descending=descending,
        )

    def count_documents(
        self, collection_ids: Collection[int] = (), query: str = "", statuses: Collection[DocumentStatus] = ()
    ) -> int:
        """Return how many documents match; see `documents`."""
        return self._documents.count(DocumentFilters(collection_ids, query, statuses), self._board.live())

    def document(self, document_id: int) -> Document:
        """Return one document.

        Raises:
            NotFoundError: it is gone.
        """
        return self._documents.get(document_id, self._board.live())

    def with_attachments(self, ids: Sequence[int]) -> list[Document]:
        """Return documents with all that `delete` and `move` would take along; missing ones are left out."""
        live = self._board.live()
        found: list[Document] = []
        with self._database.read() as connection:
            for each in with_attachments(connection, ids):
                with suppress(NotFoundError):
                    found.append(read_document(connection, each, live))
        return found

    def relatives(self, document_id: int, most: int) -> tuple[list[Document], list[Document]]:
        """Return the first `most` documents that a document brought as attachments, and of those that brought it."""
        live = self._board.live()
        with self._database.read() as connection:
            brought, brought_by = relatives(connection, document_id)
            return (
                [read_document(connection, each, live) for each in brought[:most]],
                [read_document(connection, each, live) for each in brought_by[:most]],
            )

    def set_enabled(self, ids: Sequence[int], enabled: bool) -> None:
        """Include documents in searches or exclude them; they stay in the library."""
        with self._writer.transaction() as unit:
            unit.regroupings.extend(set_enabled(unit.connection, ids, enabled))

    def move(self, ids: Sequence[int], collection_id: int) -> None:
        """Move documents with their attachments to another collection.

        Raises:
            NotFoundError: there is no such collection.
            ConflictError: it has a document of the same name; nothing was moved.
        """
        with self._writer.transaction() as unit:
            everything = with_attachments(unit.connection, ids)
            unit.regroupings.extend(move(unit.connection, everything, collection_id))

    def delete(self, ids: Sequence[int], *, erase_quotes: bool = False) -> DeletionReport:
        """Delete documents with files, chunks, terms and vectors, each atomically with the attachments that came only
        with it; missing ones are not counted.

        Answers that quote them stay, named as quotes of a deleted document, unless `erase_quotes`. Everything else is
        gone from all files within seconds (`services.core.erasure`).
        """
        total = deletions.Removal()
        pending = list(ids)
        while pending:
            ended: list[int] = []
            with self._writer.transaction() as unit:
                room = _DELETION_BATCH
                while pending and room > 0:
                    removal = deletions.delete(unit.connection, pending.pop())
                    room -= 1 + removal.chunks
                    unit.record(removal)
                    ended += removal.ended
                    total.documents += removal.documents
                    total.chunks += removal.chunks
                    total.bytes += removal.bytes
                    total.gone |= removal.gone
            self._ingestion.abandon(ended)
        erased = self.quotes.erase(total.gone).answers if erase_quotes else 0
        if total.documents:
            self._ingestion.wake(deleted=True)
            self._reporter.count(Counter.DOCUMENTS_DELETED, total.documents)
            text = plural("{count} document", "{count} documents", total.documents)
            figures = {"documents": total.documents, "chunks": total.chunks, "bytes": total.bytes}
            self._reporter.event(EventKind.DELETION, text, **figures)
        return DeletionReport(total.documents, total.chunks, total.bytes, erased, self.quotes.count(total.gone))

    def quoted(self, ids: Sequence[int]) -> Quoted:
        """Return how many answers quote documents, or the attachments that `delete` would remove with them."""
        with self._database.read() as connection:
            everything = with_attachments(connection, ids)
        return self.quotes.count(everything)

    def quoted_in_collection(self, collection_id: int) -> Quoted:
        """Return how many answers quote the documents of a collection."""
        with self._database.read() as connection:
            return self.quotes.count(deletions.document_ids(connection, collection_id))

    def forget_missing(self, forget_names: Callable[[Collection[str]], object]) -> None:
        """Mark quotes of documents that are gone, and have all names but those of documents forgotten: at the start."""
        self.quotes.mark_missing(self._documents.existing)
        forget_names(self._documents.names())

    def quotes_of_deleted(self) -> Quoted:
        """Return how many answers quote documents that were deleted."""
        self.quotes.mark_missing(self._documents.existing)
        return self.quotes.of_deleted()

    def erase_quotes_of_deleted(self) -> Quoted:
        """Erase the answers that quote documents that were deleted; return how many there were."""
        self.quotes.mark_missing(self._documents.existing)
        return self.quotes.erase_deleted()

    # State

    def counts(self) -> types.LibraryCounts:
        """Return the totals; computed once after each unit."""
        version, counts = self._counts
        if version != self._board.version:
            version = self._board.version
            counts = self._documents.counts()
            self._counts = (version, counts)
        return counts

    def version(self) -> int:
        """Return a number that differs after every visible change, progress included; takes about 0.1 microseconds."""
        return self._board.version

    def retrieval_settings(self) -> types.RetrievalSettings:
        """Return the retrieval settings of the chat."""
        stored: dict[str, Any] = self._preferences.get(_RETRIEVAL) or {}
        known = asdict(types.RetrievalSettings())
        return types.RetrievalSettings(**{name: stored.get(name, value) for name, value in known.items()})

    def apply_retrieval_settings(self, actor: Actor, settings: types.RetrievalSettings) -> None:
        """Set the retrieval settings of the chat.

        Raises:
            ForbiddenError: `actor` may not change settings.
            BadInputError: a value is out of its range.
        """
        actor.require(Permission.CONFIGURE, _("Change how chat retrieves"))
        weights = (settings.dense_weight, settings.lexical_weight)
        if not (1 <= settings.k <= 100 and min(weights) >= 0 < max(weights) and 0 <= settings.threshold <= 1):
            raise BadInputError(
                _("k must be from 1 to 100, the weights not negative and not both 0, the threshold from 0 to 1."),
                _("The settings were not changed."),
            )
        self._preferences.set(_RETRIEVAL, asdict(settings))
        self._reporter.event(EventKind.SETTINGS, _("retrieval"), **asdict(settings))
        self._board.mark_changed()
