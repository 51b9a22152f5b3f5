"""The clock of the memory monitor: real time, or faster for tests."""

from __future__ import annotations

import threading
import time

# The system's clock is followed once it is ahead by so many seconds: the machine slept, or its clock was corrected.
_AHEAD = 2.0


class Clock:
    """Returns the time and waits. With `speed` 60 a minute passes each second; sampling keeps pace with it."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._lock = threading.Lock()
        self._began = time.time()
        self._origin = time.monotonic()

    def time(self) -> float:
        """Return seconds since the epoch, never decreasing: a system clock set back takes effect after a restart."""
        now = self._began + (time.monotonic() - self._origin) * self.speed
        if self.speed == 1.0 and time.time() - now > _AHEAD:
            with self._lock:
                self._began = max(self._began, time.time() - (time.monotonic() - self._origin))
                now = self._began + time.monotonic() - self._origin
        return now

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait `seconds` of this clock or until `event` is set; return whether it is set."""
        return event.wait(max(0.0, seconds) / self.speed)
