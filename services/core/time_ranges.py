"""Time ranges that pages and the API offer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from services.core.i18n import _


class Range(StrEnum):
    """How far back; the value is part of page addresses and of the API."""

    MINUTES = "5m"
    HOUR = "1h"
    DAY = "24h"
    FORTNIGHT = "14d"


@dataclass(frozen=True, slots=True)
class RangePacing:
    """Length of a range, and how often a page redraws it, both in seconds."""

    seconds: float
    refresh_seconds: float


PACING = {
    Range.MINUTES: RangePacing(300.0, 2.0),
    Range.HOUR: RangePacing(3600.0, 5.0),
    Range.DAY: RangePacing(86400.0, 30.0),
    Range.FORTNIGHT: RangePacing(14 * 86400.0, 60.0),
}


def range_label(choice: Range) -> str:
    """Return the label of a range."""
    return {
        Range.MINUTES: _("5 min"),
        Range.HOUR: _("1 h"),
        Range.DAY: _("24 h"),
        Range.FORTNIGHT: _("14 d"),
    }[choice]


def time_window(choice: Range, now: float, points: int, *, since: float | None = None) -> tuple[float, float]:
    """Return start and end in seconds since the epoch, in whole steps of which a range has `points`.

    Steps keep their borders as time goes on, so that means over them stay the same from one call to the next. With
    `since`, before which there is nothing, they are finer: so many in a minute times a power of two that reaches there.
    """
    seconds = PACING[choice].seconds
    if since is not None:
        reach = 60.0
        while reach < now - since:
            reach *= 2
        seconds = min(seconds, reach)
    step = max(1.0, seconds / points)
    end = ceil(now / step) * step
    return end - seconds, end
