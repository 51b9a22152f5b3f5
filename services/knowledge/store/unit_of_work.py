"""One transaction, and what has to follow it in index, folder and pipeline.

Which state the library is in: a stamp that changes with every change to documents.

The stamp is a random number in the database, drawn anew within each transaction that changes documents: it is right
across restarts, and a data folder that was put back from a copy never repeats a stamp for another state, as a counter
would. Index and folder follow a commit; until they have, the state has no stamp.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from services.core.database import Database
from services.knowledge.file_store import FileStore
from services.knowledge.progress import ProgressBoard
from services.knowledge.store import ChunkStore
from services.knowledge.store.deletions import Regrouping, Removal
from services.knowledge.store.revisions import Switch
from services.knowledge.store.tables import counters

# Up to here a document's vectors reach the index in one step; above, in slices that become searchable together.
SLICE = 4096
_NAME = "library stamp"
_BITS = 62  # fits a signed 64-bit column


class Index(Protocol):
    """What is needed of `VectorIndex`."""

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32], group: NDArray[np.int64] | int) -> None: ...
    def remove(self, ids: NDArray[np.int64]) -> int: ...
    def regroup(self, ids: NDArray[np.int64], group: int) -> None: ...
    def replace(
        self,
        add_ids: NDArray[np.int64],
        vectors: NDArray[np.float32],
        group: NDArray[np.int64] | int,
        remove_ids: NDArray[np.int64],
    ) -> None: ...


class Keeper(Protocol):
    """What is needed of `IndexManager`."""

    @property
    def index(self) -> Index: ...
    def changed(self) -> None: ...


class UnitOfWork:
    """A transaction in progress; what is noted here is done once it is committed."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.switches: list[Switch] = []
        self.regroupings: list[Regrouping] = []
        self.removed: list[NDArray[np.int64]] = []
        self.unneeded: list[str] = []

    def note(self, removal: Removal) -> None:
        """Note what a deletion leaves to be done."""
        self.removed.extend(removal.ids)
        self.unneeded.extend(removal.unneeded)


class DocumentWriter:
    """Runs transactions one at a time together with their consequences, so that the index sees them in that order."""

    def __init__(self, database: Database, files: FileStore, keeper: Keeper, board: ProgressBoard) -> None:
        self._database = database
        self._files = files
        self._keeper = keeper
        self._board = board
        self._chunks = ChunkStore(database)
        self._lock = threading.RLock()
        self.version = LibraryVersion(database)

    @contextmanager
    def change(self) -> Iterator[UnitOfWork]:
        """Yield a transaction; after its commit the index follows and originals that nobody needs are deleted."""
        with self._lock, self.version.changing():
            with self._database.write() as connection:
                change = UnitOfWork(connection)
                yield change
                renew(connection)
            self._follow(change)
        self._files.remove(change.unneeded)
        self._board.changed()

    def _follow(self, change: UnitOfWork) -> None:
        index = self._keeper.index
        for switch in change.switches:
            change.unneeded.extend(switch.unneeded)
        for regrouping in change.regroupings:
            index.regroup(regrouping.ids, regrouping.group)
        if change.removed:
            index.remove(np.concatenate(change.removed))
        small = [switch for switch in change.switches if len(switch.added) <= SLICE]
        if small:
            self._replace(small)
        for switch in change.switches:
            if len(switch.added) > SLICE:
                for ids, vectors in self._chunks.iter_vectors(switch.added, SLICE):
                    index.add(ids, vectors, -1)
                index.remove(switch.removed)
                index.regroup(switch.added, switch.group)
        if change.regroupings or change.removed or change.switches:
            self._keeper.changed()

    def _replace(self, switches: list[Switch]) -> None:
        added = np.concatenate([switch.added for switch in switches])
        removed = np.concatenate([switch.removed for switch in switches])
        groups = np.concatenate([np.full(len(switch.added), switch.group, np.int64) for switch in switches])
        _ids, vectors = self._chunks.vectors(added)
        self._keeper.index.replace(added, vectors, groups, removed)


class LibraryVersion:
    """Tells the library's stamp; thread-safe. One for all who change documents of a database in this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._changing = 0

    def current(self) -> int | None:
        """Return the stamp of the present state, None while index or folder still follow a change."""
        if self._changing:
            return None
        with self._database.read() as connection:
            found = connection.scalar(sa.select(counters.c.value).where(counters.c.name == _NAME))
        # A change that began meanwhile may have been read half: its row, but not yet its index.
        return None if self._changing else int(found or 0)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Have no stamp meanwhile: from before the commit until everything has followed it."""
        with self._lock:
            self._changing += 1
        try:
            yield
        finally:
            with self._lock:
                self._changing -= 1


def renew(connection: Connection) -> None:
    """Draw a new stamp, as part of a transaction."""
    value = secrets.randbits(_BITS) + 1
    changed = connection.execute(counters.update().where(counters.c.name == _NAME).values(value=value))
    if not changed.rowcount:
        connection.execute(counters.insert().values(name=_NAME, value=value))
