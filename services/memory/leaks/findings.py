"""The growth that a verdict rests on: which measure and window show it best, and which kind of memory it is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from services.core.machine import MEGABYTE
from services.core.memory_report import Owner
from services.memory.leaks.course import Step
from services.memory.leaks.growth import Doubt, remove_load
from services.memory.leaks.plateaus import LEAST_STEP
from services.memory.leaks.probes import CensusHistory
from services.memory.leaks.readings import LIVE, RSS, Blocks, Measure, Readings
from services.memory.leaks.statistics import removed_steps, theil_sen_slope
from services.memory.leaks.types import LeakKind, VerdictState
from services.memory.leaks.windows import MeasureWatch, WindowTrend, measure_values, window_blocks
from services.memory.objects.types import Census
from services.memory.types import Series, owner_column

# Bytes that a leaked thread (stack, working memory) or descriptor (buffers) holds at least. Where these could make up
# this share of the growth in memory, they are its cause.
BYTES_EACH = {LeakKind.THREADS: float(MEGABYTE), LeakKind.DESCRIPTORS: 128 * 1024.0}
CAUSE_SHARE = 0.3
# Growth is even while its second half is no more than this much faster than the first.
EVEN = 1.5
PYTHON_SHARE = 0.45
# Bytes of an average small Python object, where only their number is known.
BLOCK_BYTES = 72.0


@dataclass(frozen=True, slots=True)
class GrowthParts:
    """The growth in a window by part of the memory, in bytes; None where it is not known."""

    live: float | None
    rss: float | None
    small: float | None  # Python's small objects
    large: float | None  # Python objects over 512 bytes
    free: float | None  # free memory that the allocators keep
    unnamed: float | None


@dataclass(frozen=True, slots=True)
class Finding:
    """Growth that is worth a verdict of watch or leak, and the window that shows it best."""

    state: VerdictState
    kind: LeakKind
    measure: Measure
    trend: WindowTrend
    blocks: Blocks
    parts: GrowthParts


def find_growth(watches: Collection[MeasureWatch], readings: Readings, censuses: CensusHistory) -> Finding | None:
    """Return the finding that explains most bytes an hour: a leak if there is any, else growth to watch, else None."""
    found = [one for watch in watches if (one := _best_finding(watch, readings, censuses)) is not None]
    if any(one.measure is LIVE for one in found):
        # RSS grows along with it and says nothing new.
        found = [one for one in found if one.measure is not RSS]
    leaks = [one for one in found if one.state is VerdictState.LEAK]
    return max(leaks or found, key=_weight, default=None)


def reclassify(found: Finding, censuses: CensusHistory) -> Finding:
    """Return the finding with its kind decided again, from the censuses there are by now."""
    return _make_finding(found.state, found.measure, found.trend, found.blocks, censuses)


def left_out(found: Finding) -> list[Step]:
    """Return the steps that the slope of a finding leaves out: memory that was asked for at once does not grow."""
    y = measure_values(found.measure, found.blocks)
    if y is None or found.kind in BYTES_EACH:
        return []
    times, half = found.blocks.times, found.blocks.length / 2
    return [
        Step(float(times[last] - half), float(times[first] + half), float(times[first] - half), height)
        for last, first, height in removed_steps(y)
        if height >= LEAST_STEP
    ]


def _best_finding(watch: MeasureWatch, readings: Readings, censuses: CensusHistory) -> Finding | None:
    trends = list(watch.trends.values())
    for state, chosen in (
        (VerdictState.LEAK, [trend for trend in trends if trend.leaks]),
        (VerdictState.WATCH, [trend for trend in trends if trend.watched]),
    ):
        trend = _clearest(chosen)
        blocks = None if trend is None else window_blocks(readings, trend.window, trend.time)
        if trend is not None and blocks is not None:
            return _make_finding(state, watch.measure, trend, blocks, censuses)
    return None


def _clearest(trends: Sequence[WindowTrend]) -> WindowTrend | None:
    """Return the longest of the windows that grow evenly; the shortest where growth has only begun in all of them."""
    even = [trend for trend in trends if trend.growth.pace <= EVEN]
    return (
        max(even, key=lambda trend: trend.window) if even else min(trends, key=lambda trend: trend.window, default=None)
    )


def _make_finding(
    state: VerdictState, measure: Measure, trend: WindowTrend, blocks: Blocks, censuses: CensusHistory
) -> Finding:
    parts = growth_parts(blocks, censuses.since(trend.time - trend.window), trend.window)
    kind = measure.kind
    if measure is LIVE or (measure is RSS and parts.live is None):
        kind = classify_live_growth(parts)
    elif measure is RSS:
        kind = classify_rss_growth(parts)
    if kind is LeakKind.RETENTION:
        # What the allocator keeps can be returned to the system: no leak.
        state = VerdictState.WATCH
        trend = replace(trend, growth=replace(trend.growth, doubts=trend.growth.doubts | {Doubt.RETAINED}))
    return Finding(state, kind or LeakKind.NATIVE, measure, trend, blocks, parts)


def _weight(found: Finding) -> float:
    """Return how much growth of memory it could explain, in bytes an hour."""
    slope = found.trend.growth.slope
    return slope * BYTES_EACH[found.kind] / CAUSE_SHARE if found.kind in BYTES_EACH else slope


def growth_parts(blocks: Blocks, censuses: Sequence[Census], window: float) -> GrowthParts:
    """Return the growth in a window of `window` seconds by part; large objects are extrapolated from the censuses."""
    small = _rise(blocks, Series.PYTHON_USED)
    if small is None:
        count = _rise(blocks, Series.PYTHON_BLOCKS)
        small = None if count is None else count * BLOCK_BYTES
    large = None
    if len(censuses) > 1 and censuses[-1].time > censuses[0].time:
        more = censuses[-1].large_bytes - censuses[0].large_bytes
        large = more / (censuses[-1].time - censuses[0].time) * window
    frees = [_rise(blocks, owner_column(owner)) for owner in (Owner.NATIVE_FREE, Owner.PYTHON_FREE)]
    known = [free for free in frees if free is not None]
    return GrowthParts(
        live=_rise(blocks, Series.LIVE),
        rss=_rise(blocks, Series.RSS),
        small=small,
        large=large,
        free=sum(known) if known else None,
        unnamed=_rise(blocks, owner_column(Owner.UNNAMED)),
    )


def classify_live_growth(parts: GrowthParts) -> LeakKind:
    """Return the kind of growth in live bytes."""
    if parts.live is None or parts.live <= 0.0:
        return LeakKind.PYTHON if parts.small is not None and parts.small > 0.0 else LeakKind.NATIVE
    python = max(0.0, parts.small or 0.0) + max(0.0, parts.large or 0.0)
    return LeakKind.PYTHON if python >= PYTHON_SHARE * parts.live else LeakKind.NATIVE


def classify_rss_growth(parts: GrowthParts) -> LeakKind:
    """Return the kind of growth in RSS that live bytes do not show.

    Memory that no allocator keeps and no owner claims was mapped directly, which makes it native.
    """
    if parts.rss is None or parts.free is None or parts.unnamed is None:
        return LeakKind.RETENTION
    mapped = parts.free < 0.25 * parts.rss and parts.unnamed > 0.5 * parts.rss
    return LeakKind.NATIVE if mapped else LeakKind.RETENTION


def _rise(blocks: Blocks, column: str) -> float | None:
    values = blocks.get(column)
    if values is None:
        return None
    values = remove_load(blocks.times, values, blocks.loads)
    return theil_sen_slope(blocks.times, values) * float(blocks.times[-1] - blocks.times[0])
