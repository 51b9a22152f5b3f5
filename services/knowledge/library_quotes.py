"""Answers that quote documents, as the library tells of them: before a deletion and after it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from services.core.actor import AccessLevel, Actor
from services.core.auditing import Action, AuditSink
from services.core.database import Database
from services.core.document_quotes import DocumentQuotes, NoQuotes, Quoted
from services.core.i18n import _, plural
from services.knowledge.store import deletions
from services.knowledge.store.attachments import with_attachments
from services.knowledge.store.documents import DocumentStore
from services.knowledge.store.rights import collections_of, require_collection_level


class LibraryQuotes:
    """Counts and erases answers that quote documents; `stored` has them. Thread-safe.

    Counts tell how many answers there are, in the conversations of others, too, but nothing of what is in them: whoever
    deletes a document must know that it is quoted.
    """

    def __init__(self, database: Database, documents: DocumentStore, audit: AuditSink) -> None:
        self._database = database
        self._audit = audit
        self._documents = documents
        self.stored: DocumentQuotes = NoQuotes()

    def of(self, actor: Actor, ids: Sequence[int]) -> Quoted:
        """Return how many answers quote documents, or the attachments that deleting would remove with them."""
        with self._database.read() as connection:
            known = collections_of(connection, ids, actor.readable())
            everything = with_attachments(connection, [each for each in ids if each in known])
        return self.stored.count(everything)

    def in_collection(self, actor: Actor, collection_id: int) -> Quoted:
        """Return how many answers quote the documents of a collection.

        Raises:
            NotFoundError, ForbiddenError: `actor` may not read it, or not delete it.
        """
        require_collection_level(actor, collection_id, AccessLevel.MANAGE, _("Delete a collection"))
        with self._database.read() as connection:
            return self.stored.count(deletions.document_ids(connection, collection_id))

    def forget_missing(self, forget_names: Callable[[Callable[[], Collection[str]]], object]) -> None:
        """Mark quotes of documents that are gone, and have all names but those of documents forgotten.

        At the start, and when another node was taken over.
        """
        self.stored.mark_missing(self._documents.existing)
        forget_names(self._documents.names)

    def unreadable(self, actor: Actor, document_ids: Collection[int]) -> set[int]:
        """Return those of these documents that `actor` may not read, or that are gone."""
        return self._documents.unreadable(document_ids, actor.readable())

    def of_deleted(self, actor: Actor) -> Quoted:
        """Return how many answers quote documents that were deleted: of those that `actor` may erase."""
        self.stored.mark_missing(self._documents.existing)
        return self.stored.of_deleted(actor)

    def erase_deleted(self, actor: Actor) -> Quoted:
        """Erase the answers that quote documents that were deleted; return how many there were.

        Those in one's own conversations; administrators erase them everywhere, without seeing them.
        """
        self.stored.mark_missing(self._documents.existing)
        erased = self.stored.erase_deleted(actor)
        text = plural("{count} answer", "{count} answers", erased.answers)
        self._audit.audit(actor, Action.QUOTES_ERASED, detail=text)
        return erased
