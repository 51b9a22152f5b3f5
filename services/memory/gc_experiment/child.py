"""The child process of an experiment: runs a workload under a setting and measures its pauses and RSS.

It reads one line of JSON with its orders and writes JSON lines to what was its standard output. Its priority is low,
and it ends with its parent however that ends: it exits when its input is closed, and on Linux the kernel kills it.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import threading
import time
from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from services.memory.gc_experiment.types import Operation, OperationKind, RunFigures, Setting
from services.memory.gc_experiment.workload import DEFAULTS
from services.memory.process import rss_bytes, trim_heap
from services.memory.tracked_objects import count_tracked

NICENESS = 10
WARM_UP = 10  # operations before the measurement, for what is created only once
_PR_SET_PDEATHSIG = 1
_PARENT_GONE = 3
_GENERATIONS = 3
# Pauses recorded for the percentiles (8 MB); later ones count in the sums only.
_MOST_PAUSES = 1_000_000
_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"  # see proc(5)


@dataclass(frozen=True, slots=True)
class ChildOrders:
    """The parent's orders. `folder` is the child's own, created empty and removed by the parent; `service` has settings
    of the service for the executor."""

    folder: Path
    setting: Setting
    operations: tuple[Operation, ...]
    seed: int
    long_lived: int
    service: dict[str, Any]
    cpu_seconds: int

    def encode(self) -> bytes:
        """Return the orders as one line of JSON."""
        return json.dumps({**asdict(self), "folder": str(self.folder), "parent": os.getpid()}).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> tuple[ChildOrders, int]:
        """Return the orders and the parent's process id."""
        values = json.loads(line)
        parent = int(values.pop("parent"))
        setting = values.pop("setting")
        thresholds = setting.pop("thresholds")
        operations = tuple((OperationKind(kind), int(size)) for kind, size in values.pop("operations"))
        return cls(
            **{**values, "folder": Path(values["folder"])},
            setting=Setting(tuple(thresholds) if thresholds else None, **setting),
            operations=operations,
        ), parent


class OperationExecutor(Protocol):
    """Executes the operations, with real parts of the service."""

    def perform(self, operation: Operation) -> None: ...
    def close(self) -> None: ...


def run_child_main(open_executor: Callable[[ChildOrders], OperationExecutor]) -> None:
    """Execute the parent's orders and return; the last line of output has the measurements."""
    _lower_priority()
    out = _redirect_output()
    orders, parent = ChildOrders.decode(sys.stdin.buffer.readline())
    _bind_to_parent(parent, orders.cpu_seconds)
    executor = open_executor(orders)
    try:
        for operation in orders.operations[:WARM_UP]:
            executor.perform(operation)
        kept = create_long_lived_objects(orders.long_lived)
        apply_setting(orders.setting)
        wanted = gc.get_threshold(), gc.isenabled()

        def report(share: float) -> None:
            _send(out, {"share": round(share, 4)})

        figures = measure(orders.operations, executor.perform, report)
        if (gc.get_threshold(), gc.isenabled()) != wanted:
            raise RuntimeError("the workload has changed the collector's settings")
        del kept
        _send(out, {"figures": asdict(figures)})
    finally:
        executor.close()


def _send(out: IO[bytes], message: dict[str, Any]) -> None:
    out.write(json.dumps(message).encode() + b"\n")
    out.flush()


def _redirect_output() -> IO[bytes]:
    """Return the output to the parent; what the workload prints is discarded."""
    out = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    return out


def _lower_priority() -> None:
    """Lower the CPU priority, and be the first process that the OOM killer takes."""
    with suppress(OSError, AttributeError):
        os.nice(NICENESS)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _bind_to_parent(parent: int, cpu_seconds: int) -> None:
    """Exit with the parent and after `cpu_seconds` of CPU time; write no core file, which would contain documents."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(_PARENT_GONE)
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os._exit(_PARENT_GONE)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


class PauseLog:
    """Records the pause of every collection, from `start` to `stop`, without creating objects that gc tracks."""

    def __init__(self) -> None:
        self.seconds = array("d")
        self.total = 0.0
        self.wall = 0.0
        self.runs = array("q", [0] * _GENERATIONS)
        self.collected = 0
        self._began = self._began_wall = 0.0

    def start(self) -> None:
        """Start recording."""
        gc.callbacks.append(self._record)

    def stop(self) -> None:
        """Stop recording."""
        gc.callbacks.remove(self._record)

    def _record(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began, self._began_wall = time.thread_time(), time.perf_counter()
            return
        took = time.thread_time() - self._began
        self.total += took
        self.wall += time.perf_counter() - self._began_wall
        self.runs[info["generation"]] += 1
        self.collected += info["collected"]
        if len(self.seconds) < _MOST_PAUSES:
            self.seconds.append(took)


def apply_setting(setting: Setting) -> None:
    """Apply a setting to this process, after a full collection so that all runs start alike."""
    gc.unfreeze()
    gc.collect()
    trim_heap()
    gc.set_threshold(*(setting.thresholds or DEFAULTS))
    if setting.frozen:
        gc.freeze()
    if setting.automatic:
        gc.enable()
    else:
        gc.disable()


def measure(
    operations: tuple[Operation, ...], perform: Callable[[Operation], None], report: Callable[[float], None]
) -> RunFigures:
    """Perform the operations and return the measurements; `report` is called now and then with the share done."""
    pauses, tracked, base = PauseLog(), count_tracked(), rss_bytes()
    marks = max(1, len(operations) // 50)
    peak = base
    _reset_peak()
    pauses.start()
    began, cpu = time.perf_counter(), time.process_time()
    for number, operation in enumerate(operations):
        perform(operation)
        if number % marks == 0:
            peak = max(peak, rss_bytes())
            report(number / len(operations))
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    pauses.stop()
    peak = max(peak, _read_peak(), rss_bytes())
    gc.collect()
    trim_heap()
    floor = rss_bytes()
    ordered = sorted(pauses.seconds)
    return RunFigures(
        pause=pauses.total,
        pause_wall=pauses.wall,
        p50=percentile(ordered, 0.50),
        p95=percentile(ordered, 0.95),
        p99=percentile(ordered, 0.99),
        longest=ordered[-1] if ordered else 0.0,
        collections=(pauses.runs[0], pauses.runs[1], pauses.runs[2]),
        collected=pauses.collected,
        base=base,
        peak=peak,
        floor=floor,
        tracked=tracked,
        operations=len(operations),
        seconds=seconds,
        cpu_seconds=cpu_seconds,
    )


def percentile(ordered: list[float], share: float) -> float:
    """Return the percentile `share` (0 to 1) of ordered values by nearest rank; 0 where there are none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def create_long_lived_objects(count: int) -> list[object]:
    """Create objects until the collector tracks `count` in all, and return them.

    They resemble a service's own: records with a mapping, a list and a link to the previous one.
    """
    kept: list[object] = []
    before: object = None
    for number in range(max(0, count - count_tracked()) // 3):
        before = {"id": number, "name": f"object {number}", "values": [number, number / 2], "before": (before,)}
        kept.append(before)
        if number % 100 == 0:
            before = None  # no long chain, which would be freed by recursion
    return kept


def _reset_peak() -> None:
    with suppress(OSError):
        _CLEAR_REFS.write_text(_RESET_PEAK, encoding="ascii")


def _read_peak() -> int:
    """Return the peak RSS since `_reset_peak` in bytes; 0 where it is not available."""
    with suppress(OSError, ValueError, IndexError):
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
