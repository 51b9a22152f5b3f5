"""The child's life: low in priority, bound to its parent, silent but for JSON lines on what was its standard output.

It reads one line of JSON, which says what to do, and keeps its input open: when that ends, so does the child. So it
ends with its parent however that ends, and on Linux the kernel sees to it as well.

The child's measuring: pauses by `gc.callbacks`, peak and floor of RSS, while a workload runs.
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

NICENESS = 10
WARM_UP = 10  # operations that are not measured, so that what is made only once is there
_PR_SET_PDEATHSIG = 1
_PARENT_GONE = 3
_GENERATIONS = 3
# Pauses that are kept for the percentiles; later ones still count into the sums. 8 MB.
_MOST_PAUSES = 1_000_000
_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"  # see proc(5)


@dataclass(frozen=True, slots=True)
class ChildOrders:
    """What the parent wants. `folder` is the child's own, empty and removed by the parent; `service` are settings of
    the service that the workload's body may use."""

    folder: Path
    setting: Setting
    operations: tuple[Operation, ...]
    seed: int
    long_lived: int
    service: dict[str, Any]
    cpu_seconds: int

    def encoded(self) -> bytes:
        """Return the one line that tells it."""
        return json.dumps({**asdict(self), "folder": str(self.folder), "parent": os.getpid()}).encode() + b"\n"

    @classmethod
    def decoded(cls, line: bytes) -> tuple[ChildOrders, int]:
        """Return the orders and the parent's process number."""
        told = json.loads(line)
        parent = int(told.pop("parent"))
        setting = told.pop("setting")
        thresholds = setting.pop("thresholds")
        operations = tuple((OperationKind(kind), int(size)) for kind, size in told.pop("operations"))
        return cls(
            **{**told, "folder": Path(told["folder"])},
            setting=Setting(tuple(thresholds) if thresholds else None, **setting),
            operations=operations,
        ), parent


class OperationExecutor(Protocol):
    """What performs the operations: made by the wiring, of the real parts."""

    def perform(self, operation: Operation) -> None: ...
    def close(self) -> None: ...


def run_child_main(open_body: Callable[[ChildOrders], OperationExecutor]) -> None:
    """Do what the parent tells, once, and return; the last line of output is what was measured."""
    _lower_priority()
    out = _redirect_output()
    orders, parent = ChildOrders.decoded(sys.stdin.buffer.readline())
    _bind_to_parent(parent, orders.cpu_seconds)
    body = open_body(orders)
    try:
        for operation in orders.operations[:WARM_UP]:
            body.perform(operation)
        kept = create_long_lived_objects(orders.long_lived)
        apply_setting(orders.setting)
        wanted = gc.get_threshold(), gc.isenabled()

        def told(share: float) -> None:
            _send(out, {"share": round(share, 4)})

        figures = measure(orders.operations, body.perform, told)
        if (gc.get_threshold(), gc.isenabled()) != wanted:
            raise RuntimeError("something in the workload has changed the collector's settings")
        del kept
        _send(out, {"figures": asdict(figures)})
    finally:
        body.close()


def _send(out: IO[bytes], message: dict[str, Any]) -> None:
    out.write(json.dumps(message).encode() + b"\n")
    out.flush()


def _redirect_output() -> IO[bytes]:
    """Keep the way to the parent for ourselves: what the workload prints goes nowhere."""
    out = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)
    return out


def _lower_priority() -> None:
    """Take what others leave of the processor, and be the first to go when memory runs out."""
    with suppress(OSError, AttributeError):
        os.nice(NICENESS)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _bind_to_parent(parent: int, cpu_seconds: int) -> None:
    """End with the parent, and after so much processor time; leave no core file, which would hold documents."""
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
    """Every collection's pause, from `start` to `stop`. Makes no object that the collector knows."""

    def __init__(self) -> None:
        self.seconds = array("d")
        self.total = 0.0
        self.wall = 0.0
        self.runs = array("q", [0] * _GENERATIONS)
        self.collected = 0
        self._began = self._began_wall = 0.0

    def start(self) -> None:
        """Begin to record."""
        gc.callbacks.append(self._record)

    def stop(self) -> None:
        """Record no more."""
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
    """Set this process's collector, after a full collection so that every child begins alike."""
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
    operations: tuple[Operation, ...], perform: Callable[[Operation], None], told: Callable[[float], None]
) -> RunFigures:
    """Perform the operations and return what that took; `told` gets the share that is done, now and then."""
    pauses, tracked, base = PauseLog(), len(gc.get_objects()), rss_bytes()
    marks = max(1, len(operations) // 50)
    peak = base
    _reset_peak()
    pauses.start()
    began, cpu = time.perf_counter(), time.process_time()
    for number, operation in enumerate(operations):
        perform(operation)
        if number % marks == 0:
            peak = max(peak, rss_bytes())
            told(number / len(operations))
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
    """Return the value below which `share` of the ordered values lie (nearest rank); 0 where there are none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def create_long_lived_objects(count: int) -> list[object]:
    """Return objects that the collector has to look after, so many that it has `count` in all.

    They are as a service's own: records with a mapping, a list and a link to the one before.
    """
    kept: list[object] = []
    before: object = None
    for number in range(max(0, count - len(gc.get_objects())) // 3):
        before = {"id": number, "name": f"object {number}", "values": [number, number / 2], "before": (before,)}
        kept.append(before)
        if number % 100 == 0:
            before = None  # no chain that the interpreter would have to free by recursion
    return kept


def _reset_peak() -> None:
    with suppress(OSError):
        _CLEAR_REFS.write_text(_RESET_PEAK, encoding="ascii")


def _read_peak() -> int:
    """Return the greatest RSS since `_reset_peak` in bytes; 0 where the system does not tell."""
    with suppress(OSError, ValueError, IndexError):
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
