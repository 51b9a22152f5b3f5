"""The clock of everything that watches: real, or faster for tests that cannot wait for days."""

from __future__ import annotations

import threading
import time


class Clock:
    """Tells the time and waits. With `speed` 60 a minute passes each second; sampling keeps pace with it."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._began = time.time()
        self._origin = time.monotonic()

    def time(self) -> float:
        """Return seconds since the epoch; never goes back, whatever happens to the system's clock."""
        return self._began + (time.monotonic() - self._origin) * self.speed

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait `seconds` of this clock or until `event` is set; return whether it is."""
        return event.wait(max(0.0, seconds) / self.speed)
