"""Threads of low priority: what they compute stands behind questions and pages."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

NICENESS = 10


def start_low_priority_thread(name: str, run: Callable[[], None]) -> threading.Thread:
    """Start a daemon thread of low priority."""

    def low() -> None:
        lower_priority()
        run()

    thread = threading.Thread(target=low, name=name, daemon=True)
    thread.start()
    return thread


def lower_priority(niceness: int = NICENESS) -> None:
    """Lower the priority of the calling thread; threads that it starts inherit it.

    On Linux the priority belongs to a thread, not to the process (setpriority(2)).
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(niceness, os.getpriority(os.PRIO_PROCESS, thread)))
