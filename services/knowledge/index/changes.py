"""How the index in RAM follows what a transaction has changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from services.knowledge.index.segment import HIDDEN, Ids, Vectors
from services.knowledge.index.vector_index import VectorIndex
from services.knowledge.store.dense_index import IndexChanges
from services.knowledge.store.revisions import Switch

# Larger documents are added to the index in slices of so many vectors, which become searchable together.
SLICE_VECTORS = 4096


class ReadVectors(Protocol):
    """Yields (ids, vectors) of at most `batch` of the given chunks at a time, in their order."""

    def __call__(self, ids: Ids, batch: int) -> Iterator[tuple[Ids, Vectors]]: ...


def apply_changes(index: VectorIndex, changes: IndexChanges, read: ReadVectors) -> None:
    """Make the index follow; of each document, searches see all of a change or nothing of it."""
    for regrouping in changes.regroupings:
        index.regroup(regrouping.ids, regrouping.group)
    if changes.removed:
        index.remove(np.concatenate(changes.removed))
    for hidden in changes.hidden:
        _add_hidden(index, hidden, read)
    small = [switch for switch in changes.switches if len(switch.added) <= SLICE_VECTORS and not switch.early]
    if small:
        _replace(index, small, read)
    for switch in changes.switches:
        if len(switch.added) > SLICE_VECTORS or switch.early:
            if not switch.early:
                _add_hidden(index, switch.added, read)
            index.remove(switch.removed)
            index.regroup(switch.added, switch.group)


def _add_hidden(index: VectorIndex, ids: Ids, read: ReadVectors) -> None:
    for found, vectors in read(ids, SLICE_VECTORS):
        if len(found):
            index.add(found, vectors, HIDDEN)


def _replace(index: VectorIndex, switches: Sequence[Switch], read: ReadVectors) -> None:
    added = np.concatenate([switch.added for switch in switches])
    removed = np.concatenate([switch.removed for switch in switches])
    groups = np.concatenate([np.full(len(switch.added), switch.group, np.int64) for switch in switches])
    parts = [vectors for _ids, vectors in read(added, SLICE_VECTORS) if len(vectors)]
    vectors = np.concatenate(parts) if parts else np.empty((0, index.dimension), np.float32)
    index.replace(added, vectors, groups, removed)
