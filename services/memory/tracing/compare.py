"""Comparison of two snapshots, or the content of one: grouped, filtered, ordered; and the lines that grow.

Grouping and differences are those of `tracemalloc.Snapshot.compare_to`
(https://docs.python.org/3/library/tracemalloc.html), on arrays instead of an object per trace.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.core.i18n import _
from services.memory.tracing.snapshot_file import Integers, Traces
from services.memory.tracing.source import is_machinery, is_ours, is_watching, short_path, source_lines
from services.memory.tracing.types import (
    ComparisonRow,
    GroupBy,
    RowChange,
    SnapshotInfo,
    SourceLine,
    TraceComparison,
    TraceFilters,
    TraceGrowth,
)

Key = tuple[SourceLine, ...]  # most recent call last
Sums = dict[Key, tuple[int, int]]  # bytes, blocks
_NOTHING = (0, 0)
_MOST_LINES = 20
_SHORTEST_COMPARED_SECONDS = 1.0


def compare_traces(
    new: Traces,
    old: Traces | None,
    infos: tuple[SnapshotInfo, SnapshotInfo | None],
    *,
    by: GroupBy = GroupBy.LINE,
    filters: TraceFilters = TraceFilters(),  # noqa: B008 - frozen
    limit: int = 200,
    at: SourceLine | None = None,
) -> TraceComparison:
    """Compare two snapshots; without `old`, list what is in `new`. Rows are ordered by change, without `old` by bytes.

    `at` keeps only allocations at that place, as its row in the same comparison counts them.
    """
    now = group_traces(new, by, filters, at)
    before = group_traces(old, by, filters, at) if old is not None else now
    keys = sorted(now.keys() | before.keys(), key=lambda key: _sort_key(now, before, key), reverse=True)
    rows = [_row(now, before, key) for key in keys[:limit]]
    sources = source_lines(row.place for row in rows)
    watching = _watching_sums(new)
    watching_before = _watching_sums(old) if old is not None else watching
    totals = [sum(column) for column in zip(*now.values(), strict=True)] or [0, 0]
    earlier = [sum(column) for column in zip(*before.values(), strict=True)] or [0, 0]
    return TraceComparison(
        new=infos[0],
        old=infos[1],
        by=by,
        rows=tuple(_with_source(row, sources[row.place]) for row in rows),
        row_count=len(keys),
        bytes=totals[0],
        bytes_diff=totals[0] - earlier[0],
        blocks=totals[1],
        blocks_diff=totals[1] - earlier[1],
        watching_bytes=watching[0],
        watching_bytes_diff=watching[0] - watching_before[0],
        watching_blocks=watching[1],
        watching_blocks_diff=watching[1] - watching_before[1],
    )


def growing_lines(old: Traces, new: Traces, seconds: float) -> tuple[TraceGrowth, ...]:
    """Return the lines that hold more in `new`, taken `seconds` after `old`, the fastest first.

    With more than one frame each line also has the newest frame of our code that accounts for most of its bytes.
    """
    filters = TraceFilters(hide_imports=True, watching=True)  # the watching may leak, too
    before, now = (group_traces(traces, GroupBy.LINE, filters) for traces in (old, new))
    found = []
    for key, (size, blocks) in now.items():
        old_size, old_blocks = before.get(key, (0, 0))
        if size > old_size:
            found.append((size - old_size, blocks - old_blocks, key[0]))
    found.sort(key=lambda item: item[0], reverse=True)
    hours = max(_SHORTEST_COMPARED_SECONDS, seconds) / 3600
    return tuple(
        TraceGrowth(place, _own_caller(new, place), size / hours, size, blocks)
        for size, blocks, place in found[:_MOST_LINES]
    )


def growth_text(found: TraceGrowth) -> str:
    """Return the growing line as text, with the line of our code that calls it if that is another."""
    place = f"{short_path(found.place.file)}:{found.place.line}"
    if found.own is None or found.own == found.place:
        return place
    return _("{place}, called by {own}").format(place=place, own=f"{short_path(found.own.file)}:{found.own.line}")


def _own_caller(traces: Traces, place: SourceLine) -> SourceLine | None:
    """Return the newest line of our code in the tracebacks to `place`, by most of its bytes."""
    if is_ours(place.file):
        return place
    newest, _all = counting_frames(traces, TraceFilters(watching=True))
    own, has = counting_frames(traces, TraceFilters(ours=True, watching=True))
    here = (traces.frame_lines[newest] == place.line) & has
    here &= np.array([file == place.file for file in traces.files], dtype=bool)[traces.frame_files[newest]]
    if not here.any():
        return None
    frame = int(np.argmax(np.bincount(own[here], weights=traces.bytes[here])))
    return SourceLine(traces.files[int(traces.frame_files[frame])], int(traces.frame_lines[frame]))


def group_traces(traces: Traces, by: GroupBy, filters: TraceFilters, at: SourceLine | None = None) -> Sums:
    """Return bytes and blocks by key: (file, 0), (file, line), or the whole traceback."""
    heads, kept = counting_frames(traces, filters)
    if at is not None:
        kept &= _at_place(traces, heads, at)
    if by is GroupBy.TRACEBACK:
        sums = _by_traceback(traces, kept)
    else:
        labels = traces.frame_files[heads] if by is GroupBy.FILE else heads
        sums = {
            (_place(traces, by, number),): (size, count)
            for number, size, count in _sum_by_label(labels[kept], traces.bytes[kept], traces.blocks[kept])
        }
    text = filters.text.strip().casefold()
    if text:
        sums = {key: value for key, value in sums.items() if any(text in _label(place) for place in key)}
    return sums


def counting_frames(traces: Traces, filters: TraceFilters) -> tuple[Integers, NDArray[np.bool_]]:
    """Return for each traceback the frame that it counts for, and whether it counts at all."""
    starts = traces.offsets[:-1]
    heads = traces.frames[starts] if len(starts) else np.empty(0, np.int64)
    kept = np.ones(len(heads), dtype=bool)
    machinery = np.array([filters.hide_imports and is_machinery(file) for file in traces.files], dtype=bool)
    kept &= ~machinery[traces.frame_files[heads]]
    if not filters.watching:
        kept &= ~watching_traces(traces)
    if filters.ours and len(starts):
        own, has = newest_own_frames(traces)
        kept &= has
        heads = np.where(has, own, heads)
        kept &= ~machinery[traces.frame_files[heads]]
    return heads, kept


def newest_own_frames(traces: Traces) -> tuple[Integers, NDArray[np.bool_]]:
    """Return for each traceback its newest frame in our code, and whether it has one."""
    starts = traces.offsets[:-1]
    if not len(starts):
        return np.empty(0, np.int64), np.zeros(0, dtype=bool)
    ours = np.array([is_ours(file) for file in traces.files], dtype=bool)[traces.frame_files]
    # The position of the newest frame of our code; past the end where there is none.
    positions = np.where(ours[traces.frames], np.arange(len(traces.frames)), len(traces.frames))
    first = np.minimum.reduceat(positions, starts)
    return traces.frames[np.minimum(first, len(traces.frames) - 1)], first < traces.offsets[1:]


def watching_traces(traces: Traces) -> NDArray[np.bool_]:
    """Return for each traceback whether the watching of memory itself made it: its newest frame in our code is its.

    With a single frame recorded, what libraries allocate for it counts for the libraries.
    """
    own, has = newest_own_frames(traces)
    files = np.array([is_watching(file) for file in traces.files], dtype=bool)
    return has & files[traces.frame_files[own]] if len(traces) else has


def _watching_sums(traces: Traces) -> tuple[int, int]:
    """Return bytes and blocks of what the watching itself allocated."""
    chosen = watching_traces(traces)
    return int(traces.bytes[chosen].sum()), int(traces.blocks[chosen].sum())


def _at_place(traces: Traces, heads: Integers, at: SourceLine) -> NDArray[np.bool_]:
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


def _sum_by_label(labels: NDArray[Any], sizes: Integers, counts: Integers) -> Iterator[tuple[int, int, int]]:
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


def _sort_key(now: Sums, before: Sums, key: Key) -> tuple[int, int, int, int]:
    """Return the sort key of a row, as in tracemalloc: change in size, size, change in count, count."""
    (size, count), (old_size, old_count) = now.get(key, _NOTHING), before.get(key, _NOTHING)
    return abs(size - old_size), size, abs(count - old_count), count


def _row(now: Sums, before: Sums, key: Key) -> ComparisonRow:
    (size, count), (old_size, old_count) = now.get(key, _NOTHING), before.get(key, _NOTHING)
    if key not in before:
        change = RowChange.NEW
    elif key not in now:
        change = RowChange.GONE
    elif size == old_size:
        change = RowChange.SAME
    else:
        change = RowChange.GROWN if size > old_size else RowChange.SHRUNK
    return ComparisonRow(key, size, size - old_size, count, count - old_count, change)


def _with_source(row: ComparisonRow, source: str) -> ComparisonRow:
    return ComparisonRow(row.frames, row.bytes, row.bytes_diff, row.blocks, row.blocks_diff, row.change, source)
