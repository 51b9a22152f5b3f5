"""Deletes a collection with its documents, at one node at a time: in several transactions, as many as it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from services.core.actor import SERVICE, AccessLevel, Actor
from services.core.auditing import Action
from services.core.claims import ClaimKind, Claims
from services.core.errors import ConflictError, MillpondError, TakenOverError
from services.core.i18n import _
from services.knowledge.library_audit import LibraryAudit
from services.knowledge.store import deletions
from services.knowledge.store.collections import CollectionEnd, CollectionStore
from services.knowledge.store.rights import require_collection_level
from services.knowledge.store.unit_of_work import DocumentWriter
from services.knowledge.types import DeletionReport


class DeletesDocuments(Protocol):
    """What the library does: see `services.knowledge.library`."""

    def delete(self, actor: Actor, ids: Sequence[int], *, erase_quotes: bool = False) -> DeletionReport:
        """Delete documents."""


class CollectionDeletion:
    """Deletes collections, and finishes what was interrupted. Thread-safe."""

    def __init__(
        self,
        library: DeletesDocuments,
        collections: CollectionStore,
        writer: DocumentWriter,
        audit: LibraryAudit,
        claims: Claims,
    ) -> None:
        self._library = library
        self._collections = collections
        self._writer = writer
        self._audit = audit
        self._claims = claims

    def delete(self, actor: Actor, collection_id: int, *, erase_quotes: bool) -> DeletionReport:
        """Delete a collection; errors as for `Library.delete_collection`."""
        require_collection_level(actor, collection_id, AccessLevel.MANAGE, _("Delete a collection"))
        claim = _deletion_of(collection_id)
        with self._claims.held(claim) as ours:
            if not ours:
                raise ConflictError(
                    _("The collection is being deleted already, at the node {node}.").format(
                        node=self._claims.owner(claim)
                    ),
                    _("Wait until it is gone."),
                )
            return self._delete(actor, collection_id, erase_quotes=erase_quotes)

    def finish(self) -> Iterator[int]:
        """Delete what an earlier process or another node has begun to delete, but for what one is deleting just now;
        yield the id of each.

        Raises:
            MillpondError: one could not be deleted; it is kept.
        """
        for collection_id, end in self._collections.ending():
            with self._claims.held(_deletion_of(collection_id)) as ours:
                if ours and (collection_id, end) in self._collections.ending():
                    self._delete(SERVICE, collection_id, erase_quotes=end is CollectionEnd.QUOTES)
                    yield collection_id

    def _delete(self, actor: Actor, collection_id: int, *, erase_quotes: bool) -> DeletionReport:
        name = self._collections.get(collection_id).name
        self._collections.begin_end(collection_id, CollectionEnd.QUOTES if erase_quotes else CollectionEnd.DOCUMENTS)
        try:
            with self._writer.transaction() as unit:
                ids = deletions.document_ids(unit.connection, collection_id)
            report = self._library.delete(actor, ids, erase_quotes=erase_quotes)
            while self._writer.has_left_over:
                self._writer.drop_left_over()
            with self._writer.transaction() as unit:
                deletions.delete_collection(unit.connection, collection_id)
                self._audit.collection(actor, Action.COLLECTION_DELETED, collection_id, name)
        except TakenOverError:
            raise  # who has taken over finishes it
        except MillpondError:
            with suppress(MillpondError):  # the error before it says why
                self._collections.begin_end(collection_id, None)
            raise
        return report


def _deletion_of(collection_id: int) -> str:
    return f"{ClaimKind.DELETION}:{collection_id}"
