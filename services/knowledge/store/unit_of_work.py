"""Unit of work: one transaction together with its consequences in vector index, file store and library version.

The library version is a random number in the database, drawn within each transaction that changes documents: it holds
across restarts, and a data folder restored from a backup never repeats a version for another state, as a counter
would. Index and file store follow a commit; until they have, there is no version.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from services.core.database import Database
from services.core.errors import DatabaseAwayError
from services.knowledge.files.file_store import FileStore
from services.knowledge.progress import ProgressBoard
from services.knowledge.store import ChunkStore
from services.knowledge.store.deletions import Removal, names_in_use
from services.knowledge.store.documents import Regrouping
from services.knowledge.store.left_over import drop_portion, left_over_revisions
from services.knowledge.store.revisions import Switch
from services.knowledge.store.tables import counters

if TYPE_CHECKING:
    from services.knowledge.index import IndexManager

# Larger documents are added to the index in slices of so many vectors, which become searchable together.
SLICE_VECTORS = 4096
_NAME = "library stamp"
_BITS = 62  # fits a signed 64-bit column


class UnitOfWork:
    """A transaction in progress; the changes recorded here are applied to index and files after its commit."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.switches: list[Switch] = []
        self.regroupings: list[Regrouping] = []
        self.removed: list[NDArray[np.int64]] = []
        self.hidden: list[NDArray[np.int64]] = []  # vectors to add that no search finds yet
        self.unneeded: list[str] = []
        self.left_over: list[int] = []  # revisions to be deleted in portions
        self.dropped: list[int] = []  # those of which nothing is left
        self.gone: dict[int, str] = {}
        self.homes: dict[int, int] = {}

    def record(self, removal: Removal) -> None:
        """Record the vectors and originals to remove after the commit of a deletion."""
        self.removed.extend(removal.ids)
        self.unneeded.extend(removal.unneeded)
        self.left_over.extend(removal.left_over)
        self.gone |= removal.gone
        self.homes |= removal.homes

    @property
    def removes(self) -> bool:
        """Whether content that was searchable is gone after the commit."""
        return bool(self.removed or self.gone or any(len(switch.removed) for switch in self.switches))


@dataclass(frozen=True, slots=True)
class Gone:
    """What is gone with a commit: documents with the collections that they were in, both by id, and those of their
    names that no other document bears.

    Without either it is the text of a document that was replaced by another version.
    """

    documents: Mapping[int, int] = field(default_factory=dict)
    names: tuple[str, ...] = ()


