"""What watching itself costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from services.memory.types import Series


class Spending:
    """CPU of the threads that watch. Each of them says now and then how much it has used; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = {}
        self._left_out: dict[str, float] = {}
        self._last: tuple[float, float] | None = None

    def note(self) -> None:
        """Note the CPU time of the thread that calls."""
        name, seconds = threading.current_thread().name, time.thread_time()
        with self._lock:
            self._seconds[name] = seconds - self._left_out.get(name, 0.0)

    def leave_out(self, seconds: float) -> None:
        """Do not count `seconds` of CPU of the thread that calls: it did something else than to watch."""
        name = threading.current_thread().name
        with self._lock:
            self._left_out[name] = self._left_out.get(name, 0.0) + seconds

    def seconds(self) -> Mapping[str, float]:
        """Return the CPU seconds by thread."""
        with self._lock:
            return dict(self._seconds)

    def __call__(self) -> Mapping[str, float]:
        """Return the share of one core since the last call."""
        self.note()
        now, spent = time.monotonic(), sum(self.seconds().values())
        last, self._last = self._last, (now, spent)
        if last is None or now <= last[0]:
            return {}
        return {Series.SAMPLER_CPU: max(0.0, spent - last[1]) / (now - last[0])}
