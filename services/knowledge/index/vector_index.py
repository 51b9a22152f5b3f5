"""The vector index in RAM: 8-bit scalar quantisation, exhaustive search, concurrent with writes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import faiss
import numpy as np

from services.core.i18n import _, plural
from services.core.machine import usable_cores
from services.core.memory_report import MemoryReport, Owner, Region
from services.knowledge.index.segment import REMOVED, Codec, Codes, Groups, Ids, Segment, Vectors

# Adding copies the last segment (3 MB at 384 dimensions), searching visits each: this size balances the two.
SEGMENT_VECTORS = 8192
# The codec is trained from this many vectors on.
TRAINING_VECTORS = 2048
# A segment is compacted when less than this share of it is live.
MIN_LIVE_SHARE = 0.75
# Candidates searched by their codes per hit that `rerank` then orders.
CANDIDATES_PER_HIT = 4
# Searches of fewer segments than this are not spread over threads.
PARALLEL_FROM = 3

_local = threading.local()


class VectorIndex:
    """Vectors by id, in groups; thread-safe, and a search never waits for a write.

    Ids are those of chunks, groups those of collections; searches skip group -1. The state is a tuple of immutable
    segments: a write builds new ones and swaps the tuple, so that a search sees all of a `replace` or nothing of it.
    Scores are cosines within the error of 8-bit codes; `rerank` makes them exact.
    """

    _built: ClassVar[int] = 0

    def __init__(self, dimension: int, codec: Codec | None = None) -> None:
        self.dimension = dimension
        self._codec = codec or Codec.wide(dimension)
        self._segments: tuple[Segment, ...] = ()
        self._write_lock = threading.RLock()
        self._pool: ThreadPoolExecutor | None = None
        self._threads = usable_cores()
        VectorIndex._built += 1

    def __len__(self) -> int:
        return sum(segment.live for segment in self._segments)

    @property
    def codec(self) -> Codec:
        """The quantisation ranges."""
        return self._codec

    @property
    def wants_training(self) -> bool:
        """Whether there are enough vectors to train the codec, and it is not trained."""
        return not self._codec.trained and len(self) >= TRAINING_VECTORS

    def add(self, ids: Sequence[int] | Ids, vectors: Vectors, group: Groups | Ids | int) -> None:
        """Add vectors, float32 (n, d), normalised; an existing id is replaced."""
        self.replace(ids, vectors, group, ())

    def remove(self, ids: Sequence[int] | Ids) -> int:
        """Remove vectors; return how many existed."""
        with self._write_lock:
            segments, removed = _marked(self._segments, _sorted(ids))
            self._segments = self._compacted(segments)
            return removed

    def regroup(self, ids: Sequence[int] | Ids, group: int) -> None:
        """Move vectors to another group; -1 hides them from searches."""
        wanted = _sorted(ids)
        with self._write_lock:
            changed = []
            for segment in self._segments:
                positions = segment.positions(wanted)
                changed.append(segment.with_groups(positions, group) if len(positions) else segment)
            self._segments = tuple(changed)

    def replace(
        self,
        add_ids: Sequence[int] | Ids,
        vectors: Vectors,
        group: Groups | Ids | int,
        remove_ids: Sequence[int] | Ids,
    ) -> None:
        """Add and remove atomically: no search sees one without the other."""
        ids = np.asarray(add_ids, dtype=np.int64)
        groups = np.broadcast_to(np.asarray(group, dtype=np.int32), ids.shape)
        with self._write_lock:
            segments, _removed = _marked(self._segments, _sorted(np.concatenate([ids, _sorted(remove_ids)])))
            segments = self._compacted(segments)
            if len(ids):
                if not segments and len(ids) >= TRAINING_VECTORS and not self._codec.trained:
                    self._codec = Codec.from_data(vectors)
                segments = self._appended(segments, ids, groups, self._codec.encode(vectors))
            self._segments = segments

    def retrain(self, read: Callable[[Ids], Iterator[tuple[Ids, Vectors]]]) -> None:
        """Train the codec and encode all vectors again; `read` yields (ids, vectors) for ids. Only writes wait."""
        with self._write_lock:
            ids, groups = self._live()
            sample = ids[:: max(1, len(ids) // (8 * TRAINING_VECTORS))]
            parts = [vectors for _ids, vectors in read(sample) if len(vectors)]
            if not parts:
                return
            codec = Codec.from_data(np.concatenate(parts))
            segments: tuple[Segment, ...] = ()
            order = np.argsort(ids)
            for found, vectors in read(ids):
                if len(found):
                    codes = codec.encode(vectors)
                    own = groups[order[np.searchsorted(ids, found, sorter=order)]]
                    segments = _appended(codec, segments, found, own, codes)
            self._codec, self._segments = codec, segments

    def load(self, ids: Ids, groups: Groups, codes: Codes) -> None:
        """Append the content of a snapshot: codes of this index's codec, ids that are not in the index yet."""
        with self._write_lock:
            self._segments = self._appended(self._segments, ids, groups, codes)

    def search(self, vector: Vectors, k: int, groups: Collection[int] | None = None) -> tuple[Ids, Vectors]:
        """Return (ids, scores) of the at most k best vectors of the given groups (None: all), best first.

        `vector` is float32 (d,), normalised; scores are cosines. int64 (n,) and float32 (n,).
        """
        segments = self._segments
        if k <= 0 or not segments:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        query = np.ascontiguousarray(vector, dtype=np.float32).reshape(1, -1)
        if len(segments) < PARALLEL_FROM or self._threads < 2:
            found = _search(segments, query, k, groups)
        else:
            shares = [segments[i :: self._threads] for i in range(self._threads)]
            others = [self._workers().submit(_search, share, query, k, groups) for share in shares[1:]]
            found = _search(shares[0], query, k, groups)
            for other in others:
                found += other.result()
        scores = np.concatenate([part[0] for part in found])
        ids = np.concatenate([part[1] for part in found])
        best = np.argsort(-scores, kind="stable")[:k]
        return ids[best], np.clip(scores[best], -1.0, 1.0)

    def ids(self) -> Ids:
        """Return the ids of all vectors, ascending, int64 (n,)."""
        return np.sort(self._live()[0])

    def members(self) -> tuple[Ids, Groups]:
        """Return (ids, groups) of all vectors, ascending by id, int64 (n,) and int32 (n,)."""
        ids, groups = self._live()
        order = np.argsort(ids, kind="stable")
        return ids[order], groups[order]

    def frozen(self) -> tuple[Codec, tuple[Segment, ...]]:
        """Return codec and segments as they are now, for a snapshot; later writes do not change them."""
        with self._write_lock:
            return self._codec, self._segments

    def memory_report(self) -> MemoryReport:
        """Return the bytes that codes, ids and groups hold, and how often an index was built."""
        segments = self._segments
        return MemoryReport(
            name=_("Vector index"),
            detail=plural("{count} vector, 8 bits a component", "{count} vectors, 8 bits a component", len(self)),
            bytes=sum(segment.bytes for segment in segments),
            loads=VectorIndex._built,
            attributes={
                "dimension": str(self.dimension),
                "segments": str(len(segments)),
                "code_bytes": str(len(self) * self.dimension),
            },
            owner=Owner.INDEX,
            region=Region.NATIVE,
            ranges=tuple(part for segment in segments for part in segment.ranges()),
        )

    def close(self) -> None:
        """Stop the search threads; a later search starts them again."""
        pool, self._pool = self._pool, None
        if pool:
            pool.shutdown(wait=True)

    def _workers(self) -> ThreadPoolExecutor:
        if self._pool is None:
            with self._write_lock:
                if self._pool is None:
                    self._pool = ThreadPoolExecutor(self._threads - 1, thread_name_prefix="vector-search")
        return self._pool

    def _live(self) -> tuple[Ids, Groups]:
        segments = self._segments
        kept = [segment.groups != REMOVED for segment in segments]
        ids = [np.empty(0, np.int64), *(s.ids[live] for s, live in zip(segments, kept, strict=True))]
        groups = [np.empty(0, np.int32), *(s.groups[live] for s, live in zip(segments, kept, strict=True))]
        return np.concatenate(ids), np.concatenate(groups)

    def _appended(self, segments: tuple[Segment, ...], ids: Ids, groups: Groups, codes: Codes) -> tuple[Segment, ...]:
        return _appended(self._codec, segments, ids, groups, codes)

    def _compacted(self, segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
        """Compact segments with many removed vectors; neighbours that fit are merged."""
        if all(segment.live >= MIN_LIVE_SHARE * len(segment) for segment in segments):
            return segments
        compacted: tuple[Segment, ...] = ()
        for segment in segments:
            if segment.live < MIN_LIVE_SHARE * len(segment):
                if segment.live:
                    compacted = self._appended(compacted, *segment.live_entries())
            else:
                compacted = (*compacted, segment)
        return compacted


def rerank(query: Vectors, ids: Ids, vectors: Vectors) -> tuple[Ids, Vectors]:
    """Return (ids, scores) ordered by the exact cosine of normalised `vectors` (n, d) with `query` (d,)."""
    scores = vectors @ query
    order = np.argsort(-scores, kind="stable")
    return ids[order], np.clip(scores[order], -1.0, 1.0)


def _search(
    segments: tuple[Segment, ...], query: Vectors, k: int, groups: Collection[int] | None
) -> list[tuple[Vectors, Ids]]:
    if not getattr(_local, "single", False):
        # One core per search thread: FAISS would start a team for every call.
        faiss.omp_set_num_threads(1)
        _local.single = True
    return [segment.search(query, k, groups) for segment in segments]


def _appended(
    codec: Codec, segments: tuple[Segment, ...], ids: Ids, groups: Groups, codes: Codes
) -> tuple[Segment, ...]:
    """Return the segments with vectors appended: the last one is filled, then new ones follow."""
    start = 0
    if segments and segments[-1].live < SEGMENT_VECTORS:
        # Without removed entries: an id that is added again must not be there twice.
        last_ids, last_groups, last_codes = segments[-1].live_entries()
        start = min(len(ids), SEGMENT_VECTORS - len(last_ids))
        filled = Segment.build(
            codec,
            np.concatenate([last_ids, ids[:start]]),
            np.concatenate([last_groups, groups[:start]]),
            np.concatenate([last_codes, codes[:start]]),
        )
        segments = (*segments[:-1], filled)
    for begin in range(start, len(ids), SEGMENT_VECTORS):
        part = slice(begin, begin + SEGMENT_VECTORS)
        segments = (*segments, Segment.build(codec, ids[part], groups[part], codes[part]))
    return segments


def _marked(segments: tuple[Segment, ...], ids: Ids) -> tuple[tuple[Segment, ...], int]:
    """Mark vectors as removed; return the new segments and how many existed."""
    changed, removed = [], 0
    for segment in segments:
        positions = segment.positions(ids)
        removed += len(positions)
        changed.append(segment.with_groups(positions, REMOVED) if len(positions) else segment)
    return tuple(changed), removed


def _sorted(ids: Sequence[int] | Ids) -> Ids:
    return np.unique(np.asarray(ids, dtype=np.int64))