class DocumentWriter:
    """Runs units of work one at a time, so that the index sees changes in the order of their commits. Thread-safe."""

    def __init__(self, database: Database, files: FileStore, index_manager: IndexManager, board: ProgressBoard) -> None:
        self._database = database
        self._files = files
        self._index_manager = index_manager
        self._board = board
        self._chunks = ChunkStore(database)
        self._lock = threading.RLock()
        self.version = LibraryVersion(database)
        self._listeners: list[Callable[[Gone], None]] = []
        self._left_over: deque[int] = deque()

    @property
    def has_left_over(self) -> bool:
        """Whether large revisions are to be deleted in portions."""
        return bool(self._left_over)

    def drop_left_over(self) -> None:
        """Delete a portion of what deletions have left."""
        with self.transaction() as unit:
            if self._left_over:
                revision = self._left_over[0]
                dropped = drop_portion(unit.connection, revision)
                unit.unneeded.extend(dropped.unneeded)
                if not dropped.left:
                    unit.dropped.append(revision)

    def find_left_over(self) -> None:
        """Find what a kill has left, at the start."""
        with self._database.read() as connection:
            self._left_over.extend(left_over_revisions(connection))

    def on_gone(self, listener: Callable[[Gone], None]) -> None:
        """Call `listener` after each commit with which content is gone, so that others erase what they have of it."""
        self._listeners.append(listener)

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Keep units of work waiting, and have no library version meanwhile: the model and its index are replaced."""
        with self._lock, self.version.changing():
            yield

    @contextmanager
    def transaction(self) -> Iterator[UnitOfWork]:
        """Yield a unit of work; after its commit the index is updated and unneeded originals are deleted."""
        with self._lock, self.version.changing():
            self._read_anew_if_unsure()
            try:
                with self._database.write() as connection:
                    unit = UnitOfWork(connection)
                    yield unit
                    names = {*unit.gone.values()}
                    gone = Gone(unit.homes, (*sorted(names - names_in_use(connection, names)),))
                    renew_version(connection)
                self._update_index(unit)
            except DatabaseAwayError:
                self.version.unsure = True  # whether it was committed, or how far the index has followed
                raise
        self._files.remove(unit.unneeded)
        if unit.removes:
            for listener in self._listeners:
                listener(gone)
        self._board.mark_changed()

    def settle(self) -> None:
        """Make the index what the database says, where the database went away in the middle of a change."""
        if self.version.unsure:
            with suppress(DatabaseAwayError), self._lock, self.version.changing():
                self._read_anew_if_unsure()

    def _read_anew_if_unsure(self) -> None:
        if self.version.unsure:
            self._index_manager.read_anew()
            self.version.unsure = False

    def _update_index(self, unit: UnitOfWork) -> None:
        index = self._index_manager.index
        for revision in unit.dropped:
            self._left_over.remove(revision)
        self._left_over.extend(unit.left_over)
        for switch in unit.switches:
            unit.unneeded.extend(switch.unneeded)
            if switch.left_over is not None:
                self._left_over.append(switch.left_over)
        for regrouping in unit.regroupings:
            index.regroup(regrouping.ids, regrouping.group)
        if unit.removed:
            index.remove(np.concatenate(unit.removed))
        for hidden in unit.hidden:
            self._add_hidden(hidden)
        small = [switch for switch in unit.switches if len(switch.added) <= SLICE_VECTORS and not switch.early]
        if small:
            self._replace(small)
        for switch in unit.switches:
            if len(switch.added) > SLICE_VECTORS or switch.early:
                if not switch.early:
                    self._add_hidden(switch.added)
                index.remove(switch.removed)
                index.regroup(switch.added, switch.group)
        if unit.regroupings or unit.removed or unit.switches:
            self._index_manager.mark_dirty(removed=unit.removes)

    def _add_hidden(self, ids: NDArray[np.int64]) -> None:
        for found, vectors in self._chunks.iter_vectors(ids, SLICE_VECTORS, self._index_manager.fingerprint):
            if len(found):
                self._index_manager.index.add(found, vectors, -1)

    def _replace(self, switches: list[Switch]) -> None:
        added = np.concatenate([switch.added for switch in switches])
        removed = np.concatenate([switch.removed for switch in switches])
        groups = np.concatenate([np.full(len(switch.added), switch.group, np.int64) for switch in switches])
        _ids, vectors = self._chunks.vectors(added, self._index_manager.fingerprint)
        self._index_manager.index.replace(added, vectors, groups, removed)


class LibraryVersion:
    """The version of the library's content; thread-safe. Shared by all writers of a database in this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._changing = 0
        self.unsure = False  # whether index and database agree

    def current(self) -> int | None:
        """Return the version of the present state, None while index or file store still follow a change."""
        if self._changing or self.unsure:
            return None
        with self._database.read() as connection:
            found = connection.scalar(sa.select(counters.c.value).where(counters.c.name == _NAME))
        # A change that started meanwhile may be visible in the database, but not yet in the index.
        return None if self._changing or self.unsure else int(found or 0)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Have no version meanwhile: from before the commit until everything has followed it."""
        with self._lock:
            self._changing += 1
        try:
            yield
        finally:
            with self._lock:
                self._changing -= 1


def renew_version(connection: Connection) -> None:
    """Draw a new library version, as part of a transaction."""
    value = secrets.randbits(_BITS) + 1
    changed = connection.execute(counters.update().where(counters.c.name == _NAME).values(value=value))
    if not changed.rowcount:
        connection.execute(counters.insert().values(name=_NAME, value=value))
