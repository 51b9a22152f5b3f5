"""A process that watches its own memory until it is killed: `python -m tests.memory.history.recording FOLDER SPEED`.

Prints the time of its newest sample again and again.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from services.core.events import NullEventSink
from services.memory.clock import Clock
from services.memory.monitor import MemoryMonitor


def main(folder: Path, speed: float) -> None:
    monitor = MemoryMonitor(folder, Clock(speed), NullEventSink())
    monitor.start()
    pause = threading.Event()
    while not pause.wait(0.02):
        newest = monitor.history.latest()
        if newest is not None:
            print(newest.time, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
