"""The child's life: low in priority, bound to its parent, silent but for JSON lines on what was its standard output.

It reads one line of JSON, which says what to do, and keeps its input open: when that ends, so does the child. So it
ends with its parent however that ends, and on Linux the kernel sees to it as well.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from services.memory.experiment.measuring import long_lived, measure, use
from services.memory.experiment.types import Kind, Operation, Setting

NICENESS = 10
WARM_UP = 10  # operations that are not measured, so that what is made only once is there
_PR_SET_PDEATHSIG = 1
_PARENT_GONE = 3


@dataclass(frozen=True, slots=True)
class Orders:
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
    def decoded(cls, line: bytes) -> tuple[Orders, int]:
        """Return the orders and the parent's process number."""
        told = json.loads(line)
        parent = int(told.pop("parent"))
        setting = told.pop("setting")
        thresholds = setting.pop("thresholds")
        operations = tuple((Kind(kind), int(size)) for kind, size in told.pop("operations"))
        return cls(
            **{**told, "folder": Path(told["folder"])},
            setting=Setting(tuple(thresholds) if thresholds else None, **setting),
            operations=operations,
        ), parent


class Body(Protocol):
    """What performs the operations: made by the wiring, of the real parts."""

    def perform(self, operation: Operation) -> None: ...
    def close(self) -> None: ...


def live(open_body: Callable[[Orders], Body]) -> None:
    """Do what the parent tells, once, and return; the last line of output is what was measured."""
    _step_back()
    out = _silence()
    orders, parent = Orders.decoded(sys.stdin.buffer.readline())
    _bind(parent, orders.cpu_seconds)
    body = open_body(orders)
    try:
        for operation in orders.operations[:WARM_UP]:
            body.perform(operation)
        kept = long_lived(orders.long_lived)
        use(orders.setting)
        wanted = gc.get_threshold(), gc.isenabled()

        def told(share: float) -> None:
            _say(out, {"share": round(share, 4)})

        figures = measure(orders.operations, body.perform, told)
        if (gc.get_threshold(), gc.isenabled()) != wanted:
            raise RuntimeError("something in the workload has changed the collector's settings")
        del kept
        _say(out, {"figures": asdict(figures)})
    finally:
        body.close()


def _say(out: IO[bytes], message: dict[str, Any]) -> None:
    out.write(json.dumps(message).encode() + b"\n")
    out.flush()


def _silence() -> IO[bytes]:
    """Keep the way to the parent for ourselves: what the workload prints goes nowhere."""
    out = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)
    return out


def _step_back() -> None:
    """Take what others leave of the processor, and be the first to go when memory runs out."""
    with suppress(OSError, AttributeError):
        os.nice(NICENESS)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _bind(parent: int, cpu_seconds: int) -> None:
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
