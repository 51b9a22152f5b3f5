"""What watching the memory costs: CPU time over a stated window by activity, and the bytes that it holds."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from services.core.i18n import _
from services.core.memory_report import MemoryReport, Owner
from services.memory.ledger.object_size import ObjectSize, ObjectSizer

WINDOW_SECONDS = 600
# The objects are walked at most so often: a walk takes some milliseconds, and what it finds changes slowly.
_MEASURED_SECONDS = 300.0


class WatchingActivity(StrEnum):
    """What the watching spends CPU time on."""

    SAMPLES = "samples"  # a sample a second
    LEDGER = "ledger"  # RSS divided among owners, also before and after an action
    DETECTOR = "detector"  # the verdict
    CENSUS = "census"  # counting objects in a copy of the process
    HISTORY = "history"  # writing samples to disk
    CHARTS = "charts"  # charts of the memory pages
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class WatchingCost:
    """CPU time of watching: the mean of the last `window_seconds` in cores (1.0: one core), in all and by activity.

    `peak_cores` is the highest of a single second in the window, `peak_activity` what took most of that second, and
    `peak_age_seconds` how long ago it was; None before anything was spent.
    """

    window_seconds: float = 0.0
    cores: float = 0.0
    by_activity: Mapping[WatchingActivity, float] = field(default_factory=dict)
    peak_cores: float = 0.0
    peak_activity: WatchingActivity | None = None
    peak_age_seconds: float | None = None


class CostMeter:
    """Adds up the CPU seconds of the last ten minutes by activity, second by second. Thread-safe, of fixed size.

    It goes by real time, however fast the clock of the samples is: CPU time is real, too.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began = now()
        self._newest = int(self._began)
        self._lock = threading.Lock()
        self._spent = {activity: array("d", bytes(8 * WINDOW_SECONDS)) for activity in WatchingActivity}
        # Kept up to date, so that a reading each second costs next to nothing.
        self._in_all = dict.fromkeys(WatchingActivity, 0.0)
        self._by_second = array("d", bytes(8 * WINDOW_SECONDS))
        self._threads: dict[int, float] = {}

    def add(self, activity: WatchingActivity, seconds: float) -> None:
        """Add CPU seconds of one thread that were spent until now: one for each second that it took, at most."""
        left = min(max(0.0, seconds), float(WINDOW_SECONDS))
        with self._lock:
            place = self._advance()
            self._in_all[activity] += left
            while left > 0.0:
                part = min(left, 1.0)
                self._spent[activity][place] += part
                self._by_second[place] += part
                place = (place - 1) % WINDOW_SECONDS
                left -= part

    @contextmanager
    def measure(self, activity: WatchingActivity) -> Iterator[None]:
        """Add the CPU time of this thread inside the block."""
        began = time.thread_time()
        try:
            yield
        finally:
            self.add(activity, time.thread_time() - began)

    def add_thread(self, activity: WatchingActivity) -> None:
        """Add the CPU time of this thread since its last call; the first one adds what it has used so far."""
        thread, used = threading.get_ident(), time.thread_time()
        before = self._threads.get(thread, 0.0)
        self._threads[thread] = used
        self.add(activity, used - before)

    def cost(self) -> WatchingCost:
        """Return the cost over the last ten minutes, or since the start where that is less (20 microseconds)."""
        with self._lock:
            place = self._advance()
            window = min(float(WINDOW_SECONDS), max(1.0, self._now() - self._began))
            by_activity = {activity: max(0.0, spent) / window for activity, spent in self._in_all.items()}
            peak = max(self._by_second)
            newest_first = self._by_second[place::-1] + self._by_second[:place:-1]
            age = newest_first.index(peak)
            worst = max(self._spent, key=lambda activity: self._spent[activity][place - age])
        return WatchingCost(
            window,
            sum(by_activity.values()),
            by_activity,
            peak,
            worst if peak else None,
            float(age) if peak else None,
        )

    def _advance(self) -> int:
        """Return the place of the present second, with those that were passed over since the last call at zero."""
        second = int(self._now())
        for passed in range(self._newest + 1, min(second, self._newest + WINDOW_SECONDS) + 1):
            place = passed % WINDOW_SECONDS
            self._by_second[place] = 0.0
            for activity, spent in self._spent.items():
                if spent[place]:
                    self._in_all[activity] -= spent[place]
                    spent[place] = 0.0
        self._newest = max(self._newest, second)
        return self._newest % WINDOW_SECONDS


class WatchingMemory:
    """Reports what the parts of the watching hold; a `services.core.memory_report.MemoryReporter`.

    Args:
        parts: return the objects that belong to the watching alone.
        shared: types of parts that belong to others, not to be walked into.
        now: the time in seconds; walks are `_MEASURED_SECONDS` apart.
    """

    def __init__(
        self,
        parts: Callable[[], tuple[object, ...]],
        shared: tuple[type, ...],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parts = parts
        self._shared = shared
        self._now = now
        self._size = ObjectSize()
        self._measured: float | None = None

    def __call__(self) -> list[MemoryReport]:
        """Return the size of the parts as it was last measured, at most five minutes ago."""
        now = self._now()
        if self._measured is None or now - self._measured >= _MEASURED_SECONDS:
            self._size = ObjectSizer(self._shared).measure(*self._parts()).without_addresses()
            self._measured = now
        return self._size.memory_reports(Owner.WATCHING, _("Watching"), _("samples, readings and counts"), 1)
