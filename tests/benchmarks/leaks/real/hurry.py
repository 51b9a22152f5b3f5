"""A clock that keeps real time while the service starts and runs fast from then on."""

from __future__ import annotations

import time

from services.memory.clock import Clock


class HurryingClock(Clock):
    """Real at first: a start that takes seconds shall not look like one that takes minutes."""

    def hurry(self, speed: float) -> None:
        """Run `speed` times as fast from now on; the time of day does not jump."""
        now = self.time()
        self._origin, self._began = time.monotonic(), now
        self.speed = speed
