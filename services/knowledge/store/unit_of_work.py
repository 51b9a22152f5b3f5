"""Unit of work: one transaction together with its consequences in vector index, file store and library version.

The library version is a random number in the database, drawn within each transaction that changes documents: it holds
across restarts, and a data folder restored from a backup never repeats a version for another state, as a counter
would. Index and file store follow a commit; until they have, there is no version.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from services.core.database import Database
from services.core.database.change_log import Topic, newest, record
from services.core.errors import DatabaseAwayError
from services.knowledge.files.file_store import FileStore
from services.knowledge.progress import ProgressBoard
from services.knowledge.store.deletions import Removal, names_in_use
from services.knowledge.store.documents import Regrouping
from services.knowledge.store.left_over import drop_portion, left_over_revisions
from services.knowledge.store.revisions import Switch
from services.knowledge.store.tables import counters

if TYPE_CHECKING:
    from services.knowledge.store.dense_index import DenseIndexManager

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

    def touched(self) -> list[NDArray[np.int64]]:
        """Return the chunks of which the indexes of other nodes are behind after the commit."""
        switched = [ids for switch in self.switches for ids in (switch.added, switch.removed)]
        return [*self.removed, *(regrouping.ids for regrouping in self.regroupings), *switched]

    @property
    def removes(self) -> bool:
        """Whether content that was searchable is gone after the commit."""
        return bool(self.removed or self.gone or any(len(switch.removed) for switch in self.switches))


@dataclass(frozen=True, slots=True)
class Gone:
    """What is gone with a commit: documents with the collections that they were in, both by id, and those of their
    names that no other document bears.

    Without either it is the text of a document that was replaced by another version. `elsewhere`: another node deleted
    it, and erases what all nodes share.
    """

    documents: Mapping[int, int] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    elsewhere: bool = False


class DocumentWriter:
    """Runs units of work one at a time, so that the index sees changes in the order of their commits. Thread-safe."""

    def __init__(
        self, database: Database, files: FileStore, index_manager: DenseIndexManager, board: ProgressBoard
    ) -> None:
        self._database = database
        self._files = files
        self._index_manager = index_manager
        self._board = board
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
        """Find what a kill has left, at the start and when another node was taken over."""
        with self._database.read() as connection:
            found = left_over_revisions(connection)
        with self._lock:
            self._left_over.extend(revision for revision in found if revision not in self._left_over)

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
                    self._index_manager.store(connection, unit)
                    renew_version(connection)
                    self._tell_others(connection, unit, gone)
                self._update_index(unit)
            except DatabaseAwayError:
                self.version.unsure = True  # whether it was committed, or how far the index has followed
                raise
        self._files.remove(unit.unneeded)
        if unit.removes:
            for listener in self._listeners:
                listener(gone)
        self._board.mark_changed()

    def follow(self, told: Sequence[Any]) -> None:
        """Have the index follow what other nodes have told with `Topic.INDEX`; some of it may be known already."""
        touched = ids_of(chain.from_iterable(each["chunks"] for each in told))
        with self._lock, self.version.changing():
            self._read_anew_if_unsure()
            if len(touched):
                self._index_manager.follow(touched)
        self._files.drop_copies([name for each in told for name in each["files"]])
        gone = [each["gone"] for each in told if each["gone"] is not None]
        for documents, names in gone:
            for listener in self._listeners:
                listener(Gone({int(document): home for document, home in documents}, tuple(names), elsewhere=True))
        self._board.mark_changed()

    def read_anew(self) -> None:
        """Make the index what the database says: this node has missed what others did."""
        self.version.unsure = True
        self.settle()

    def _tell_others(self, connection: Connection, unit: UnitOfWork, gone: Gone) -> None:
        if not self._database.node:
            return
        content = {
            "chunks": runs_of(unit.touched()),
            "gone": [[*gone.documents.items()], [*gone.names]] if unit.removes else None,
            "files": [*unit.unneeded, *chain.from_iterable(switch.unneeded for switch in unit.switches)],
        }
        if any(content.values()):
            record(self._database, connection, Topic.INDEX, content)
        elif not unit.hidden:
            record(self._database, connection, Topic.QUEUE)

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
        for revision in unit.dropped:
            self._left_over.remove(revision)
        self._left_over.extend(unit.left_over)
        for switch in unit.switches:
            unit.unneeded.extend(switch.unneeded)
            if switch.left_over is not None:
                self._left_over.append(switch.left_over)
        self._index_manager.apply(unit)


class LibraryVersion:
    """The version of the library's content; thread-safe. Shared by all writers of a database in this process.

    `followed` returns the last change of other nodes that the index has followed.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.followed: Callable[[], int] = lambda: 0
        self._lock = threading.Lock()
        self._changing = 0
        self.unsure = False  # whether index and database agree

    def current(self) -> int | None:
        """Return the version of the present state, None while index or file store still follow a change."""
        if self._changing or self.unsure:
            return None
        node = self._database.node
        with self._database.read() as connection:
            found = connection.scalar(sa.select(counters.c.value).where(counters.c.name == _NAME))
            if node and newest(connection, topic=Topic.INDEX, besides=node) > self.followed():
                return None
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


def runs_of(ids: Sequence[NDArray[np.int64]]) -> list[list[int]]:
    """Return first and last id of each run of chunks: those of a document have ids in a row."""
    if not ids:
        return []
    ordered = np.unique(np.concatenate(ids))
    if not len(ordered):
        return []
    breaks = np.flatnonzero(np.diff(ordered) != 1)
    firsts = ordered[np.concatenate([[0], breaks + 1])]
    lasts = ordered[np.concatenate([breaks, [len(ordered) - 1]])]
    return [[int(first), int(last)] for first, last in zip(firsts, lasts, strict=True)]


def ids_of(runs: Iterable[Sequence[int]]) -> NDArray[np.int64]:
    """Return the ids in runs, ordered, each once."""
    parts = [np.arange(first, last + 1, dtype=np.int64) for first, last in runs]
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int64)


def renew_version(connection: Connection) -> None:
    """Draw a new library version, as part of a transaction."""
    value = secrets.randbits(_BITS) + 1
    changed = connection.execute(counters.update().where(counters.c.name == _NAME).values(value=value))
    if not changed.rowcount:
        connection.execute(counters.insert().values(name=_NAME, value=value))
