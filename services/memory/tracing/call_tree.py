"""The calls that led to what a snapshot holds, as a tree: the oldest recorded calls first, the small ones merged."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.memory.tracing.compare import counting_frames
from services.memory.tracing.snapshot_file import Integers, Traces
from services.memory.tracing.source import source_lines
from services.memory.tracing.types import SourceLine, TraceFilters

MOST_CALLS = 300
_LEAST_SHARE = 0.001  # of all bytes: what is narrower cannot be seen, and need not be gone through


@dataclass(frozen=True, slots=True)
class CallNode:
    """One call, with the bytes and blocks that were allocated in it and in what it called.

    `parent` is its caller's number, -1 for the root. `place` is None for the root, which stands for everything, and
    for what is merged below a call because it is small. `source` is the text of the line, "" where there is none.
    """

    parent: int
    place: SourceLine | None
    bytes: int
    blocks: int
    source: str = ""


@dataclass(frozen=True, slots=True)
class CallTree:
    """The calls, each after its caller, the root first; `levels` is the number of calls on the longest way."""

    nodes: tuple[CallNode, ...]
    levels: int


@dataclass(slots=True)
class _Calls:
    """Calls while they are collected: caller, frame, bytes and blocks of each, and what was allocated in itself."""

    parents: list[int] = field(default_factory=lambda: [-1])
    frames: list[int] = field(default_factory=lambda: [-1])
    sizes: list[int] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    own_sizes: list[int] = field(default_factory=lambda: [0])
    own_blocks: list[int] = field(default_factory=lambda: [0])


def build_call_tree(
    traces: Traces,
    filters: TraceFilters = TraceFilters(),  # noqa: B008 - frozen
    most: int = MOST_CALLS,
) -> CallTree:
    """Return the tree of the `most` largest calls; what is left out below one of them is one node without a place.

    With `filters.ours` calls end at the newest frame of our code; `filters.text` keeps tracebacks with such a path
    anywhere in them.
    """
    heads, kept = counting_frames(traces, filters)
    firsts = _first_positions(traces, heads)
    kept &= _mentions(traces, firsts, filters.text.strip().casefold())
    calls = _collect(traces, np.flatnonzero(kept), firsts)
    order = sorted(range(1, len(calls.parents)), key=lambda call: -calls.sizes[call])  # stable: callers come first
    return _tree(traces, calls, [0, *sorted(order[:most])])


def _first_positions(traces: Traces, heads: Integers) -> Integers:
    """Return for each traceback where the frame stands that it counts for."""
    if not len(traces):
        return np.empty(0, np.int64)
    same = traces.frames == np.repeat(heads, np.diff(traces.offsets))
    found: Integers = np.minimum.reduceat(
        np.where(same, np.arange(len(traces.frames)), len(traces.frames)), traces.offsets[:-1]
    )
    return found


def _mentions(traces: Traces, firsts: Integers, text: str) -> NDArray[np.bool_]:
    if not text or not len(traces):
        return np.ones(len(traces), dtype=bool)
    places = zip(traces.frame_files.tolist(), traces.frame_lines.tolist(), strict=True)
    fitting = np.array([text in f"{traces.files[file]}:{line}".casefold() for file, line in places], dtype=bool)
    counted = np.arange(len(traces.frames)) >= np.repeat(firsts, np.diff(traces.offsets))
    found: NDArray[np.bool_] = np.logical_or.reduceat(fitting[traces.frames] & counted, traces.offsets[:-1])
    return found


def _collect(traces: Traces, chosen: Integers, firsts: Integers) -> _Calls:
    """Return the calls of tracebacks, level by level, without those that are too small to be seen."""
    sizes, blocks, starts = traces.bytes[chosen], traces.blocks[chosen], firsts[chosen]
    at = traces.offsets[chosen + 1] - 1  # the oldest call; from there to the newest
    calls = _Calls(sizes=[int(sizes.sum())], blocks=[int(blocks.sum())])
    least = max(1.0, calls.sizes[0] * _LEAST_SHARE)
    callers = np.zeros(len(chosen), np.int64)
    count = len(traces.frame_lines)
    while len(at):
        keys, places = np.unique(callers * count + traces.frames[at], return_inverse=True)
        held, number = _sums(places, sizes, len(keys)), _sums(places, blocks, len(keys))
        ends = at == starts
        own, own_number = _sums(places[ends], sizes[ends], len(keys)), _sums(places[ends], blocks[ends], len(keys))
        large = np.flatnonzero(held >= least)
        numbers = np.full(len(keys), -1, np.int64)
        numbers[large] = len(calls.parents) + np.arange(len(large))
        calls.parents += (keys[large] // count).tolist()
        calls.frames += (keys[large] % count).tolist()
        for column, sums in (
            (calls.sizes, held),
            (calls.blocks, number),
            (calls.own_sizes, own),
            (calls.own_blocks, own_number),
        ):
            column.extend(sums[large].tolist())
        further = (numbers[places] >= 0) & ~ends
        callers, at = numbers[places][further], at[further] - 1
        sizes, blocks, starts = sizes[further], blocks[further], starts[further]
    return calls


def _sums(places: Integers, values: Integers, length: int) -> Integers:
    found = np.zeros(length, np.int64)
    np.add.at(found, places, values)
    return found


def _tree(traces: Traces, calls: _Calls, kept: list[int]) -> CallTree:
    """Return the calls `kept`, each caller with what is left of it."""
    numbers = {call: number for number, call in enumerate(kept)}
    places = {call: _place(traces, calls.frames[call]) for call in kept[1:]}
    sources = source_lines(places.values())
    nodes, levels = [CallNode(-1, None, calls.sizes[0], calls.blocks[0])], [0]
    rest = {
        call: [calls.sizes[call] - calls.own_sizes[call], calls.blocks[call] - calls.own_blocks[call]] for call in kept
    }
    for call in kept[1:]:
        caller, place = calls.parents[call], places[call]
        nodes.append(CallNode(numbers[caller], place, calls.sizes[call], calls.blocks[call], sources.get(place, "")))
        levels.append(levels[numbers[caller]] + 1)
        rest[caller][0] -= calls.sizes[call]
        rest[caller][1] -= calls.blocks[call]
    nodes += [CallNode(numbers[call], None, size, count) for call, (size, count) in rest.items() if size > 0]
    return CallTree(tuple(nodes), max(levels))


def _place(traces: Traces, frame: int) -> SourceLine:
    return SourceLine(traces.files[int(traces.frame_files[frame])], int(traces.frame_lines[frame]))
