"""Collections of documents in the database."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from services.core.database import Database
from services.core.errors import BadInputError, ConflictError, NotFoundError
from services.core.i18n import _
from services.knowledge.file_names import collection_name
from services.knowledge.store.tables import PRESENT, collections, documents
from services.knowledge.types import Collection


class CollectionEnd(StrEnum):
    """What is deleted with a collection."""

    DOCUMENTS = "documents"
    QUOTES = "quotes"  # and the answers that quote its documents


class CollectionStore:
    """Reads and writes collections; there is always at least one. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
            found = [Collection(*row) for row in connection.execute(query)]
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

    def create(self, name: str) -> int:
        """Create a collection and return its id.

        Raises:
            BadInputError: the name is empty.
            ConflictError: the name is taken.
        """
        self.default_id()
        shown = _checked(name)
        try:
            with self._database.write() as connection:
                return _insert(connection, shown)
        except IntegrityError as error:
            raise _taken(shown) from error

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

    def rename(self, collection_id: int, name: str) -> None:
        """Rename a collection.

        Raises:
            BadInputError, ConflictError: as for `create`.
            NotFoundError: there is none with this id.
        """
        shown = _checked(name)
        try:
            with self._database.write() as connection:
                found = connection.execute(
                    collections.update().where(collections.c.id == collection_id).values(name=shown)
                )
                if not found.rowcount:
                    raise collection_not_found()
        except IntegrityError as error:
            raise _taken(shown) from error


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
