"""Search among vectors in PostgreSQL: this process holds none of them, whatever their number."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import structlog

from services.core.database import Database
from services.core.errors import DatabaseAwayError, UnavailableError
from services.core.i18n import _, plural
from services.core.memory_report import MemoryReport, Owner, Region
from services.knowledge.store.chunks import ChunkStore, Ids, Vectors
from services.knowledge.store.dense_index import DenseIndex, IndexChanges, foreign_vectors_text
from services.knowledge.store.model_changes import ModelChangeStore
from services.knowledge.store.pgvector import require_pgvector
from services.knowledge.store.search_table import Progress, SearchTable, drop_others

log = structlog.get_logger(__name__)

# Up to so many vectors all are compared; and up to this many times the root of how many there are, from where on the
# index has to go through more than those to find enough among them.
EXACT_VECTORS, EXACT_ROOTS = 4000, 20
# Candidates of the index: the least, for each hit that is wanted, and of the root of how many vectors there are: among
# more of them it misses more.
LEAST_CANDIDATES, CANDIDATES_PER_HIT, CANDIDATES_OF_ROOT = 200, 3, 0.4
# Of the time, for counting what can be found while documents change: one part in so many.
_COUNTING_SHARE = 20
_ENTER_SECONDS = 1.0
# An index of so many vectors is built anew rather than filled up with as many again.
_REBUILT_FROM = 5000


class DatabaseIndex:
    """The vectors of one model in a table; thread-safe."""

    def __init__(self, table: SearchTable, exact_vectors: int = EXACT_VECTORS) -> None:
        self.table = table
        self._exact_vectors = exact_vectors
        self._counting = threading.Lock()
        self._counts: dict[int, int] = {}
        self._changed = True
        self._next_count = 0.0

    @property
    def dimension(self) -> int:
        return self.table.dimension

    def __len__(self) -> int:
        return sum(self.counts().values())

    def mark_changed(self) -> None:
        """Record that other vectors can be found from now on."""
        self._changed = True

    def counts(self) -> dict[int, int]:
        """Return how many vectors can be found, by collection; of moments ago while they change all the time."""
        if self._changed and time.monotonic() >= self._next_count and self._counting.acquire(blocking=False):
            try:
                self._changed = False
                began = time.monotonic()
                self._counts = self.table.counts()
                ended = time.monotonic()
                self._next_count = ended + _COUNTING_SHARE * (ended - began)
            except DatabaseAwayError:
                self._changed = True  # whoever needs the database finds out by itself
            finally:
                self._counting.release()
        return self._counts

    def search(self, vector: Vectors, k: int, groups: Collection[int] | None = None) -> tuple[Ids, Vectors]:
        """Return (ids, scores) of the at most k best vectors of the given collections (None: all), best first.

        Scores are cosines with halves of 16 bits.

        Raises:
            UnavailableError: the database does not answer.
        """
        if k <= 0 or (groups is not None and not groups):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        counts = self.counts()
        total = sum(counts.values())
        searched = total if groups is None else sum(counts.get(group, 0) for group in groups)
        query = np.asarray(vector, dtype=np.float32).reshape(-1)
        if searched > max(self._exact_vectors, EXACT_ROOTS * total**0.5):
            candidates = max(LEAST_CANDIDATES, CANDIDATES_PER_HIT * k, round(CANDIDATES_OF_ROOT * total**0.5))
            found = self.table.search(query, k, groups, candidates=candidates)
            if len(found[0]) == k:
                return found
        return self.table.search(query, k, groups, candidates=0)

    def memory_report(self) -> MemoryReport:
        """Return that this process holds none of the vectors, and how many there are."""
        count = len(self)
        return MemoryReport(
            name=_("Vector index"),
            detail=plural("{count} vector, in the database", "{count} vectors, in the database", count),
            bytes=0,
            loads=1,
            attributes={"dimension": str(self.dimension)},
            owner=Owner.INDEX,
            region=Region.ELSEWHERE,
        )


class DatabaseIndexManager:
    """Owns the tables of vectors: the one that serves, and while the corpus changes to another model that one's, too.

    `enter` is called with what takes a while at the start, in words.
    """

    def __init__(
        self,
        database: Database,
        *,
        dimension: int,
        fingerprint: str,
        enter: Callable[[str], object] = lambda _stage: None,
        exact_vectors: int = EXACT_VECTORS,
    ) -> None:
        self._database = database
        self._extension = require_pgvector(database)
        self._exact_vectors = exact_vectors
        self._enter = enter
        self._dimension = dimension
        self.fingerprint = fingerprint
        self.warnings: list[str] = []
        self._index: DatabaseIndex | None = None
        self._before: tuple[str, DatabaseIndex] | None = None

    @property
    def index(self) -> DatabaseIndex:
        """The index that serves; raises UnavailableError before `start`."""
        if self._index is None:
            raise UnavailableError(_("The vector index is not loaded yet."), _("Try again in a moment."))
        return self._index

    @property
    def ready(self) -> bool:
        return self._index is not None

    def index_of(self, fingerprint: str) -> DatabaseIndex:
        """Return the index of a model: the one that serves, or until `forget_before` the one before it."""
        index, before = self.index, self._before
        return before[1] if before is not None and before[0] == fingerprint else index

    def start(self) -> None:
        """Have the table complete and indexed: from the stored vectors, going on where an earlier start has stopped.

        Other nodes that start meanwhile wait. Tables of models that are neither serving nor coming are dropped.

        Raises:
            MillpondError: the database does not answer, or its disk is full; what is written is kept.
        """
        index = self._opened(self.fingerprint, self._dimension)
        table = index.table
        coming = ModelChangeStore(self._database).coming()
        with table.prepared_alone():
            drop_others(self._database, {self.fingerprint, *([coming.fingerprint] if coming is not None else [])})
            table.create()
            missing = table.missing()
            self._complete(table, missing)
        self._index = index
        self._warn_of_foreign_vectors(len(index))
        log.info("vectors are searched in the database", vectors=len(index), written=sum(missing.values()))

    def _complete(self, table: SearchTable, missing: dict[int, int]) -> None:
        count = sum(missing.values())
        if count:
            if count >= _REBUILT_FROM and table.is_indexed and count >= table.rows():
                table.drop_index()
            table.fill(missing, self._entering(_("writing vectors for the search in the database: {done} of {total}")))
        if not table.is_indexed:
            table.build_index(self._entering(_("the database indexes the vectors: {done} of {total}")))

    def _entering(self, text: str) -> Progress:
        last = 0.0

        def enter(done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() >= last + _ENTER_SECONDS or done == total:
                last = time.monotonic()
                self._enter(text.format(done=done, total=total))

        return enter

    def store(self, connection: Any, changes: IndexChanges) -> None:
        """Write the vectors that are added, in the transaction that adds them; what goes, goes with its chunks."""
        added = [*changes.hidden, *(switch.added for switch in changes.switches if not switch.early)]
        if added:
            self.index.table.add(connection, np.concatenate(added))

    def apply(self, changes: IndexChanges) -> None:  # noqa: ARG002 - what is searched is what the database has
        """Nothing but that the counts are others now."""
        self.index.mark_changed()

    def follow(self, touched: Ids) -> int:  # noqa: ARG002 - as above
        """As `apply`: the node that has changed them has written them, too."""
        self.index.mark_changed()
        return 0

    def read_anew(self) -> None:
        """As `apply`."""
        self.index.mark_changed()

    def bytes_needed(self, vectors: int, dimension: int) -> int:  # noqa: ARG002 - as the protocol has it
        """Return 0: they are in the database."""
        return 0

    def build(self, ids: Ids, groups: Ids, fingerprint: str, dimension: int) -> DatabaseIndex:
        """Return an index of the vectors that another model made of these chunks; its table is made and indexed."""
        index = self._opened(fingerprint, dimension)
        index.table.create()
        self.bring_up_to_date(index, ids, groups, fingerprint)
        if not index.table.is_indexed:
            index.table.build_index(lambda _done, _total: None)
        return index

    def bring_up_to_date(self, index: DenseIndex, ids: Ids, groups: Ids, fingerprint: str) -> None:  # noqa: ARG002 - groups are conditions
        """Write what is missing of these chunks; what is gone went with its chunks."""
        _in_database(index).table.fill_chunks(ids)
        _in_database(index).mark_changed()

    def adopt(self, index: DenseIndex, fingerprint: str) -> None:
        """Serve an index that `build` returned; the one before stays for those who search in it."""
        # As in RAM: whoever gets the next one finds the one before there.
        self._before = (self.fingerprint, self.index)
        self._index, self._dimension, self.fingerprint = _in_database(index), index.dimension, fingerprint
        self._index.mark_changed()
        self.warnings = []

    def forget_before(self) -> None:
        """Drop the table of the model before: nobody searches in it any more."""
        before, self._before = self._before, None
        if before is not None:
            before[1].table.drop()

    def close(self) -> None:
        """Nothing: it does nothing in the background."""

    def _opened(self, fingerprint: str, dimension: int) -> DatabaseIndex:
        return DatabaseIndex(
            SearchTable(self._database, self._extension, fingerprint, dimension), exact_vectors=self._exact_vectors
        )

    def _warn_of_foreign_vectors(self, own: int) -> None:
        others = ChunkStore(self._database).searchable_count() - own
        if others > 0:
            self.warnings.append(foreign_vectors_text(others))
            log.warning("chunks of another embedding model", chunks=others)


def _in_database(index: DenseIndex) -> DatabaseIndex:
    if not isinstance(index, DatabaseIndex):
        raise TypeError("an index that is not in the database belongs to another manager")
    return index
