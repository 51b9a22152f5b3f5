"""The library: what pages, API and command line do with documents.

One file on its way into the library.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from services.core.access import Actor
from services.core.admission import Admission, Gate
from services.core.database import Database
from services.core.errors import BadInputError
from services.core.events import Counter, EventKind, EventSink, NullEventSink
from services.core.i18n import _, plural
from services.core.preferences import Preferences
from services.core.settings import Settings
from services.knowledge import types
from services.knowledge.file_names import display_name
from services.knowledge.file_store import FileStore, IncomingFile, StoredFile
from services.knowledge.ingestion import Ingestion
from services.knowledge.library_jobs import LibraryJobs
from services.knowledge.library_reading import LibraryReader
from services.knowledge.store import deletions, intake
from services.knowledge.store.chunks import ContentStore
from services.knowledge.store.collections import CollectionStore
from services.knowledge.store.documents import DocumentFilters, DocumentStore, read_document
from services.knowledge.store.unit_of_work import Keeper
from services.knowledge.types import DeletionReport, Document, DocumentStatus, Intake

if TYPE_CHECKING:
    from services.knowledge.parsing import ParserPool

_RETRIEVAL = "knowledge.retrieval"
_READ_BYTES = 1024 * 1024
_FILE_BYTES = 4 * _READ_BYTES  # what a file takes in RAM on its way to the disk
# Documents and chunks that share a transaction: it shall not keep others waiting for long.
_DELETED_AT_ONCE = 2000


class Library(LibraryReader, LibraryJobs):
    """Documents, collections and jobs. Thread-safe; what a method returned is on disk."""

    def __init__(  # noqa: PLR0917 - the composition root calls it, nobody else
        self,
        database: Database,
        files: FileStore,
        parser: ParserPool,
        ingestion: Ingestion,
        keeper: Keeper,  # noqa: ARG002 - the ingestion's writer tells it what changes
        preferences: Preferences,
        settings: Settings,
        *,
        reporter: EventSink | None = None,
        admission: Admission | None = None,
    ) -> None:
        self._admission = admission or Admission()
        self._files = files
        self._parser = parser
        self._ingestion = ingestion
        self._preferences = preferences
        self._settings = settings
        self._reporter = reporter or NullEventSink()
        self._writer = ingestion.writer
        self._board = ingestion.board
        self._collections = CollectionStore(database)
        self._documents = DocumentStore(database)
        self._contents = ContentStore(database)
        self._counts = (-1, types.LibraryCounts())

    # Collections

    def collections(self) -> list[types.Collection]:
        """Return all collections, the default one first."""
        return self._collections.all()

    def default_collection(self) -> types.Collection:
        """Return the collection that takes what is added without naming one."""
        return self._collections.all()[0]

    def create_collection(self, name: str) -> types.Collection:
        """Create a collection.

        Raises:
            BadInputError: the name is empty.
            ConflictError: the name is taken.
        """
        created = self._collections.create(name)
        self._board.changed()
        return self._collections.get(created)

    def rename_collection(self, collection_id: int, name: str) -> types.Collection:
        """Give a collection another name; errors as for `create_collection`, or NotFoundError."""
        self._collections.rename(collection_id, name)
        self._board.changed()
        return self._collections.get(collection_id)

    def delete_collection(self, collection_id: int) -> DeletionReport:
        """Delete a collection with its documents; the last one is made anew when it is needed.

        Raises:
            NotFoundError: there is no such collection.
        """
        self._collections.get(collection_id)
        with self._writer.change() as change:
            ids = deletions.document_ids(change.connection, collection_id)
        report = self.delete(ids)
        with self._writer.change() as change:
            deletions.delete_collection(change.connection, collection_id)
        return report

    # Taking in

    def receive(self, name: str, collection_id: int | None = None) -> UploadSession:
        """Begin to take in a file that is called `name` where it comes from.

        Raises:
            UnavailableError: no files are taken at present, to keep within the memory budget.
            StorageError: too little disk space is free.
            NotFoundError: there is no such collection.
        """
        self._admission.check(Gate.UPLOADS)
        self._admission.require(_FILE_BYTES, _("A new file"))
        target = self.default_collection().id if collection_id is None else self._collections.get(collection_id).id
        shown = display_name(name)
        return UploadSession(self._files.receive(), lambda file: self._admit(file, shown, target))

    def add(self, stream: BinaryIO, name: str, collection_id: int | None = None) -> Intake:
        """Take in a file from a stream of bytes; errors as for `UploadSession`."""
        with self.receive(name, collection_id) as reception:
            while data := stream.read(_READ_BYTES):
                reception.write(data)
            return reception.finish()

    def _admit(self, file: StoredFile, name: str, collection_id: int) -> tuple[Intake, bool]:
        with self._writer.change() as change:
            admission = intake.admit(
                change.connection,
                file,
                name,
                collection_id,
                self._plan(),
                is_stored=lambda stored: self._files.place(stored).is_file(),
            )
            change.unneeded.extend(admission.unneeded)
            # Read here: after the commit somebody else may delete it, and what was taken would look refused.
            document = read_document(change.connection, admission.document_id, self._board.live())
        self._ingestion.abandon(admission.ended)
        self._ingestion.wake()
        if not admission.duplicate:
            self._reporter.count(Counter.BYTES_RECEIVED, file.size_bytes)
            self._reporter.event(EventKind.UPLOAD, name, bytes=file.size_bytes, documents=1)
        return Intake(document, admission.duplicate), admission.keep_file

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
        """Return the documents that fit, a page of them; empty filters fit all.

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
        """Return how many documents fit."""
        return self._documents.count(DocumentFilters(collection_ids, query, statuses), self._board.live())

    def document(self, document_id: int) -> Document:
        """Return one document.

        Raises:
            NotFoundError: it is gone.
        """
        return self._documents.get(document_id, self._board.live())

    def set_enabled(self, ids: Sequence[int], enabled: bool) -> None:
        """Let documents answer questions, or not; they stay in the library."""
        with self._writer.change() as change:
            change.regroupings.extend(deletions.set_enabled(change.connection, ids, enabled))

    def move(self, ids: Sequence[int], collection_id: int) -> None:
        """Put documents into another collection.

        Raises:
            NotFoundError: there is no such collection.
            ConflictError: it has a document of the same name; nothing was moved.
        """
        with self._writer.change() as change:
            change.regroupings.extend(deletions.move(change.connection, ids, collection_id))

    def delete(self, ids: Sequence[int]) -> DeletionReport:
        """Delete documents with file, chunks, terms and vectors, each in one go; those that are gone do not count."""
        total = deletions.Removal()
        waiting = list(ids)
        while waiting:
            ended: list[int] = []
            with self._writer.change() as change:
                room = _DELETED_AT_ONCE
                while waiting and room > 0:
                    removal = deletions.delete(change.connection, waiting.pop())
                    room -= 1 + removal.chunks
                    change.note(removal)
                    ended += removal.ended
                    total.documents += removal.documents
                    total.chunks += removal.chunks
                    total.bytes += removal.bytes
            self._ingestion.abandon(ended)
        if total.documents:
            self._reporter.count(Counter.DOCUMENTS_DELETED, total.documents)
            text = plural("{count} document", "{count} documents", total.documents)
            figures = {"documents": total.documents, "chunks": total.chunks, "bytes": total.bytes}
            self._reporter.event(EventKind.DELETION, text, **figures)
        return DeletionReport(total.documents, total.chunks, total.bytes)

    # State

    def counts(self) -> types.LibraryCounts:
        """Return the totals; computed once a change."""
        version, counts = self._counts
        if version != self._board.version:
            version = self._board.version
            counts = self._documents.counts()
            self._counts = (version, counts)
        return counts

    def version(self) -> int:
        """Return a number that is different after every visible change, progress included; costs next to nothing."""
        return self._board.version

    def retrieval_settings(self) -> types.RetrievalSettings:
        """Return the settings that chat retrieves with."""
        stored: dict[str, Any] = self._preferences.get(_RETRIEVAL) or {}
        known = asdict(types.RetrievalSettings())
        return types.RetrievalSettings(**{name: stored.get(name, value) for name, value in known.items()})

    def apply_retrieval_settings(self, actor: Actor, settings: types.RetrievalSettings) -> None:
        """Let chat retrieve with these settings from now on.

        Raises:
            ForbiddenError: `actor` may only look.
            BadInputError: a value is out of its range.
        """
        actor.require_admin(_("Change how chat retrieves"))
        weights = (settings.dense_weight, settings.lexical_weight)
        if not (1 <= settings.k <= 100 and min(weights) >= 0 < max(weights) and 0 <= settings.threshold <= 1):
            raise BadInputError(
                _("k must be from 1 to 100, the weights not negative and not both 0, the threshold from 0 to 1."),
                _("The settings were not changed."),
            )
        self._preferences.set(_RETRIEVAL, asdict(settings))
        self._reporter.event(EventKind.SETTINGS, _("retrieval"), **asdict(settings))
        self._board.changed()


class UploadSession:
    """Takes a file's bytes; a context manager that leaves nothing behind unless `finish` succeeded.

    What `finish` returned is on disk for good: the file, and the job that will process it.
    """

    def __init__(self, incoming: IncomingFile, admit: Callable[[StoredFile], tuple[Intake, bool]]) -> None:
        self._incoming = incoming
        self._admit = admit

    def write(self, data: bytes) -> None:
        """Append `data`.

        Raises:
            TooLargeError: the file is over the limit.
            StorageError: the disk is full or refuses.
        """
        self._incoming.write(data)

    def finish(self) -> Intake:
        """Put the file into the library and return what became of it.

        Raises:
            BadInputError: the file is empty.
            BusyError: too many jobs are waiting.
            NotFoundError: the collection is gone.
            StorageError: the disk is full or refuses.
        """
        stored = self._incoming.finish()
        if not stored.size_bytes:
            raise BadInputError(_("The file is empty; nothing was added."), _("Check what was saved and try again."))
        intake, keep = self._admit(stored)
        if not keep:
            self._incoming.discard()
        return intake

    def __enter__(self) -> Self:
        self._incoming.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._incoming.__exit__(kind, error, trace)
