"""What the audit log has of documents and collections, said within the transactions that change them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.core.actor import Actor
from services.core.auditing import Action, AuditSink, Target, TargetKind
from services.core.i18n import _, plural


class LibraryAudit:
    """Records what is done to documents and collections: a record each, committed with the change or not at all."""

    def __init__(self, sink: AuditSink) -> None:
        self._sink = sink

    def uploaded(self, actor: Actor, document_id: int, name: str, size: int, *, duplicate: bool) -> None:
        """Record a document that was handed in; `size` in bytes."""
        text = _("{size:,} bytes, known already") if duplicate else _("{size:,} bytes")
        self._document(actor, Action.DOCUMENT_UPLOADED, document_id, name, text.format(size=size))

    def imported(self, actor: Actor, document_id: int, name: str, chunks: int, *, duplicate: bool) -> None:
        """Record a document that came in chunks."""
        text = plural("{count} chunk", "{count} chunks", chunks)
        if duplicate:
            text = _("{chunks}, known already").format(chunks=text)
        self._document(actor, Action.DOCUMENT_IMPORTED, document_id, name, text)

    def enabled(self, actor: Actor, names: Mapping[int, str], *, enabled: bool) -> None:
        """Record documents that were included in searches, or excluded."""
        text = _("included in searches") if enabled else _("excluded from searches")
        for document_id, name in names.items():
            self._document(actor, Action.DOCUMENT_CHANGED, document_id, name, text)

    def moved(self, actor: Actor, names: Mapping[int, str], collection_id: int) -> None:
        """Record documents that were moved to a collection."""
        text = _("moved to collection {id}").format(id=collection_id)
        for document_id, name in names.items():
            self._document(actor, Action.DOCUMENT_CHANGED, document_id, name, text)

    def deleted(self, actor: Actor, names: Iterable[tuple[int, str]]) -> None:
        """Record documents that are deleted, by id and name."""
        for document_id, name in names:
            self._document(actor, Action.DOCUMENT_DELETED, document_id, name)

    def collection(self, actor: Actor, action: Action, collection_id: int, name: str) -> None:
        """Record what was done to a collection."""
        self._sink.audit(actor, action, Target(TargetKind.COLLECTION, collection_id, name))

    def _document(self, actor: Actor, action: Action, document_id: int, name: str, detail: str = "") -> None:
        self._sink.audit(actor, action, Target(TargetKind.DOCUMENT, document_id, name), detail=detail)
