"""A clock that is moved on by hand, so that an hour of watching takes what its work takes, on any machine."""

from __future__ import annotations

import threading

from services.memory.clock import Clock

# A thread that waits also looks at its event, which nobody announces here.
LOOK_SECONDS = 0.05


class SteppedClock(Clock):
    """Real time at first; from `begin` on, time passes by `advance` alone.

    `advance` lets everybody who waits on this clock do what is due, second by second, and returns once they all wait
    again: a judgement or a census takes no time on this clock, however busy the machine is.
    """

    def __init__(self) -> None:
        super().__init__()
        self._condition = threading.Condition()
        self._now: float | None = None
        self._targets: dict[threading.Thread, float] = {}

    def begin(self) -> None:
        """Stop the time."""
        with self._condition:
            self._now = super().time()
            self._condition.notify_all()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        end = self.time() + seconds
        while (now := self.time()) < end:
            with self._condition:
                self._now = min(now + 1.0, end)
                self._condition.notify_all()
                self._condition.wait_for(self._settled)

    def time(self) -> float:
        """Return seconds since the epoch."""
        return super().time() if self._now is None else self._now

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait `seconds` of this clock or until `event` is set; return whether it is."""
        me = threading.current_thread()
        target = self.time() + max(0.0, seconds)
        with self._condition:
            self._targets[me] = target
            self._condition.notify_all()
            while self.time() < target and not event.is_set():
                self._condition.wait(LOOK_SECONDS if self._now is not None else min(LOOK_SECONDS, target - self.time()))
            self._targets[me] = -1.0  # it works now
        return event.is_set()

    def _settled(self) -> bool:
        return all(target > self.time() for thread, target in self._targets.items() if thread.is_alive())
