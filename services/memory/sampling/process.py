"""What the system says of this process: RSS, threads, descriptors, CPU."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping

import psutil

from services.memory.process import rss_bytes
from services.memory.types import Series


class ProcessSource:
    """Reads the process's own figures. Threads are those of the system, native ones too."""

    def __init__(self, proc: str = "/proc") -> None:
        self._threads = f"{proc}/self/task"
        self._descriptors = f"{proc}/self/fd"
        self._cpu: tuple[float, float] | None = None

    def __call__(self) -> Mapping[str, float]:
        """Return RSS, threads, descriptors and CPU since the last call."""
        values: dict[str, float] = {Series.RSS: float(rss_bytes()), Series.THREADS: float(self._count_threads())}
        descriptors = self._count_descriptors()
        if descriptors is not None:
            values[Series.DESCRIPTORS] = float(descriptors)
        now, cpu = time.monotonic(), time.process_time()
        if self._cpu is not None and now > self._cpu[0]:
            values[Series.CPU] = (cpu - self._cpu[1]) / (now - self._cpu[0])
        self._cpu = (now, cpu)
        return values

    def _count_threads(self) -> int:
        try:
            # A folder's links are its subfolders and itself twice; the kernel keeps this count for /proc/self/task.
            links = os.stat(self._threads).st_nlink  # noqa: PTH116 - called each second: a Path would cost more than the call
        except OSError:
            return threading.active_count()
        return links - 2 if links > 2 else threading.active_count()

    def _count_descriptors(self) -> int | None:
        try:
            # Since Linux 6.2 the size of this folder is the number of open files; before, it is 0.
            size = os.stat(self._descriptors).st_size  # noqa: PTH116 - as above
            return size or len(os.listdir(self._descriptors)) - 1  # noqa: PTH208 - as above; without the one that lists
        except OSError:
            pass
        count = getattr(psutil.Process(), "num_fds", None) or getattr(psutil.Process(), "num_handles", None)
        return int(count()) if count is not None else None
