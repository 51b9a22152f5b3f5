"""Collections of documents in the database."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.core.database import Database
from services.core.errors import BadInputError, ConflictError, NotFoundError
from services.core.i18n import _
from services.knowledge.file_names import collection_name
from services.knowledge.store.tables import PRESENT, collections, documents
from services.knowledge.types import Collection

_TWIN = "\x1f"  # names have no control characters (`collection_name`)


class CollectionEnd(StrEnum):
    """What is deleted with a collection."""

    DOCUMENTS = "documents"
    QUOTES = "quotes"  # and the answers that quote its documents


class CollectionStore:
    """Reads and writes collections; there is always at least one. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def existing(self, ids: Iterable[int]) -> set[int]:
        """Return those of `ids` that collections have."""
        with self._database.read() as connection:
            return set(connection.scalars(sa.select(collections.c.id))) & set(ids)

    def all(self) -> list[Collection]:
        """Return all collections, the default one first, then by name."""
        self.default_id()
        count = sa.func.count(documents.c.id)
        query = (
            sa.select(collections.c.id, collections.c.name, count)
            .outerjoin(documents, sa.and_(documents.c.collection_id == collections.c.id, PRESENT))
            .group_by(collections.c.id, collections.c.name)
            .order_by(collections.c.id)
        )
        with self._database.read() as connection:
            found = [Collection(row[0], shown_collection(row[1]), row[2]) for row in connection.execute(query)]
        return [found[0], *sorted(found[1:], key=lambda c: c.name.casefold())]

    def get(self, collection_id: int) -> Collection:
        """Return one collection.

        Raises:
            NotFoundError: there is none with this id.
        """
        for collection in self.all():
            if collection.id == collection_id:
                return collection
        raise collection_not_found()

    def default_id(self) -> int:
        """Return the id of the default collection, the oldest one; it is created when there is none."""
        oldest = sa.select(sa.func.min(collections.c.id))
        with self._database.read() as connection:
            found = connection.scalar(oldest)
        if found is None:
            with self._database.write() as connection:
                found = connection.scalar(oldest)
                if found is None:
                    found = _insert(connection, _("General"))
        return int(found)

    def create(self, name: str, readable: frozenset[int] | None = None) -> int:
        """Create a collection and return its id.

        Raises:
            BadInputError: the name is empty.
            ConflictError: one of the readable collections has the name.
        """
        self.default_id()
        shown = _checked(name)
        with self._database.write() as connection:
            return _insert(connection, _free(connection, shown, readable))

    def begin_end(self, collection_id: int, end: CollectionEnd | None) -> None:
        """Record that a collection is being deleted, or (None) that it is kept: it takes no documents meanwhile.

        What a kill interrupts is found by `ending` and finished at the next start.
        """
        with self._database.write() as connection:
            connection.execute(collections.update().where(collections.c.id == collection_id).values(deleting=end))

    def ending(self) -> list[tuple[int, CollectionEnd]]:
        """Return the collections that are being deleted."""
        query = sa.select(collections.c.id, collections.c.deleting).where(collections.c.deleting.is_not(None))
        with self._database.read() as connection:
            return [(row.id, CollectionEnd(row.deleting)) for row in connection.execute(query)]

    def rename(self, collection_id: int, name: str, readable: frozenset[int] | None = None) -> None:
        """Rename a collection.

        Raises:
            BadInputError, ConflictError: as for `create`.
            NotFoundError: there is none with this id.
        """
        shown = _checked(name)
        with self._database.write() as connection:
            free = _free(connection, shown, readable, itself=collection_id)
            found = connection.execute(collections.update().where(collections.c.id == collection_id).values(name=free))
            if not found.rowcount:
                raise collection_not_found()


def shown_collection(stored: str) -> str:
    """Return a collection's name as people see it."""
    return stored.partition(_TWIN)[0]


def _free(connection: Connection, shown: str, readable: frozenset[int] | None, itself: int = 0) -> str:
    """Return the name to store for one that is shown as `shown`.

    Stored names are unique. Where a collection that may not be read has the name, an error would tell that there is
    one: then both are shown by the same name, and the second is stored with an invisible addition.

    Raises:
        ConflictError: a readable collection has the name.
    """
    bearers = sa.or_(collections.c.name == shown, collections.c.name.startswith(shown + _TWIN, autoescape=True))
    query = sa.select(collections.c.id).where(bearers, collections.c.id != itself)
    ids = set(connection.execute(query).scalars())
    if not ids:
        return shown
    if readable is None or ids & readable:
        raise _taken(shown)
    return f"{shown}{_TWIN}{secrets.token_hex(4)}"


def require_collection(connection: Connection, collection_id: int) -> None:
    """Raise `NotFoundError` unless the collection exists and is not being deleted."""
    query = sa.select(collections.c.id).where(collections.c.id == collection_id, collections.c.deleting.is_(None))
    if connection.scalar(query) is None:
        raise collection_not_found()


def collection_not_found() -> NotFoundError:
    """Return the error for a collection that does not exist."""
    return NotFoundError(_("This collection does not exist any more."), _("Choose another collection."))


def _insert(connection: Connection, name: str) -> int:
    created = collections.insert().values(name=name).returning(collections.c.id)
    return int(connection.execute(created).scalar_one())


def _checked(name: str) -> str:
    shown = collection_name(name)
    if not shown:
        raise BadInputError(_("A collection needs a name."), _("Enter at least one visible character."))
    return shown


def _taken(name: str) -> ConflictError:
    return ConflictError(
        _("There is already a collection named “{name}”.").format(name=name), _("Choose another name.")
    )
