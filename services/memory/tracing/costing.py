"""What tracing costs, measured in a forked child so that this process does not pay for the question."""

from __future__ import annotations

import json
import sys
import time
import tracemalloc
from collections.abc import Callable

import psutil

from services.memory.forked import run_forked
from services.memory.ledger.foreign import tracing_bytes
from services.memory.tracing.types import Cost
from services.texts import _

COPY_BYTES_PER_TRACE = 180  # what a snapshot needs in the child for each living block
STOP_SECONDS_PER_TRACE = 0.1e-6  # emptying the table with every thread stopped: 0.03 measured on a fresh heap

_UNTOLD = 48  # bytes of a trace that tracemalloc does not count, see `tracing_bytes`
_OBJECTS = 8_000
_DEPTH = 30  # a usual depth of calls in a web service
_ROUNDS = 7
_SECONDS = 30.0


def tables() -> tuple[int, int]:
    """Return how many traces tracemalloc holds, about, and the bytes that they need (cheap)."""
    needed, told = tracing_bytes(), tracemalloc.get_tracemalloc_memory()
    return max(0, needed - told) // _UNTOLD, needed


def measure(frames: int) -> Cost:
    """Measure (about half a second, in a child). Errors as `run_forked`."""
    worst, usual, per_block = run_forked(lambda: _measure(frames), seconds=_SECONDS, what=_("cost of tracing")).value
    return Cost(frames, worst, usual, per_block, sys.getallocatedblocks())


def _measure(frames: int) -> tuple[float, float, float]:
    tracemalloc.stop()
    plain = [_timed(work) for work in (_allocate, _parse)]
    plain_bytes, blocks = _needed()
    tracemalloc.start(frames)
    traced_bytes, _blocks = _needed()
    worst, usual = (max(1.0, _timed(work) / before) for work, before in zip((_allocate, _parse), plain, strict=True))
    return worst, usual, max(0.0, (traced_bytes - plain_bytes) / max(1, blocks))


def _needed() -> tuple[int, int]:
    """Return what the allocator gave out for one lot of objects, in bytes, and how many blocks of Python they are."""
    bytes_before, blocks_before = _heap(), sys.getallocatedblocks()
    kept = _allocate()
    needed = _heap() - bytes_before, sys.getallocatedblocks() - blocks_before
    del kept
    return needed


def _heap() -> int:
    """Return what malloc has given out; tracemalloc's own word where the C library cannot be asked, about half."""
    info = getattr(psutil, "heap_info", None)
    return int(info().heap_used) if info is not None else tracemalloc.get_tracemalloc_memory()


def _timed(work: Callable[[], object]) -> float:
    """Return the processor time of the fastest round, which other processes disturbed least."""
    times = []
    for _round in range(_ROUNDS):
        began = time.thread_time()
        _deep(_DEPTH, work)
        times.append(time.thread_time() - began)
    return max(1e-9, min(times))


def _deep(depth: int, work: Callable[[], object]) -> object:
    return _deep(depth - 1, work) if depth else work()


def _allocate() -> object:
    return [{"number": number, "pair": [number, number + 1], "text": str(number)} for number in range(_OBJECTS)]


def _parse() -> object:
    return [json.loads(_DOCUMENT) for _repetition in range(_OBJECTS // 400)]


_DOCUMENT = json.dumps([{"id": number, "text": "word " * 60, "tags": ["a", "b"]} for number in range(100)])
