"""Judges one measure at all time scales, over and over, and remembers what it saw."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.memory.leaks.growth import (
    FEWEST_BLOCKS,
    NO_GROWTH,
    WATCHED_SHARE,
    Doubt,
    Growth,
    assess,
    by_requests,
    rises_with_time,
    without_load,
)
from services.memory.leaks.readings import (
    BLOCKS,
    DAY,
    EXPLAINED,
    HOUR,
    SCALES,
    WARM_UP_SHARE,
    Blocks,
    Measure,
    Readings,
    pace_of,
)
from services.memory.leaks.statistics import median
from services.memory.types import Floats, Series, owner_column

# Windows of whole days from here on have the time of day taken out.
DAILY = 3 * DAY
BLOCKS_A_DAY = 12
MOST_BLOCKS = 112
# How far back a level counts as having been there before, and the share of that time it must have lasted.
MEMORY = 8 * DAY
LASTED = 0.1
# Of its growth, a leak has this share above that level.
NEW_SHARE = 0.5
# A window that grew must still grow this much later: two windows in a row.
CONFIRM_SECONDS = 25.0
CONFIRM_SHARE = 0.04
# What owners explain is looked at when they account for this share of the growth.
EXPLAINED_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class WindowTrend:
    """A window that was judged: its length in seconds, what it showed, since when it looks like a leak."""

    window: float
    time: float
    growth: Growth
    since: float | None = None

    @property
    def leaks(self) -> bool:
        """Whether this and the looks before it name a leak."""
        return not self.growth.doubts and self.growth.significant

    @property
    def suspicious(self) -> bool:
        """Whether it looks like a leak, be it for the first time."""
        return self.growth.significant and not self.growth.doubts - {Doubt.UNCONFIRMED}

    @property
    def watched(self) -> bool:
        """Whether it grows, if not beyond doubt."""
        harmless = {Doubt.STEPS, Doubt.WANDERING, Doubt.RETURNING, Doubt.LOAD}
        return self.growth.significant and not self.growth.doubts & harmless


class MeasureWatch:
    """The looks at one measure, one per time scale."""

    def __init__(self, measure: Measure) -> None:
        self.measure = measure
        self.looks: dict[float, WindowTrend] = {}
        self._begin = 0.0

    def begin_again(self, moment: float) -> None:
        """Forget what was seen and judge only what comes after `moment`."""
        self.looks = {}
        self._begin = moment

    def look(self, readings: Readings, now: float, headroom: float | None) -> None:
        """Judge the scales that are due."""
        for window in SCALES:
            if now - window < max(self._begin, readings.begin + min(WARM_UP_SHARE * window, HOUR)):
                self.looks = {known: look for known, look in self.looks.items() if known < window}
                break
            before = self.looks.get(window)
            if before is not None and now - before.time < pace_of(window):
                continue
            blocks = blocks_of(readings, window, now)
            growth = None if blocks is None else self._judge(readings, blocks, window, now, headroom)
            if blocks is None or growth is None:
                self.looks.pop(window, None)
                continue
            self.looks[window] = self._confirmed(WindowTrend(window, now, growth), before)

    def doubt(self, look: WindowTrend, doubt: Doubt) -> None:
        """Put a doubt on a window that looks like a leak; the next look at it decides."""
        self.looks[look.window] = replace(look, growth=replace(look.growth, doubts=frozenset({doubt})))

    def _confirmed(self, look: WindowTrend, before: WindowTrend | None) -> WindowTrend:
        if not look.leaks:
            return look
        since = before.since if before is not None and before.since is not None else look.time
        if look.time - since >= max(CONFIRM_SECONDS, CONFIRM_SHARE * look.window):
            return replace(look, since=since)
        return replace(look, since=since, growth=replace(look.growth, doubts=frozenset({Doubt.UNCONFIRMED})))

    def _judge(
        self, readings: Readings, blocks: Blocks, window: float, now: float, headroom: float | None
    ) -> Growth | None:
        y = values_of(self.measure, blocks)
        if y is None or len(y) < FEWEST_BLOCKS:
            return None
        least = self.measure.least(window, headroom)
        if y.max() - y.min() < WATCHED_SHARE * least:
            return NO_GROWTH
        x = (blocks.times - blocks.times[0]) / HOUR
        if window >= DAILY:
            y = without_time_of_day(x, y)
        y = without_load(x, y, blocks.loads)
        growth = assess(x, y, least=least)
        if not growth.significant:
            return growth
        doubts = set(growth.doubts)
        served = blocks.served
        if served is not None and doubts & {Doubt.SLOWING, Doubt.STEPS}:
            again, minima = by_requests(y, served)
            if len(again) >= FEWEST_BLOCKS:
                requested = assess(again, minima, least=least)
                if requested.significant and not requested.doubts & {Doubt.SLOWING, Doubt.STEPS}:
                    doubts -= {Doubt.SLOWING, Doubt.STEPS}
        if any(rises_with_time(x, load) for load in blocks.loads):
            doubts.add(Doubt.LOAD)
        if self._was_there(readings, y, growth.grown, window, now):
            doubts.add(Doubt.RETURNING)
        if self.measure.series in {Series.LIVE, Series.RSS} and _explained(x, y, blocks, growth, least):
            doubts.add(Doubt.EXPLAINED)
        return replace(growth, doubts=frozenset(doubts))

    def _was_there(self, readings: Readings, y: Floats, grown: float, window: float, now: float) -> bool:
        start = max(readings.begin, now - window - MEMORY)
        parts = [values_of(self.measure, blocks) for blocks in readings.past(start, now - window, window / BLOCKS)]
        known = [part for part in parts if part is not None]
        if not known:
            return False
        highest = float(np.quantile(np.concatenate(known), 1.0 - LASTED))
        return median(y[-3:]) - highest < NEW_SHARE * grown


def values_of(measure: Measure, blocks: Blocks) -> Floats | None:
    """Return what a measure judges: RSS without live bytes where both are known, else its series as it is."""
    values = blocks.get(measure.series)
    live = blocks.get(Series.LIVE) if measure.series is Series.RSS else None
    return values if values is None or live is None else values - live


def blocks_of(readings: Readings, window: float, now: float) -> Blocks | None:
    """Return the blocks in which a window of `window` seconds is judged, None where too much of it is missing."""
    days = int(window / DAY)
    count = BLOCKS if window < DAILY else days * min(BLOCKS_A_DAY, MOST_BLOCKS // days)
    blocks = readings.blocks(now - window, now, count)
    return blocks if blocks is not None and len(blocks) >= 0.75 * count else None


def without_time_of_day(x: Floats, y: Floats) -> Floats:
    """Return `y` at `x` hours (whole days) without what comes back every day at the same time; the trend stays."""
    hours = median(np.diff(x))
    slots = np.floor((x % 24.0) / hours + 0.01).astype(np.int64)
    days = np.floor(x / 24.0)
    slope = _slope_between_days(days, slots, y)
    level = y - slope * x
    profile = np.zeros_like(y)
    for slot in np.unique(slots):
        profile[slots == slot] = level[slots == slot].mean()
    without: Floats = y - profile + profile.mean()
    return without


def _slope_between_days(days: Floats, slots: NDArray[np.int64], y: Floats) -> float:
    slopes = []
    for slot in range(int(slots.max()) + 1):
        at = slots == slot
        hours, values = days[at] * 24.0, y[at]
        if len(hours) > 1:
            hours -= hours.sum() / len(hours)
            slopes.append(float(hours @ values) / float(hours @ hours))
    return median(np.array(slopes)) if slopes else 0.0


def _explained(x: Floats, y: Floats, blocks: Blocks, growth: Growth, least: float) -> bool:
    """Whether what is left is no leak once the owners are taken out that hold what they were given to hold."""
    known = [values for owner in EXPLAINED if (values := blocks.get(owner_column(owner))) is not None]
    if not known:
        return False
    held = np.sum(known, axis=0)
    if median(held[-4:]) - median(held[:4]) < EXPLAINED_SHARE * growth.grown:
        return False
    rest = assess(x, y - held, least=least)
    return not rest.significant or bool(rest.doubts)
