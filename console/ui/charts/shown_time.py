"""The stretch of time that a chart shows: a range back from now, or what there is of it."""

from __future__ import annotations

from dataclasses import dataclass

from services.core.i18n import _
from services.core.time_ranges import PACING, Range, time_window
from services.memory.leaks.wording import duration_text
from services.memory.monitor import MemoryMonitor

_LEAST_SECONDS = 60.0
_HARDLY = 0.03  # of a range: so much less is not worth a word


@dataclass(frozen=True, slots=True)
class ShownTime:
    """`start` and `end` of the points to ask the history for, `span` of the axis, all in seconds since the epoch.

    `note` says that the axis begins later than the range, "" where it does not.
    """

    start: float
    end: float
    span: tuple[float, float]
    note: str = ""


def shown_time(memory: MemoryMonitor, choice: Range, points: int) -> ShownTime:
    """Return what a chart of this range shows now: from its first sample on, where there is none before."""
    now, seconds = memory.clock.time(), PACING[choice].seconds
    first = memory.history.first_time(now - seconds, now)
    if first is None or first - (now - seconds) <= _HARDLY * seconds:
        start, end = time_window(choice, now, points)
        return ShownTime(start, end, (now - seconds, now))
    begin = min(first, now - _LEAST_SECONDS)
    start, end = time_window(choice, now, points, since=begin)
    return ShownTime(start, end, (begin, now), _note(memory, first, now))


def _note(memory: MemoryMonitor, first: float, now: float) -> str:
    ago = duration_text(now - first)
    if abs(first - memory.history.run_start()) < 1.0:
        return _("Since the start, {time} ago").format(time=ago)
    return _("Since the first sample, {time} ago").format(time=ago)
