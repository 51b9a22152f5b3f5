"""One stretch of tracing: the thread that takes snapshots now and then and ends it when its time is up.

What tracing costs, measured in a forked child so that this process does not pay for the question.

Which lines grow: the suspects that tracing can name.

Taking a snapshot: a forked copy writes it to disk, so this process neither stops nor grows for it.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import structlog

from services.core.errors import MillpondError, StorageError
from services.core.i18n import _
from services.memory.clock import Clock
from services.memory.fork_snapshot import run_in_fork
from services.memory.ledger.foreign import tracing_bytes
from services.memory.tracing.compare import count_for, group
from services.memory.tracing.snapshot_file import Traces, collect, write
from services.memory.tracing.snapshot_store import SnapshotStore
from services.memory.tracing.source import is_ours, short
from services.memory.tracing.types import (
    Cost,
    GroupBy,
    SnapshotInfo,
    SourceLine,
    TraceFilters,
    TraceGrowth,
    TracingStatus,
)

log = structlog.get_logger(__name__)

_SNAPSHOTS = 12  # of one stretch, by itself
_SHORTEST_SECONDS = 60.0
_FIRST_SECONDS = 10.0  # what is loaded late because it is first used has come by then
_CLOSE_SECONDS = 10.0
_REAL_SECONDS = 2.0  # at least so long between two, however fast the clock runs
COPY_BYTES_PER_TRACE = 180  # what a snapshot needs in the child for each living block
STOP_SECONDS_PER_TRACE = 0.1e-6  # emptying the table with every thread stopped: 0.03 measured on a fresh heap
_UNTOLD = 48  # bytes of a trace that tracemalloc does not count, see `tracing_bytes`
_OBJECTS = 8_000
_DEPTH = 30  # a usual depth of calls in a web service
_ROUNDS = 7
_MEASUREMENT_SECONDS = 30.0
_KEPT = 20
_SHORTEST_COMPARED_SECONDS = 1.0
_SNAPSHOT_SECONDS = 120.0


class TraceSession:
    """Tracing from `began` until `until` with `frames` frames. `problem` says why the last snapshot failed."""

    def __init__(
        self,
        clock: Clock,
        frames: int,
        seconds: float,
        *,
        snapshot: Callable[[], None],
        ended: Callable[[TraceSession], None],
    ) -> None:
        self.frames = frames
        self.began = clock.time()
        self.until = self.began + seconds
        self.pace = pace(seconds, clock.speed)
        self.problem = ""
        self._clock = clock
        self._snapshot = snapshot
        self._ended = ended
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-tracing", daemon=True)

    def start(self) -> None:
        """Begin to wait for the end."""
        self._thread.start()

    def close(self) -> None:
        """Stop waiting; safe to call twice, also from the session's own thread.

        A snapshot that is being taken is waited for, but not for long: its copy ends with this process at the latest.
        """
        self._stopping.set()
        if self._thread is not threading.current_thread() and self._thread.is_alive():
            self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        clock = self._clock
        due = self.began + min(self.pace, max(_FIRST_SECONDS, _REAL_SECONDS * clock.speed))
        while not clock.wait(self._stopping, min(due, self.until) - clock.time()):
            last = clock.time() >= self.until
            if last or clock.time() >= due:
                self._take()
                due = clock.time() + self.pace
            if last:
                self._ended(self)
                return

    def _take(self) -> None:
        try:
            self._snapshot()
            self.problem = ""
        except MillpondError as error:
            self.problem = str(error)
        except Exception:
            # Whatever fails here must not keep tracing from ending.
            log.exception("automatic snapshot failed")
            self.problem = _("A defect; the log has the details.")


def pace(seconds: float, speed: float = 1.0) -> float:
    """Return the seconds between two automatic snapshots of a stretch of tracing."""
    return max(_SHORTEST_SECONDS, seconds / _SNAPSHOTS, _REAL_SECONDS * speed)


def tables() -> tuple[int, int]:
    """Return how many traces tracemalloc holds, about, and the bytes that they need (cheap)."""
    needed, told = tracing_bytes(), tracemalloc.get_tracemalloc_memory()
    return max(0, needed - told) // _UNTOLD, needed


def measure(frames: int) -> Cost:
    """Measure (about half a second, in a child). Errors as `run_in_fork`."""
    worst, usual, per_block = run_in_fork(
        lambda: _measure(frames), seconds=_MEASUREMENT_SECONDS, what=_("cost of tracing")
    ).value
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


def growth(old: Traces, new: Traces, seconds: float) -> tuple[TraceGrowth, ...]:
    """Return the lines that hold more in `new`, taken `seconds` after `old`, fastest first.

    With more than one frame each line also has the newest line of our code on the ways there, by most of its bytes.
    """
    filters = TraceFilters(hide_imports=True)
    before, now = (group(traces, GroupBy.LINE, filters) for traces in (old, new))
    found = []
    for key, (size, blocks) in now.items():
        old_size, old_blocks = before.get(key, (0, 0))
        if size > old_size:
            found.append((size - old_size, blocks - old_blocks, key[0]))
    found.sort(key=lambda item: item[0], reverse=True)
    hours = max(_SHORTEST_COMPARED_SECONDS, seconds) / 3600
    return tuple(
        TraceGrowth(place, _own(new, place), size / hours, size, blocks) for size, blocks, place in found[:_KEPT]
    )


def describe(found: TraceGrowth) -> str:
    """Return where it grows, and for which line of ours if that is another."""
    place = f"{short(found.place.file)}:{found.place.line}"
    if found.own is None or found.own == found.place:
        return place
    return _("{place}, called by {own}").format(place=place, own=f"{short(found.own.file)}:{found.own.line}")


def _own(traces: Traces, place: SourceLine) -> SourceLine | None:
    """Return the newest line of ours on the ways to `place`, that of most of its bytes."""
    if is_ours(place.file):
        return place
    newest, _all = count_for(traces, TraceFilters())
    own, has = count_for(traces, TraceFilters(ours=True))
    here = (traces.frame_lines[newest] == place.line) & has
    here &= np.array([file == place.file for file in traces.files], dtype=bool)[traces.frame_files[newest]]
    if not here.any():
        return None
    frame = int(np.argmax(np.bincount(own[here], weights=traces.bytes[here])))
    return SourceLine(traces.files[int(traces.frame_files[frame])], int(traces.frame_lines[frame]))


def take(shelf: SnapshotStore, status: TracingStatus, now: float, *, automatic: bool) -> SnapshotInfo:
    """Put a snapshot of the present traces on the shelf. Errors as `run_in_fork` and `SnapshotStore.add`."""

    def write_to(path: Path) -> SnapshotInfo:
        found = run_in_fork(lambda: _work(path), seconds=_SNAPSHOT_SECONDS, what=_("snapshot of allocations"))
        return SnapshotInfo(
            id="",
            time=now,
            run=status.since,
            frames=status.frames,
            overhead=status.overhead,
            paused=found.paused,
            took=found.took,
            automatic=automatic,
            **found.value,
        )

    return shelf.add(write_to)


def _work(path: Path) -> dict[str, Any]:
    """What the child does."""
    traces, left_out, total, blocks = collect()
    try:
        size = write(traces, path)
    except OSError as error:
        raise StorageError(
            _("The snapshot could not be written: {reason}. Those there were are kept.").format(
                reason=error.strerror or error
            ),
            _("Free some disk space."),
        ) from error
    return {"bytes": total, "blocks": blocks, "tracebacks": len(traces), "left_out": left_out, "size": size}
