"""Comparison of two snapshots, or the content of one: grouped, filtered, ordered.

Grouping and differences are those of `tracemalloc.Snapshot.compare_to`
(https://docs.python.org/3/library/tracemalloc.html), on arrays instead of an object per trace.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.memory.tracing.snapshot_file import Integers, Traces
from services.memory.tracing.source import is_machinery, is_ours, source_lines
from services.memory.tracing.types import Comparison, GroupBy, Row, RowChange, SnapshotInfo, SourceLine, TraceFilters

Key = tuple[SourceLine, ...]  # most recent call last
Sums = dict[Key, tuple[int, int]]  # bytes, blocks
_NOTHING = (0, 0)


def compare(
    new: Traces,
    old: Traces | None,
    infos: tuple[SnapshotInfo, SnapshotInfo | None],
    *,
    by: GroupBy = GroupBy.LINE,
    filters: TraceFilters = TraceFilters(),  # noqa: B008 - frozen
    limit: int = 200,
    at: SourceLine | None = None,
) -> Comparison:
    """Compare; without `old`, say what is in `new`. Rows are ordered by change, without `old` by bytes.

    `at` keeps only what was allocated at that place, as its row in the same comparison has it.
    """
    now = group(new, by, filters, at)
    before = group(old, by, filters, at) if old is not None else now
    keys = sorted(now.keys() | before.keys(), key=lambda key: _weight(now, before, key), reverse=True)
    rows = [_row(now, before, key) for key in keys[:limit]]
    sources = source_lines(row.place for row in rows)
    totals = [sum(column) for column in zip(*now.values(), strict=True)] or [0, 0]
    earlier = [sum(column) for column in zip(*before.values(), strict=True)] or [0, 0]
    return Comparison(
        new=infos[0],
        old=infos[1],
        by=by,
        rows=tuple(_with_source(row, sources[row.place]) for row in rows),
        row_count=len(keys),
        bytes=totals[0],
        bytes_diff=totals[0] - earlier[0],
        blocks=totals[1],
        blocks_diff=totals[1] - earlier[1],
    )


def group(traces: Traces, by: GroupBy, filters: TraceFilters, at: SourceLine | None = None) -> Sums:
    """Return bytes and blocks by key: (file, 0), (file, line), or the whole way there."""
    heads, kept = count_for(traces, filters)
    if at is not None:
        kept &= _at(traces, heads, at)
    if by is GroupBy.TRACEBACK:
        sums = _by_traceback(traces, kept)
    else:
        labels = traces.frame_files[heads] if by is GroupBy.FILE else heads
        sums = {
            (_place(traces, by, number),): (size, count)
            for number, size, count in _sum(labels[kept], traces.bytes[kept], traces.blocks[kept])
        }
    text = filters.text.strip().casefold()
    if text:
        sums = {key: value for key, value in sums.items() if any(text in _label(place) for place in key)}
    return sums


def count_for(traces: Traces, filters: TraceFilters) -> tuple[Integers, NDArray[np.bool_]]:
    """Return for each traceback the frame that it is counted for, and whether it counts at all."""
    starts = traces.offsets[:-1]
    heads = traces.frames[starts] if len(starts) else np.empty(0, np.int64)
    kept = np.ones(len(heads), dtype=bool)
    machinery = np.array([filters.hide_imports and is_machinery(file) for file in traces.files], dtype=bool)
    kept &= ~machinery[traces.frame_files[heads]]
    if filters.ours and len(starts):
        ours = np.array([is_ours(file) for file in traces.files], dtype=bool)[traces.frame_files]
        # The position of the newest frame of ours; past the end where there is none.
        positions = np.where(ours[traces.frames], np.arange(len(traces.frames)), len(traces.frames))
        first = np.minimum.reduceat(positions, starts)
        has = first < traces.offsets[1:]
        kept &= has
        heads = np.where(has, traces.frames[np.minimum(first, len(traces.frames) - 1)], heads)
        kept &= ~machinery[traces.frame_files[heads]]
    return heads, kept


def _at(traces: Traces, heads: Integers, at: SourceLine) -> NDArray[np.bool_]:
    numbers = [number for number, file in enumerate(traces.files) if file == at.file]
    same = np.isin(traces.frame_files[heads], numbers)
    return same & (traces.frame_lines[heads] == at.line) if at.line else same


def _by_traceback(traces: Traces, kept: NDArray[np.bool_]) -> Sums:
    places = [
        SourceLine(traces.files[file], line)
        for file, line in zip(traces.frame_files.tolist(), traces.frame_lines.tolist(), strict=True)
    ]
    sums: defaultdict[Key, tuple[int, int]] = defaultdict(lambda: _NOTHING)
    for i in np.flatnonzero(kept).tolist():
        frames = traces.frames[traces.offsets[i] : traces.offsets[i + 1]].tolist()
        key = tuple(places[number] for number in reversed(frames))
        size, count = sums[key]
        sums[key] = (size + int(traces.bytes[i]), count + int(traces.blocks[i]))
    return dict(sums)


def _sum(labels: NDArray[Any], sizes: Integers, counts: Integers) -> Iterator[tuple[int, int, int]]:
    unique, inverse = np.unique(labels, return_inverse=True)
    total_sizes, total_counts = np.zeros(len(unique), np.int64), np.zeros(len(unique), np.int64)
    np.add.at(total_sizes, inverse, sizes)
    np.add.at(total_counts, inverse, counts)
    yield from zip(unique.tolist(), total_sizes.tolist(), total_counts.tolist(), strict=True)


def _place(traces: Traces, by: GroupBy, number: int) -> SourceLine:
    if by is GroupBy.FILE:
        return SourceLine(traces.files[number], 0)
    return SourceLine(traces.files[int(traces.frame_files[number])], int(traces.frame_lines[number]))


def _label(place: SourceLine) -> str:
    return f"{place.file}:{place.line}".casefold() if place.line else place.file.casefold()


def _weight(now: Sums, before: Sums, key: Key) -> tuple[int, int, int, int]:
    """Return what rows are ordered by; the same as in tracemalloc: change, size, change in number, number."""
    (size, count), (old_size, old_count) = now.get(key, _NOTHING), before.get(key, _NOTHING)
    return abs(size - old_size), size, abs(count - old_count), count


def _row(now: Sums, before: Sums, key: Key) -> Row:
    (size, count), (old_size, old_count) = now.get(key, _NOTHING), before.get(key, _NOTHING)
    if key not in before:
        change = RowChange.NEW
    elif key not in now:
        change = RowChange.GONE
    elif size == old_size:
        change = RowChange.SAME
    else:
        change = RowChange.GROWN if size > old_size else RowChange.SHRUNK
    return Row(key, size, size - old_size, count, count - old_count, change)


def _with_source(row: Row, source: str) -> Row:
    return Row(row.frames, row.bytes, row.bytes_diff, row.blocks, row.blocks_diff, row.change, source)
