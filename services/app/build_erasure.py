"""Builds what erases deleted text, and tells everybody who has some of it when a document is gone."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import structlog

from services.core.erasure import Erasure
from services.core.errors import MillpondError

if TYPE_CHECKING:
    from services.chat.conversations import Conversations
    from services.core.cache import Caches
    from services.core.database import Database
    from services.knowledge.ingestion import Ingestion
    from services.knowledge.library import Library
    from services.knowledge.store.unit_of_work import Gone
    from services.operations.event_log import EventLog

log = structlog.get_logger(__name__)


def build_erasure(database: Database, closing: ExitStack) -> Erasure:
    """Return the thread that erases, started; what a process that was killed left is erased first."""
    erasure = Erasure(database)
    erasure.start()
    closing.callback(erasure.close)
    return erasure


def join_erasure(  # noqa: PLR0917 - the composition root calls it, nobody else
    erasure: Erasure,
    database: Database,
    events: EventLog,
    caches: Caches,
    ingestion: Ingestion,
    library: Library,
    conversations: Conversations,
) -> None:
    """Have terms, quotes, events and caches follow each deletion, and what a killed process did not come to."""
    from services.knowledge.store.term_erasure import TermErasure

    erasure.add_step(TermErasure(database).erase)
    library.quotes = conversations.quotes

    def forget(gone: Gone) -> None:
        # No entry is valid any more: their keys contain the version of the library.
        caches.answers.clear()
        caches.searches.clear()
        try:
            events.forget(gone.names)
            conversations.quotes.mark_deleted(gone.documents)
        except MillpondError as error:
            # The document is gone; the next start comes to the rest.
            log.warning("a deleted document is still named", error=str(error))

    ingestion.writer.on_gone(forget)
    library.forget_missing(events.forget_others)
