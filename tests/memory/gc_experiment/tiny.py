"""A child with a workload of a second: `python -m tests.memory.gc_experiment.tiny`; `orders.service` says how it fails.

"crash" ends it halfway, "hang" makes it wait for ever with a helper process of its own, "grow" takes memory
without end. It makes garbage that only the collector can free.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from typing import Any

from services.memory.gc_experiment.child import ChildOrders, run_child_main
from services.memory.gc_experiment.types import Operation, OperationKind

AT = 20  # operations before what goes wrong


class TinyExecutor:
    def __init__(self, orders: ChildOrders) -> None:
        self._how = orders.service.get("how", "")
        self._done = 0
        self._kept: deque[Any] = deque(maxlen=200)
        self._grown: list[bytearray] = []
        (orders.folder / "a file").write_text("left behind?")

    def perform(self, operation: Operation) -> None:
        self._done += 1
        kind, size = operation
        if self._done == AT:
            self._go_wrong()
        if self._how == "grow":
            self._grown.append(bytearray(os.urandom(1)) * 10_000_000)
        for _number in range(size or 50):
            ring: list[Any] = [kind]
            ring.append(ring)
            self._kept.append(ring)

    def _go_wrong(self) -> None:
        if self._how == "crash":
            raise RuntimeError("the planted defect")
        if self._how == "killed":
            os.abort()
        if self._how == "hang":
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            threading.Event().wait()

    def close(self) -> None:
        pass


def operations(count: int, size: int = 50) -> tuple[Operation, ...]:
    return ((OperationKind.PAGE, size),) * count


if __name__ == "__main__":
    run_child_main(TinyExecutor)
