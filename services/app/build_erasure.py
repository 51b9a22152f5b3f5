"""Builds what erases deleted text, and tells everybody who has some of it when a document is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from services.app.audit_names import AuditNames
from services.core.erasure import Erasure

if TYPE_CHECKING:
    from services.app.container import Platform
    from services.audit.audit_log import AuditLog
    from services.chat.conversations import Conversations
    from services.core.database import Database
    from services.knowledge.ingestion import Ingestion
    from services.knowledge.library import Library
    from services.knowledge.store.unit_of_work import Gone
    from services.operations.event_log import EventLog


def build_erasure(database: Database, closing: ExitStack) -> Erasure:
    """Return the thread that erases, started; what a process that was killed left is erased first."""
    erasure = Erasure(database)
    erasure.start()
    closing.callback(erasure.close)
    return erasure


def join_erasure(
    base: Platform, ingestion: Ingestion, library: Library, conversations: Conversations, audit: AuditLog | None
) -> None:
    """Have terms, quotes, events, caches and the audit log (None: it keeps names) follow each deletion, and what a
    killed process did not come to.
    """
    from services.knowledge.store.collections import CollectionStore
    from services.knowledge.store.documents import DocumentStore
    from services.knowledge.store.term_erasure import TermErasure

    erasure, database, events, nodes = base.erasure, base.database, base.events, base.nodes
    forgotten = Forgotten(events, conversations)
    names = None
    if audit is not None:
        names = AuditNames(audit, DocumentStore(database).existing, CollectionStore(database).existing)
        erasure.add_step(names.erase)
        if nodes is not None:
            nodes.membership.on_taken(names.begin_anew)
            nodes.membership.on_taken(erasure.mark)

    def forget(gone: Gone) -> None:
        # No entry is valid any more: their keys contain the version of the library.
        base.caches.forget_documents()
        forgotten.add(gone)
        if names is not None and not gone.elsewhere:  # once in the log is enough
            names.add(gone.documents)
        erasure.mark()

    library.quotes.stored = conversations.quotes
    conversations.use_documents(library.quotes)
    library.quotes.forget_missing(events.forget_others)
    ingestion.writer.on_gone(forget)
    erasure.add_step(forgotten.forget)
    erasure.add_step(TermErasure(database).erase)


class Forgotten:
    """Takes the names of deleted documents out of events, and marks their quotes: of many deletions at once.

    What a process that was killed has not come to, the next one does at its start.
    """

    def __init__(self, events: EventLog, conversations: Conversations) -> None:
        self._events = events
        self._conversations = conversations
        self._lock = threading.Lock()
        self._documents: dict[int, int] = {}
        self._names: set[str] = set()

    def add(self, gone: Gone) -> None:
        """Have what is gone forgotten by the next call of `forget`."""
        with self._lock:
            self._documents.update(gone.documents)
            self._names.update(gone.names)

    def forget(self, _stop: Callable[[], bool] = lambda: False) -> bool:
        """Forget what was added; a step of the erasure.

        Raises:
            StorageError: the database refused; it is tried again.
        """
        with self._lock:
            documents, names = dict(self._documents), set(self._names)
        self._events.forget(names)
        self._conversations.quotes.mark_deleted(documents, documents)
        with self._lock:
            for document in documents:
                self._documents.pop(document, None)
            self._names -= names
        return True
