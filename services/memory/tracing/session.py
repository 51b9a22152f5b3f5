"""A tracing session: its cost, measured beforehand in a forked child, and the thread that takes automatic snapshots and
ends the session when its time is up.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable

import psutil
import structlog

from services.core.errors import MillpondError
from services.core.i18n import _
from services.memory.clock import Clock
from services.memory.fork_snapshot import run_in_fork
from services.memory.ledger.foreign import tracing_bytes
from services.memory.tracing.types import TracingCost

log = structlog.get_logger(__name__)

_SNAPSHOTS_PER_SESSION = 12  # automatic ones
_SHORTEST_INTERVAL = 60.0
_FIRST_SECONDS = 10.0  # by then what is imported on first use has been loaded
_CLOSE_SECONDS = 10.0
_SHORTEST_REAL_INTERVAL = 2.0  # however fast the clock runs
COPY_BYTES_PER_TRACE = 180  # memory of the child per living block
STOP_SECONDS_PER_TRACE = 0.1e-6  # clearing the tables with all threads stopped; 0.03 measured on a fresh heap
_UNCOUNTED_BYTES = 48  # bytes per trace that tracemalloc does not count, see `tracing_bytes`
_OBJECTS = 8_000
_DEPTH = 30  # a usual call depth in a web service
_ROUNDS = 7
_MEASUREMENT_SECONDS = 30.0


class TraceSession:
    """Tracing from `began` until `until` with `frames` frames; `problem`: why the last automatic snapshot failed."""

    def __init__(
        self,
        clock: Clock,
        frames: int,
        seconds: float,
        *,
        take_snapshot: Callable[[], None],
        on_end: Callable[[TraceSession], None],
    ) -> None:
        self.frames = frames
        self.began = clock.time()
        self.until = self.began + seconds
        self.interval = snapshot_interval(seconds, clock.speed)
        self.problem = ""
        self._clock = clock
        self._take_snapshot = take_snapshot
        self._on_end = on_end
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-tracing", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread; safe to call twice, also from the thread itself.

        Waits up to 10 s for a snapshot in progress: its child ends with this process at the latest.
        """
        self._stopping.set()
        if self._thread is not threading.current_thread() and self._thread.is_alive():
            self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        clock = self._clock
        due = self.began + min(self.interval, max(_FIRST_SECONDS, _SHORTEST_REAL_INTERVAL * clock.speed))
        while not clock.wait(self._stopping, min(due, self.until) - clock.time()):
            last = clock.time() >= self.until
            if last or clock.time() >= due:
                self._try_snapshot()
                due = clock.time() + self.interval
            if last:
                self._on_end(self)
                return

    def _try_snapshot(self) -> None:
        try:
            self._take_snapshot()
            self.problem = ""
        except MillpondError as error:
            self.problem = str(error)
        except Exception:
            # No failure may keep tracing from ending.
            log.exception("automatic snapshot failed")
            self.problem = _("A defect; the log has the details.")


def snapshot_interval(seconds: float, speed: float = 1.0) -> float:
    """Return the seconds between two automatic snapshots of a session of `seconds`."""
    return max(_SHORTEST_INTERVAL, seconds / _SNAPSHOTS_PER_SESSION, _SHORTEST_REAL_INTERVAL * speed)


def trace_tables() -> tuple[int, int]:
    """Return the approximate number of traces that tracemalloc holds, and their bytes (cheap)."""
    total, reported = tracing_bytes(), tracemalloc.get_tracemalloc_memory()
    return max(0, total - reported) // _UNCOUNTED_BYTES, total


def measure_cost(frames: int) -> TracingCost:
    """Return the cost of tracing with `frames` frames (half a second, in a forked child); errors as `run_in_fork`."""
    worst, usual, per_block = run_in_fork(
        lambda: _measure_in_child(frames), seconds=_MEASUREMENT_SECONDS, what=_("cost of tracing")
    ).value
    return TracingCost(frames, worst, usual, per_block, sys.getallocatedblocks())


def _measure_in_child(frames: int) -> tuple[float, float, float]:
    tracemalloc.stop()
    plain = [_fastest_round(work) for work in (_allocate, _parse)]
    plain_bytes, blocks = _allocated()
    tracemalloc.start(frames)
    traced_bytes, _blocks = _allocated()
    worst, usual = (
        max(1.0, _fastest_round(work) / before) for work, before in zip((_allocate, _parse), plain, strict=True)
    )
    return worst, usual, max(0.0, (traced_bytes - plain_bytes) / max(1, blocks))


def _allocated() -> tuple[int, int]:
    """Return the bytes and the Python blocks that one batch of objects allocates."""
    bytes_before, blocks_before = _heap_bytes(), sys.getallocatedblocks()
    kept = _allocate()
    allocated = _heap_bytes() - bytes_before, sys.getallocatedblocks() - blocks_before
    del kept
    return allocated


def _heap_bytes() -> int:
    """Return the bytes allocated from malloc; tracemalloc's count (about half) where the C library has none."""
    info = getattr(psutil, "heap_info", None)
    return int(info().heap_used) if info is not None else tracemalloc.get_tracemalloc_memory()


def _fastest_round(work: Callable[[], object]) -> float:
    """Return the processor time of the fastest round, the one least disturbed by other processes."""
    times = []
    for _round in range(_ROUNDS):
        began = time.thread_time()
        _call_at_depth(_DEPTH, work)
        times.append(time.thread_time() - began)
    return max(1e-9, min(times))


def _call_at_depth(depth: int, work: Callable[[], object]) -> object:
    return _call_at_depth(depth - 1, work) if depth else work()


def _allocate() -> object:
    return [{"number": number, "pair": [number, number + 1], "text": str(number)} for number in range(_OBJECTS)]


def _parse() -> object:
    return [json.loads(_DOCUMENT) for _repetition in range(_OBJECTS // 400)]


_DOCUMENT = json.dumps([{"id": number, "text": "word " * 60, "tags": ["a", "b"]} for number in range(100)])
