"""The stretches of time that the memory page and the API show."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from services.core.i18n import _


class Range(StrEnum):
    """How far back; the value stands in the address bar and in the API."""

    MINUTES = "5m"
    HOUR = "1h"
    DAY = "24h"
    FORTNIGHT = "14d"


@dataclass(frozen=True, slots=True)
class RangePacing:
    """Length of a range, how often it is drawn anew in a tab, both in seconds."""

    seconds: float
    beat: float


PACES = {
    Range.MINUTES: RangePacing(300.0, 2.0),
    Range.HOUR: RangePacing(3600.0, 5.0),
    Range.DAY: RangePacing(86400.0, 30.0),
    Range.FORTNIGHT: RangePacing(14 * 86400.0, 60.0),
}


def range_name(choice: Range) -> str:
    """Return what a range is called."""
    return {
        Range.MINUTES: _("5 min"),
        Range.HOUR: _("1 h"),
        Range.DAY: _("24 h"),
        Range.FORTNIGHT: _("14 d"),
    }[choice]


def span(choice: Range, now: float, points: int) -> tuple[float, float]:
    """Return start and end in seconds, in whole steps of `points` a range.

    Steps keep their borders as time goes on, so that means over them do not change with every look.
    """
    seconds = PACES[choice].seconds
    step = max(1.0, seconds / points)
    end = ceil(now / step) * step
    return end - seconds, end
