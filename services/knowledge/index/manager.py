"""Life cycle of the vector index: load, reconcile with the database, save snapshots."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from services.core.errors import StorageError, UnavailableError
from services.core.events import EventKind, EventSink, NullEventSink
from services.core.i18n import _
from services.core.settings import Settings
from services.knowledge.index.changes import apply_changes
from services.knowledge.index.segment import Codec, Ids, Vectors
from services.knowledge.index.snapshots import IndexSnapshotStore
from services.knowledge.index.vector_index import TRAINING_VECTORS, VectorIndex
from services.knowledge.store.dense_index import DenseIndex, IndexChanges, foreign_vectors_text

log = structlog.get_logger(__name__)

# Vectors of deleted chunks leave the disk so soon, 10 s later at the latest while saving takes less than 3 s.
_ERASURE_SECONDS = 3.0
_SHARE_OF_SAVING = 2.0
_BYTES_BESIDE_CODES = 16  # of a vector: its id and group


class VectorSource(Protocol):
    """What is needed of `ChunkStore`."""

    def active_ids(self, fingerprint: str | None = None) -> tuple[Ids, Ids]: ...
    def active_among(self, ids: Ids, fingerprint: str) -> tuple[Ids, Ids]: ...
    def iter_vectors(
        self, ids: NDArray[np.int64], batch: int = 4096, fingerprint: str | None = None
    ) -> Iterator[tuple[Ids, Vectors]]: ...


class IndexManager:
    """Owns the index of the process; while the corpus changes to another model, for a moment both.

    Writers of the index call `mark_dirty`; a thread saves it at most `snapshot_seconds` later, so that many changes
    share one snapshot. A snapshot may be behind the database: the difference is replayed at the next start.
    """

    def __init__(
        self,
        chunks: VectorSource,
        *,
        dimension: int,
        fingerprint: str,
        snapshots: IndexSnapshotStore,
        settings: Settings,
        reporter: EventSink | None = None,
    ) -> None:
        self._chunks = chunks
        self._reporter = reporter or NullEventSink()
        self._dimension = dimension
        self.fingerprint = fingerprint
        self._snapshots = snapshots
        self._seconds = settings.snapshot_seconds
        self._index: VectorIndex | None = None
        self._before: tuple[str, VectorIndex] | None = None  # of the model before, until nobody uses it
        self.warnings: list[str] = []
        self._wake = threading.Condition()
        self._dirty = False
        self._removed = False
        self._save_seconds = 0.0
        self._closing = False
        self._flushing = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def index(self) -> VectorIndex:
        """The index; the same object until the corpus changes to another model.

        Raises:
            UnavailableError: before `start`.
        """
        if self._index is None:
            raise UnavailableError(_("The vector index is not loaded yet."), _("Try again in a moment."))
        return self._index

    @property
    def ready(self) -> bool:
        """Whether the index is loaded and reconciled with the database."""
        return self._index is not None

    def index_of(self, fingerprint: str) -> VectorIndex:
        """Return the index of a model: the one that serves, or until `forget_before` the one before it.

        Raises:
            UnavailableError: before `start`.
        """
        # `adopt` keeps the one before first: whoever gets the next one here finds it there.
        index, before = self.index, self._before
        return before[1] if before is not None and before[0] == fingerprint else index

    def build(self, ids: Ids, groups: Ids, fingerprint: str, dimension: int) -> VectorIndex:
        """Return an index of the vectors that another model made of these chunks; the present one stays as it is."""
        index = self._empty(ids, fingerprint, dimension)
        self.reconcile(index, ids, groups, fingerprint)
        return index

    def bytes_needed(self, vectors: int, dimension: int) -> int:
        """Return how much memory an index of so many vectors takes: codes, ids, groups."""
        return vectors * (dimension + _BYTES_BESIDE_CODES)

    def bring_up_to_date(self, index: DenseIndex, ids: Ids, groups: Ids, fingerprint: str) -> None:
        """Make an index that `build` returned hold exactly these chunks."""
        self.reconcile(_in_ram(index), ids, groups, fingerprint)

    def adopt(self, index: DenseIndex, fingerprint: str) -> None:
        """Serve an index that `build` returned; the one before stays for those who search in it, until `forget_before`.

        Snapshots of the model before are deleted with the next one.
        """
        with self._flushing:
            self._before = (self.fingerprint, self.index)
            self._index, self._dimension, self.fingerprint = _in_ram(index), index.dimension, fingerprint
            self.warnings = []
        self.mark_dirty(removed=True)

    def forget_before(self) -> None:
        """Let the index of the model before go: nobody searches in it any more."""
        before, self._before = self._before, None
        if before is not None:
            before[1].close()

    def start(self) -> None:
        """Load the newest valid snapshot, replay the database's changes since, and start the thread that saves."""
        loaded, warnings = self._snapshots.load(self._dimension, self.fingerprint)
        for warning in warnings:
            log.warning("index snapshot set aside", reason=warning)
            self._reporter.event(EventKind.DAMAGE, warning)
        self.warnings += warnings
        ids, groups = self._chunks.active_ids(self.fingerprint)
        index = loaded or self._empty(ids, self.fingerprint, self._dimension)
        replayed = self.reconcile(index, ids, groups, self.fingerprint)
        self._warn_of_foreign_vectors(len(ids))
        self._index = index
        log.info("index loaded", vectors=len(index), replayed=replayed, from_snapshot=loaded is not None)
        if replayed or (loaded is None and len(index)):
            self.mark_dirty()
        self._thread = threading.Thread(target=self._save_periodically, name="index-snapshots", daemon=True)
        self._thread.start()

    def read_anew(self) -> None:
        """Make the index what the database says: it may have missed a change. Writers wait meanwhile."""
        ids, groups = self._chunks.active_ids(self.fingerprint)
        held, of_group = self.index.members()
        hidden = np.setdiff1d(held[of_group < 0], ids)  # of files that are being stored
        ids = np.concatenate([ids, hidden])
        groups = np.concatenate([groups, np.full(len(hidden), -1, np.int64)])
        order = np.argsort(ids)
        changed = self.reconcile(self.index, ids[order], groups[order], self.fingerprint)
        log.warning("index read anew", changed=changed)
        if changed:
            self.mark_dirty(removed=True)

    def store(self, connection: object, changes: IndexChanges) -> None:
        """Nothing: the index is not in the database."""

    def apply(self, changes: IndexChanges) -> None:
        """Follow changes that were committed; they are in the next snapshot."""
        apply_changes(self.index, changes, partial(self._chunks.iter_vectors, fingerprint=self.fingerprint))
        if changes.regroupings or changes.removed or changes.switches:
            self.mark_dirty(removed=changes.removes)

    def follow(self, touched: Ids) -> int:
        """Make those of some chunks what the database says that another node has changed; return how many changed.

        Writers wait meanwhile. `touched` is int64 (n,), ordered; some may be as the database says already.
        """
        ids, groups = self._chunks.active_among(touched, self.fingerprint)
        changed = self.reconcile(self.index, ids, groups, self.fingerprint, among=touched)
        if changed:
            self.mark_dirty(removed=len(ids) < len(touched))
        return changed

    def mark_dirty(self, *, removed: bool = False) -> None:
        """Record that the index changed since the last snapshot.

        With `removed` vectors are gone that older snapshots have: a new one is saved within seconds, the older ones are
        deleted.
        """
        with self._wake:
            self._dirty = True
            self._removed |= removed
            self._wake.notify_all()

    def flush(self) -> bool:
        """Save the index now if it changed; return whether every change is saved."""
        with self._flushing:
            with self._wake:
                if not self._dirty:
                    return True
                self._dirty = False
                removed, self._removed = self._removed, False
            started = time.monotonic()
            if self.index.wants_training:
                self.index.retrain(partial(self._chunks.iter_vectors, fingerprint=self.fingerprint))
                log.info("index retrained", vectors=len(self.index))
            try:
                generation = self._snapshots.save(self.index, self.fingerprint, alone=removed)
            except StorageError as error:
                log.warning("index not saved", reason=str(error))
                self.mark_dirty(removed=removed)
                return False
            vectors, seconds = len(self.index), time.monotonic() - started
            self._save_seconds = seconds
            log.info("index saved", generation=generation, vectors=vectors)
            text = _("index snapshot {generation}").format(generation=generation)
            self._reporter.event(EventKind.SNAPSHOT, text, vectors=vectors, seconds=seconds)
            return True

    def close(self) -> None:
        """Stop the thread and save unsaved changes."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._index is not None:
            self.flush()
            self._index.close()

    def _save_periodically(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._dirty or self._closing)
                # More changes are likely to follow the first one: they go into the same snapshot.
                if self._wake.wait_for(lambda: self._closing or self._removed, self._seconds):
                    if self._closing:
                        return
                    # An index that takes long to save is not saved all the time because documents are being deleted.
                    pause = max(_ERASURE_SECONDS, _SHARE_OF_SAVING * self._save_seconds)
                    if self._wake.wait_for(lambda: self._closing, min(pause, self._seconds)):
                        return
            self.flush()

    def _empty(self, ids: Ids, fingerprint: str, dimension: int) -> VectorIndex:
        """Return an empty index with a codec trained on a sample of the vectors of `ids`."""
        if len(ids) < TRAINING_VECTORS:
            return VectorIndex(dimension)
        sample = ids[:: max(1, len(ids) // (4 * TRAINING_VECTORS))]
        read = self._chunks.iter_vectors(sample, fingerprint=fingerprint)
        parts = [vectors for _ids, vectors in read if len(vectors)]
        return VectorIndex(dimension, Codec.from_data(np.concatenate(parts)))

    def reconcile(
        self, index: VectorIndex, ids: Ids, groups: Ids, fingerprint: str, *, among: Ids | None = None
    ) -> int:
        """Make an index hold exactly `ids` in `groups`, of those `among` others; return how many vectors changed."""
        held_ids, held_groups = index.members()
        if among is not None:
            of_these = np.isin(held_ids, among, assume_unique=True)
            held_ids, held_groups = held_ids[of_these], held_groups[of_these]
        gone = np.setdiff1d(held_ids, ids, assume_unique=True)
        index.remove(gone)
        missing = ~np.isin(ids, held_ids, assume_unique=True)
        missing_ids, missing_groups = ids[missing], groups[missing]
        for found, vectors in self._chunks.iter_vectors(missing_ids, fingerprint=fingerprint):
            if len(found):
                # What others have stored becomes searchable together.
                of_found = missing_groups[np.searchsorted(missing_ids, found)]
                index.add(found, vectors, of_found if among is None else -1)
        if among is not None:
            for group in np.unique(missing_groups):
                index.regroup(missing_ids[missing_groups == group], int(group))
        common = np.isin(held_ids, ids, assume_unique=True)
        kept_ids, kept_groups = held_ids[common], held_groups[common]
        wanted = groups[np.searchsorted(ids, kept_ids)]
        moved = kept_groups != wanted
        for group in np.unique(wanted[moved]):
            index.regroup(kept_ids[moved & (wanted == group)], int(group))
        return len(gone) + len(missing_ids) + int(np.count_nonzero(moved))

    def _warn_of_foreign_vectors(self, own: int) -> None:
        others = len(self._chunks.active_ids()[0]) - own
        if others:
            self.warnings.append(foreign_vectors_text(others))
            log.warning("chunks of another embedding model", chunks=others)


def _in_ram(index: DenseIndex) -> VectorIndex:
    if not isinstance(index, VectorIndex):
        raise TypeError("an index that is not in RAM belongs to another manager")
    return index
