"""The growth of one measure in windows of every length, re-assessed as the windows move on."""

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
    assess_growth,
    blocks_by_requests,
    remove_load,
    rises_with_time,
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
    review_interval,
)
from services.memory.leaks.statistics import median
from services.memory.types import Floats, Series, owner_column

# From this length on, windows are whole days and their daily cycle is removed.
DAILY = 3 * DAY
BLOCKS_A_DAY = 12
MOST_BLOCKS = 112
# A level counts as seen before if it lasted for this share of so many seconds before the window.
LOOKBACK = 8 * DAY
LASTING_SHARE = 0.1
# A leak has this share of its growth above that level.
NEW_SHARE = 0.5
# Growth must still be there this much later, in seconds and as a share of the window.
CONFIRM_SECONDS = 25.0
CONFIRM_SHARE = 0.04
# Owners of bounded memory are considered when they account for this share of the growth.
EXPLAINED_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class WindowTrend:
    """The growth in one window: its length in seconds, its end, and since when it has looked like a leak."""

    window: float
    time: float
    growth: Growth
    since: float | None = None

    @property
    def leaks(self) -> bool:
        """Whether the growth is a leak: significant, free of doubts and confirmed."""
        return not self.growth.doubts and self.growth.significant

    @property
    def suspicious(self) -> bool:
        """Whether the growth looks like a leak, confirmed or not."""
        return self.growth.significant and not self.growth.doubts - {Doubt.UNCONFIRMED}

    @property
    def watched(self) -> bool:
        """Whether the growth deserves watching: significant, and no doubt makes it harmless."""
        harmless = {Doubt.STEPS, Doubt.WANDERING, Doubt.RETURNING, Doubt.LOAD}
        return self.growth.significant and not self.growth.doubts & harmless


class MeasureWatch:
    """The trends of one measure, one per window length."""

    def __init__(self, measure: Measure) -> None:
        self.measure = measure
        self.trends: dict[float, WindowTrend] = {}
        self._begin = 0.0

    def restart(self, moment: float) -> None:
        """Drop all trends and assess only what comes after `moment`."""
        self.trends = {}
        self._begin = moment

    def update(self, readings: Readings, now: float, headroom: float | None) -> None:
        """Assess the windows that are due; `headroom` is what is left up to the limit, in bytes."""
        for window in SCALES:
            if now - window < max(self._begin, readings.begin + min(WARM_UP_SHARE * window, HOUR)):
                self.trends = {known: trend for known, trend in self.trends.items() if known < window}
                break
            before = self.trends.get(window)
            if before is not None and now - before.time < review_interval(window):
                continue
            blocks = window_blocks(readings, window, now)
            growth = None if blocks is None else self._assess(readings, blocks, window, now, headroom)
            if blocks is None or growth is None:
                self.trends.pop(window, None)
                continue
            self.trends[window] = self._confirm(WindowTrend(window, now, growth), before)

    def doubt(self, trend: WindowTrend, doubt: Doubt) -> None:
        """Replace the doubts of a window that looks like a leak by this one, until it is assessed again."""
        self.trends[trend.window] = replace(trend, growth=replace(trend.growth, doubts=frozenset({doubt})))

    def _confirm(self, trend: WindowTrend, before: WindowTrend | None) -> WindowTrend:
        if not trend.leaks:
            return trend
        since = before.since if before is not None and before.since is not None else trend.time
        if trend.time - since >= max(CONFIRM_SECONDS, CONFIRM_SHARE * trend.window):
            return replace(trend, since=since)
        return replace(trend, since=since, growth=replace(trend.growth, doubts=frozenset({Doubt.UNCONFIRMED})))

    def _assess(
        self, readings: Readings, blocks: Blocks, window: float, now: float, headroom: float | None
    ) -> Growth | None:
        y = measure_values(self.measure, blocks)
        if y is None or len(y) < FEWEST_BLOCKS:
            return None
        least = self.measure.least(window, headroom)
        if y.max() - y.min() < WATCHED_SHARE * least:
            return NO_GROWTH
        x = (blocks.times - blocks.times[0]) / HOUR
        if window >= DAILY:
            y = remove_daily_cycle(x, y)
        y = remove_load(x, y, blocks.loads)
        growth = assess_growth(x, y, least=least)
        if not growth.significant:
            return growth
        doubts = set(growth.doubts)
        served = blocks.served
        if served is not None and doubts & {Doubt.SLOWING, Doubt.STEPS}:
            again, minima = blocks_by_requests(y, served)
            if len(again) >= FEWEST_BLOCKS:
                requested = assess_growth(again, minima, least=least)
                if requested.significant and not requested.doubts & {Doubt.SLOWING, Doubt.STEPS}:
                    doubts -= {Doubt.SLOWING, Doubt.STEPS}
        if any(rises_with_time(x, load) for load in blocks.loads):
            doubts.add(Doubt.LOAD)
        if self._level_seen_before(readings, y, growth.grown, window, now):
            doubts.add(Doubt.RETURNING)
        if self.measure.series in {Series.LIVE, Series.RSS} and _explained(x, y, blocks, growth, least):
            doubts.add(Doubt.EXPLAINED)
        return replace(growth, doubts=frozenset(doubts))

    def _level_seen_before(self, readings: Readings, y: Floats, grown: float, window: float, now: float) -> bool:
        start = max(readings.begin, now - window - LOOKBACK)
        parts = [measure_values(self.measure, blocks) for blocks in readings.past(start, now - window, window / BLOCKS)]
        known = [part for part in parts if part is not None]
        if not known:
            return False
        highest = float(np.quantile(np.concatenate(known), 1.0 - LASTING_SHARE))
        return median(y[-3:]) - highest < NEW_SHARE * grown


def measure_values(measure: Measure, blocks: Blocks) -> Floats | None:
    """Return the values that a measure assesses: RSS without live bytes where both are known, else its series."""
    values = blocks.get(measure.series)
    live = blocks.get(Series.LIVE) if measure.series is Series.RSS else None
    return values if values is None or live is None else values - live


def window_blocks(readings: Readings, window: float, now: float) -> Blocks | None:
    """Return the blocks of the window of `window` seconds that ends at `now`, None where over a quarter is missing."""
    days = int(window / DAY)
    count = BLOCKS if window < DAILY else days * min(BLOCKS_A_DAY, MOST_BLOCKS // days)
    blocks = readings.blocks(now - window, now, count)
    return blocks if blocks is not None and len(blocks) >= 0.75 * count else None


def remove_daily_cycle(x: Floats, y: Floats) -> Floats:
    """Return `y` at `x` hours (whole days) without its daily cycle; the trend stays."""
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
    """Whether the growth is no leak once owners of bounded or requested memory are subtracted."""
    known = [values for owner in EXPLAINED if (values := blocks.get(owner_column(owner))) is not None]
    if not known:
        return False
    held = np.sum(known, axis=0)
    if median(held[-4:]) - median(held[:4]) < EXPLAINED_SHARE * growth.grown:
        return False
    rest = assess_growth(x, y - held, least=least)
    return not rest.significant or bool(rest.doubts)
