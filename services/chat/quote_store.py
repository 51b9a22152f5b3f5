"""What answers quote of documents: which do, how they are named when a document is deleted, how they are erased.

An answer that was written from a document may repeat it in other words, so the whole answer is erased, not its quotes
alone. The question stays: it is the person's own. Implements `services.core.document_quotes.DocumentQuotes`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from services.chat.history_window import HistoryWindows
from services.chat.store import citations_of, conversations, messages
from services.core.actor import Actor, Permission
from services.core.database import Database
from services.core.document_quotes import Quoted
from services.core.i18n import _

_MOST_IDS = 500  # in one query
_BATCH = 200  # answers in RAM at a time
_HOME = (
    citations_of.update()
    .where(citations_of.c.document_id == sa.bindparam("document"))
    .values(collection_id=sa.bindparam("home"))
)
_Change = Callable[[list[dict[str, Any]], set[int]], dict[str, Any]]


class StoredQuotes:
    """The quotes in stored answers. Thread-safe."""

    def __init__(self, database: Database, windows: HistoryWindows) -> None:
        self._database = database
        self._windows = windows

    def count(self, document_ids: Collection[int]) -> Quoted:
        """Return how many answers quote any of these documents."""
        with self._database.read() as connection:
            return self._quoted(connection, _of(connection, document_ids))

    def mark_deleted(self, document_ids: Collection[int], homes: Mapping[int, int] | None = None) -> None:
        """Have the quotes of these documents named as those of a deleted document.

        `homes` are the collections that they were in, by document: who may read those may still read the answers.
        """
        self._change(document_ids, _marked)
        if homes:
            with self._database.write() as connection:
                connection.execute(_HOME, [{"document": each, "home": home} for each, home in homes.items()])

    def erase(self, document_ids: Collection[int]) -> Quoted:
        """Erase the answers that quote any of these documents, with its name; return how many there were."""
        return self._change(document_ids, _erased)

    def of_deleted(self, actor: Actor) -> Quoted:
        """Return how many of the answers that `actor` may erase quote documents that were deleted."""
        with self._database.read() as connection:
            query = sa.select(citations_of.c.message_id).where(citations_of.c.deleted == sa.true()).distinct()
            return self._quoted(connection, list(connection.scalars(_erasable(query, actor))))

    def erase_deleted(self, actor: Actor) -> Quoted:
        """Erase the answers that quote documents that were deleted; return how many there were.

        Those in the conversations of `actor`; of everybody for administrators, and where nobody has an account.
        """
        query = sa.select(citations_of).where(citations_of.c.deleted == sa.true())
        with self._database.read() as connection:
            rows = connection.execute(_erasable(query, actor)).all()
        gone, answers = {row.document_id for row in rows}, {row.message_id for row in rows}
        return self._change(gone, _erased, only=answers)

    def mark_missing(self, existing: Callable[[Collection[int]], Collection[int]]) -> None:
        """Mark the quotes of documents that are gone, also of those that were deleted while an answer was written.

        `existing` returns those of some ids that documents have.
        """
        query = sa.select(citations_of.c.document_id).where(citations_of.c.deleted == sa.false()).distinct()
        with self._database.read() as connection:
            quoted = set(connection.scalars(query))
        self.mark_deleted(quoted.difference(existing(quoted)))

    def _quoted(self, connection: Connection, ids: list[int]) -> Quoted:
        names: set[str] = set()
        for part in _parts(ids):
            query = sa.select(messages.c.conversation_id).where(messages.c.id.in_(part)).distinct()
            names.update(connection.scalars(query))
        return Quoted(len(ids), len(names))

    def _change(self, document_ids: Collection[int], change: _Change, only: Collection[int] | None = None) -> Quoted:
        wanted, names, done = set(document_ids), set[str](), 0
        with self._database.read() as connection:
            ids = [each for each in _of(connection, wanted) if only is None or each in only]
        for start in range(0, len(ids), _BATCH):
            with self._database.write() as connection:
                rows = connection.execute(messages.select().where(messages.c.id.in_(ids[start : start + _BATCH]))).all()
                for row in rows:
                    self._change_one(connection, row, wanted, change)
                    names.add(row.conversation_id)
                done += len(rows)
        for name in names:
            self._windows.invalidate(name)
        return Quoted(done, len(names))

    def _change_one(self, connection: Connection, row: Row[Any], wanted: set[int], change: _Change) -> None:
        values = change(json.loads(row.citations), wanted)
        connection.execute(messages.update().where(messages.c.id == row.id).values(**values))
        links = sa.and_(citations_of.c.message_id == row.id, citations_of.c.document_id.in_(wanted))
        if "text" in values:
            connection.execute(citations_of.delete().where(links))
        else:
            connection.execute(citations_of.update().where(links).values(deleted=True))


def _erasable(query: sa.Select[Any], actor: Actor) -> sa.Select[Any]:
    """Return a query over `citations_of` for the answers that `actor` may erase."""
    if actor.person_id is None or actor.may(Permission.PEOPLE):
        return query
    return query.join(messages, messages.c.id == citations_of.c.message_id).join(
        conversations,
        sa.and_(conversations.c.id == messages.c.conversation_id, conversations.c.person_id == actor.person_id),
    )


def _marked(citations: list[dict[str, Any]], wanted: set[int]) -> dict[str, Any]:
    changed = [{**each, "deleted": True} if each["document_id"] in wanted else each for each in citations]
    return {"citations": json.dumps(changed, ensure_ascii=False)}


def _erased(citations: list[dict[str, Any]], wanted: set[int]) -> dict[str, Any]:
    empty = {"document": _("a deleted document"), "quote": "", "heading": [], "sheet": "", "deleted": True}
    changed = [{**each, **empty} if each["document_id"] in wanted else each for each in citations]
    return {
        "text": _("This answer was erased: it was written from a document that was deleted."),
        "citations": json.dumps(changed, ensure_ascii=False),
        "corrections": "[]",
        "feedback_text": "",
    }


def _of(connection: Connection, document_ids: Collection[int]) -> list[int]:
    """Return the ids of the messages that quote any of these documents."""
    found: set[int] = set()
    for part in _parts(sorted(document_ids)):
        query = sa.select(citations_of.c.message_id).where(citations_of.c.document_id.in_(part))
        found.update(connection.scalars(query))
    return sorted(found)


def _parts(ids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), _MOST_IDS):
        yield ids[start : start + _MOST_IDS]
