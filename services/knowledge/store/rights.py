"""Which documents somebody may read or change. Whoever may not read one is told the same as if there were none.

A missing document and an unreadable one take the same way: one query by its id and the readable collections.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.core.actor import AccessLevel, Actor, Permission
from services.core.errors import ForbiddenError, NotFoundError
from services.core.i18n import _
from services.knowledge import types
from services.knowledge.store.chunks import IDS_PER_QUERY
from services.knowledge.store.collections import collection_not_found
from services.knowledge.store.tables import documents

Readable = frozenset[int] | None
"""The collections that may be read; None for all there are."""


def only_readable(query: sa.Select[Any], readable: Readable) -> sa.Select[Any]:
    """Return a query over `documents` that finds those of the readable collections alone."""
    return query if readable is None else query.where(documents.c.collection_id.in_(sorted(readable)))


def document_not_found() -> NotFoundError:
    """Return the error for a document that does not exist, or that the caller may not read."""
    return NotFoundError(_("This document does not exist any more."))


def collections_of(connection: Connection, document_ids: Iterable[int], readable: Readable) -> dict[int, int]:
    """Return the collection of each of these documents, by its id, without those that are missing or unreadable."""
    wanted = list(dict.fromkeys(document_ids))
    found: dict[int, int] = {}
    for start in range(0, len(wanted), IDS_PER_QUERY):
        part = documents.c.id.in_(wanted[start : start + IDS_PER_QUERY])
        query = only_readable(sa.select(documents.c.id, documents.c.collection_id).where(part), readable)
        found.update((row[0], row[1]) for row in connection.execute(query))
    return found


def writable(connection: Connection, actor: Actor, document_ids: Sequence[int], action: str) -> list[int]:
    """Return those of the documents that there are for `actor`, in their order.

    Raises:
        ForbiddenError: one of them may be read, but not changed; `action` says in words what was refused.
    """
    homes = collections_of(connection, document_ids, actor.readable())
    for collection_id in sorted(set(homes.values())):
        actor.require_level(collection_id, AccessLevel.WRITE, action)
    return [document_id for document_id in document_ids if document_id in homes]


def require_document(connection: Connection, actor: Actor, document_id: int, action: str) -> None:
    """Return if a document may be changed.

    Raises:
        NotFoundError: there is none, or it may not be read.
        ForbiddenError: it may be read, but not changed.
    """
    if not writable(connection, actor, [document_id], action):
        raise document_not_found()


def require_collection_level(actor: Actor, collection_id: int, level: AccessLevel, action: str) -> None:
    """Return if a level is reached in a collection, which need not exist.

    Raises:
        NotFoundError: it may not be read; the same error as for one that does not exist.
        ForbiddenError: it may be read, but not this.
    """
    if actor.level(collection_id) < AccessLevel.READ:
        raise collection_not_found()
    actor.require_level(collection_id, level, action)


def first_writable(actor: Actor, collections: Sequence[types.Collection]) -> types.Collection:
    """Return the first collection that `actor` may add documents to.

    Raises:
        ForbiddenError: there is none.
    """
    for each in collections:
        if actor.level(each.id) >= AccessLevel.WRITE:
            return each
    actor.require(Permission.WRITE, _("Add documents"))
    raise ForbiddenError(_("There is no collection that you may add documents to."), _("Ask somebody who manages one."))


def unchangeable(connection: Connection, actor: Actor, document_ids: Collection[int]) -> set[int]:
    """Return those of the documents in whose collection `actor` may change nothing."""
    if may_change_everything(actor):
        return set()
    homes = collections_of(connection, document_ids, None)
    return {each for each, collection in homes.items() if actor.level(collection) < AccessLevel.WRITE}


def may_change_everything(actor: Actor) -> bool:
    """Return whether `actor` may change the documents of all collections."""
    return actor.rights.everywhere >= AccessLevel.WRITE and actor.may(Permission.WRITE)
