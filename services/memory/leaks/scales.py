"""The time scales that are judged, and how much growth each asks for before it may be called a leak.

Fast growth must be named at once, slow growth may be watched for longer. A cache that fills or a day's swing looks
like a leak for as long as it rises: what is asked for grows with the window, so that caches of a usual size are full,
and the day is over, before anything is named. After most of a day little is enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from services.memory.leaks.types import LeakKind
from services.memory.types import Series

MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0
MB = 2.0**20

# Seconds. Whole days from two days on: the time of day is taken out of those.
SCALES: tuple[float, ...] = (
    *(220.0, 330.0, 500.0, 750.0, 1200.0, 1800.0, 2700.0),
    *(70 * MINUTE, 105 * MINUTE, 160 * MINUTE, 4 * HOUR, 6 * HOUR, 9 * HOUR, 13 * HOUR, 18 * HOUR, 27 * HOUR),
    *(2 * DAY, 3 * DAY, 5 * DAY, 7 * DAY, 14 * DAY),
)
SHORTEST = SCALES[0]
LONG = 18 * HOUR
# The part of a process's life that is never judged: imports, models, first requests.
WARM_UP = 60.0
# A window begins no earlier than this share of its length after the start.
WARM_UP_SHARE = 0.05
BLOCKS = 32


@dataclass(frozen=True, slots=True)
class Measure:
    """A series that may leak.

    `least_fast` and `least_slow` are the growth in its unit (bytes, or a count) that a leak must have reached in the
    shortest window and in one of most of a day or more; `power` says how the first grows with the window.
    """

    series: Series
    kind: LeakKind | None
    least_fast: float
    least_slow: float
    power: float = 0.17

    def least(self, window: float, headroom: float | None = None) -> float:
        """Return the growth that a leak must have reached in `window` seconds.

        `headroom` is what is left up to the limit: where that is little, less is asked for.
        """
        if window >= LONG:
            return self.least_slow
        least = self.least_fast * math.pow(window / SHORTEST, self.power)
        return least if headroom is None else min(least, max(headroom / 4, self.least_fast / 3))


LIVE = Measure(Series.LIVE, None, 96 * MB, 12 * MB)
RSS = Measure(Series.RSS, None, 96 * MB, 16 * MB)
GPU = Measure(Series.GPU_ALLOCATED, LeakKind.GPU, 96 * MB, 16 * MB)
THREADS = Measure(Series.THREADS, LeakKind.THREADS, 40, 12, power=0.0)
DESCRIPTORS = Measure(Series.DESCRIPTORS, LeakKind.DESCRIPTORS, 80, 24, power=0.0)


def pace_of(window: float) -> float:
    """Return after how many seconds a window of this length is worth another look."""
    return max(10.0, window / 40)
