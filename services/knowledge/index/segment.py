"""Immutable segments of the vector index: searches need no lock, writers replace segments."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Self

import faiss
import numpy as np
from numpy.typing import NDArray

# The stubs of FAISS lack its Python conveniences.
_faiss: Any = faiss

Ids = NDArray[np.int64]
Groups = NDArray[np.int32]
Vectors = NDArray[np.float32]
Codes = NDArray[np.uint8]

# Groups of vectors that searches skip: of a disabled document; removed, the space is freed later.
HIDDEN = -1
REMOVED = -2


@dataclass(frozen=True, slots=True)
class Codec:
    """Scalar quantisation to 8 bits: value = low + code / 255 * span, for each dimension.

    `trained` tells whether the ranges come from data; untrained ranges are wide enough for unit vectors of most
    models.
    """

    low: Vectors
    span: Vectors
    trained: bool

    @classmethod
    def wide(cls, dimension: int) -> Self:
        """Return a codec without data: 8 standard deviations of a random unit vector's components, at most -1 to 1."""
        reach = min(1.0, 8.0 / dimension**0.5)
        return cls(np.full(dimension, -reach, np.float32), np.full(dimension, 2 * reach, np.float32), trained=False)

    @classmethod
    def from_data(cls, vectors: Vectors) -> Self:
        """Return a codec with the ranges of `vectors` (n, d) and a margin of a tenth on both sides."""
        low, high = vectors.min(axis=0), vectors.max(axis=0)
        margin = np.maximum((high - low) * 0.1, 1e-4)
        return cls(low - margin, high - low + 2 * margin, trained=True)

    def index(self) -> Any:
        """Return an empty FAISS index with these ranges."""
        dimension = len(self.low)
        index = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
        faiss.copy_array_to_vector(np.concatenate([self.low, self.span]), index.sq.trained)
        index.is_trained = True
        return index

    def encode(self, vectors: Vectors) -> Codes:
        """Return the codes of `vectors` (n, d), uint8 (n, d)."""
        codes: Codes = self.index().sa_encode(np.ascontiguousarray(vectors, dtype=np.float32))
        return codes


@dataclass(frozen=True, slots=True)
class Segment:
    """Codes in a FAISS index with their ids, ascending, and groups; `live` of them are not removed."""

    index: Any
    ids: Ids
    groups: Groups
    live: int
    all_searchable: bool

    @classmethod
    def build(cls, codec: Codec, ids: Ids, groups: Groups, codes: Codes) -> Self:
        """Return a new segment; the FAISS index allocates exactly what the codes need."""
        index = codec.index()
        order = np.argsort(ids, kind="stable")
        if not np.array_equal(order, np.arange(len(ids))):
            ids, groups, codes = ids[order], groups[order], codes[order]
        index.add_sa_codes(np.ascontiguousarray(codes))
        return cls(index, np.ascontiguousarray(ids), *_with_counts(np.ascontiguousarray(groups)))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def bytes(self) -> int:
        return int(self.index.codes.size()) + self.ids.nbytes + self.groups.nbytes

    @property
    def codes(self) -> Codes:
        """A view of the codes, uint8 (n, d); valid as long as the segment is."""
        flat = faiss.rev_swig_ptr(self.index.codes.data(), self.index.codes.size())
        codes: Codes = flat.reshape(len(self.ids), -1)
        return codes

    def ranges(self) -> list[tuple[int, int]]:
        """Return the memory ranges of codes, ids and groups: (address, length in bytes)."""
        return [(array.ctypes.data, array.nbytes) for array in (self.codes, self.ids, self.groups)]

    def positions(self, ids: Ids) -> NDArray[np.intp]:
        """Return the positions of those of `ids` (ascending) that are in this segment and not removed."""
        first, last = np.searchsorted(ids, [self.ids[0], self.ids[-1] + 1])
        wanted = ids[first:last]
        positions = np.searchsorted(self.ids, wanted)
        found: NDArray[np.intp] = positions[self.ids[positions] == wanted]
        present: NDArray[np.intp] = found[self.groups[found] != REMOVED]
        return present

    def live_entries(self) -> tuple[Ids, Groups, Codes]:
        """Return (ids, groups, codes) of the entries that are not removed."""
        live = self.groups != REMOVED
        return self.ids[live], self.groups[live], self.codes[live]

    def with_groups(self, positions: NDArray[np.intp], groups: Groups | int) -> Self:
        """Return a copy with other groups at `positions`; codes and ids are shared."""
        changed = self.groups.copy()
        changed[positions] = groups
        changed, live, all_searchable = _with_counts(changed)
        return replace(self, groups=changed, live=live, all_searchable=all_searchable)

    def search(self, query: Vectors, k: int, groups: Collection[int] | None) -> tuple[Vectors, Ids]:
        """Return (scores, ids), best first, at most k; `query` is (1, d)."""
        parameters = None
        if groups is not None or not self.all_searchable:
            allowed = self.groups >= 0 if groups is None else np.isin(self.groups, list(groups)) & (self.groups >= 0)
            count = int(np.count_nonzero(allowed))
            if not count:
                return np.empty(0, np.float32), np.empty(0, np.int64)
            k = min(k, count)
            bits = np.packbits(allowed, bitorder="little")
            parameters = _faiss.SearchParameters(sel=_faiss.IDSelectorBitmap(bits))
        scores, positions = self.index.search(query, min(k, len(self.ids)), params=parameters)
        return scores[0], self.ids[positions[0]]


def _with_counts(groups: Groups) -> tuple[Groups, int, bool]:
    live = int(np.count_nonzero(groups != REMOVED))
    return groups, live, bool(groups.min(initial=0) >= 0)
