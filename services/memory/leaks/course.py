"""How RSS went in this run, as a chart of it shows: level since when, and the steps before, each with what caused it.

A verdict speaks of RSS in the words of its course. Whatever RSS rose or fell by is accounted for: level at the
beginning, steps, gradual drift and the change since the last step add up to the level now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from services.core.events import EventKind
from services.memory.leaks.plateaus import LEVEL_SHARE, Curve, Plateau, find_plateaus, smooth, step_tolerance
from services.memory.leaks.statistics import Trend, block_starts, mann_kendall_trend, median
from services.memory.types import Floats

# A movement of this share of the tolerance is a step, a smaller one a drift.
LISTED_SHARE = 0.75
# A step that took longer went gradually.
GRADUAL_SECONDS = 180.0
# A swing comes back to both ends of its band, within this share of it, in each of so many parts of its time.
SWING_PARTS = 3
SWING_SHARE = 0.3
# A swing within blocks reaches an end of the band in all but this share of them.
HIDDEN_SHARE = 0.25
# It is told instead of a flat stretch when it lasted so many times as long.
SWING_LONGER = 3.0
# What went away from a level for so long, and came back, is still at it.
TAIL_SECONDS = 180.0
# The rate rests on so many blocks.
RATE_BLOCKS = 48
HOUR = 3600.0
# The band holds this share of the time.
BAND_SHARE = 0.95


class CourseShape(StrEnum):
    """How RSS has been going lately."""

    FLAT = "flat"
    SWING = "swing"  # up and down within a band
    RISING = "rising"
    FALLING = "falling"


@dataclass(frozen=True, slots=True)
class Cause:
    """An event on the time line that can have caused a step."""

    event_id: int
    kind: EventKind
    time: float
    detail: str


@dataclass(frozen=True, slots=True)
class Step:
    """RSS went from one level to another between `begin` and `end`; half of it by `time`. Without causes: unexplained.

    `gap`: nothing was measured meanwhile. `gradual`: it took minutes.
    """

    begin: float
    end: float
    time: float
    bytes: float
    gap: bool = False
    gradual: bool = False
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True, slots=True)
class Course:
    """How RSS went from `begin` to `time`; bytes, and times in seconds since the epoch.

    Since `since` it has had this shape, within `low_bytes` and `high_bytes` (a flat one for 95 % of the time at its
    level), and changed by `change_bytes`. `excursions` are the times at which it left that level and came back, with
    the furthest that a sample was away, `earlier_excursions` those before; single samples went up to `peak_bytes` and
    down to `dip_bytes`. `begin_bytes`, the steps, `drift_bytes` (what was too gradual for a step) and
    `change_bytes` add up to `level_bytes`. `gaps` are the times for which nothing was measured, `current` is what goes
    on while it rises or falls.
    """

    time: float
    begin: float
    begin_bytes: float
    shape: CourseShape
    since: float
    level_bytes: float
    change_bytes: float
    low_bytes: float
    high_bytes: float
    peak_bytes: float
    dip_bytes: float
    drift_bytes: float
    tolerance_bytes: float
    rate: Trend | None
    steps: tuple[Step, ...] = ()
    excursions: tuple[Step, ...] = ()
    earlier_excursions: tuple[Step, ...] = ()
    gaps: tuple[tuple[float, float], ...] = ()
    current: Step | None = None

    @property
    def seconds(self) -> float:
        """For how long it has had this shape."""
        return self.time - self.since

    def gaps_since(self, moment: float) -> tuple[tuple[float, float], ...]:
        """Return the gaps that end after a moment."""
        return tuple(gap for gap in self.gaps if gap[1] > moment)


def trace_course(curve: Curve, level: float, now: float, gaps: Sequence[tuple[float, float]] = ()) -> Course:
    """Return the course of a curve of one block or more up to `now`, where RSS is `level`; causes are not known yet."""
    tolerance = step_tolerance(curve.values)
    plateaus = find_plateaus(curve, tolerance)
    shape, place = _shape(curve, plateaus, tolerance)
    swing = _swing_start(curve, plateaus, place, tolerance)
    if swing is not None:
        shape, place = CourseShape.SWING, swing
    smoothed = replace(curve, values=smooth(curve.values))  # a single block turns no movement round
    steps, drift = _movements(smoothed, plateaus, place, tolerance, gaps)
    current = None
    if shape in {CourseShape.RISING, CourseShape.FALLING}:
        begun = float(smoothed.values[0]) + sum(step.bytes for step in steps) + drift
        first = (max(place - 1, 0), begun)
        *earlier, current = _split(smoothed, first, (len(curve) - 1, level), tolerance, gaps)
        steps += earlier
        shape = CourseShape.RISING if current.bytes >= 0 else CourseShape.FALLING
        if earlier:
            place = int(np.searchsorted(curve.begins, earlier[-1].end)) - 1
    before = float(smoothed.values[0]) + sum(step.bytes for step in steps) + drift
    part = curve.since(float(curve.begins[place]))
    last = plateaus[-1] if shape is CourseShape.FLAT else None
    band = part.values if shape is CourseShape.SWING else smoothed.values[place:]
    low, high = float(band.min()), float(band.max())
    if last is not None:
        away = np.abs(part.values - median(last.values(curve))) > tolerance
        low, high = _band(part.values[~away] if last.excursions else part.values)
    return Course(
        time=now,
        begin=float(curve.begins[0]),
        begin_bytes=float(curve.values[0]),
        shape=shape,
        since=float(curve.begins[place]),
        level_bytes=level,
        change_bytes=level - before,
        low_bytes=low,
        high_bytes=high,
        peak_bytes=float(curve.highs[_settled(curve, place) :].max()),
        dip_bytes=float(curve.lows[_settled(curve, place) :].min()),
        drift_bytes=drift,
        tolerance_bytes=tolerance,
        rate=_rate(part),
        steps=tuple(steps),
        excursions=() if last is None else _excursions(curve, last, tolerance),
        earlier_excursions=tuple(
            step for one in plateaus if one.last < place for step in _excursions(curve, one, tolerance, moments=False)
        ),
        gaps=tuple(gaps),
        current=current,
    )


def _shape(curve: Curve, plateaus: Sequence[Plateau], tolerance: float) -> tuple[CourseShape, int]:
    """Return how it goes at the end, and the block since which."""
    place, level = 0, float(curve.values[0])
    if plateaus:
        last = plateaus[-1]
        level = last.end_level(curve)
        later = smooth(curve.values)[last.last + 1 :]
        place = min(last.last + 1, len(curve) - 1)
        back = not len(later) or abs(_tail(curve) - level) <= tolerance
        brief = curve.ends[-1] - curve.ends[last.last] <= TAIL_SECONDS
        if back and (brief or float((np.abs(later - level) <= tolerance).mean()) >= LEVEL_SHARE):
            return CourseShape.FLAT, last.first
    moved = _tail(curve) - level
    if abs(moved) <= tolerance and _recurs(curve, place, tolerance):
        return CourseShape.SWING, place
    return (CourseShape.RISING if moved > 0 else CourseShape.FALLING), place


def _tail(curve: Curve) -> float:
    return median(curve.values[-2:])


def _swing_start(curve: Curve, plateaus: Sequence[Plateau], place: int, tolerance: float) -> int | None:
    """Return the block since which the curve has gone up and down within a band, None when it does not."""
    flat = len(plateaus) > 0 and plateaus[-1].first == place
    shortest = SWING_LONGER * float(curve.ends[-1] - curve.begins[place]) if flat else 0.0
    starts = sorted({0, *(one.first for one in plateaus), *(min(one.last + 1, len(curve) - 1) for one in plateaus)})
    if not plateaus:
        starts = sorted({int(at) for at in np.linspace(0, len(curve) - 1, 12)})
    for start in starts:
        if start > place or curve.ends[-1] - curve.begins[start] <= shortest:
            break
        if _recurs(curve, start, tolerance):
            return start
    return None


def _recurs(curve: Curve, start: int, tolerance: float) -> bool:
    values = curve.values[start:]
    if len(values) < 4 * SWING_PARTS:
        return False
    high, low = float(values.max()), float(values.min())
    if high - low <= tolerance:
        return False
    borders = np.linspace(curve.begins[start], curve.ends[-1], SWING_PARTS + 1)[1:-1]
    near = SWING_SHARE * (high - low)
    for part in np.split(np.arange(start, len(curve)), np.searchsorted(curve.begins[start:], borders)):
        if not len(part):
            return False
        # Of what swings within the long blocks of an older part, medians show little: most of their extremes show it.
        top = max(float(curve.values[part].max()), float(np.quantile(curve.highs[part], 1.0 - HIDDEN_SHARE)))
        bottom = min(float(curve.values[part].min()), float(np.quantile(curve.lows[part], HIDDEN_SHARE)))
        if top < high - near or bottom > low + near:
            return False
    # It goes up and down more than once: a staircase or a single hill does not.
    middle = (high + low) / 2
    sides = values[np.abs(values - middle) > (high - low) / 4] > middle
    return int(np.count_nonzero(np.diff(sides))) >= SWING_PARTS


def _movements(
    curve: Curve, plateaus: Sequence[Plateau], place: int, tolerance: float, gaps: Sequence[tuple[float, float]]
) -> tuple[list[Step], float]:
    """Return the steps before block `place`, and what else RSS changed by before it, in bytes."""
    earlier = [plateau for plateau in plateaus if plateau.first <= place]
    steps: list[Step] = []
    drift = 0.0
    level, last = float(curve.values[0]), 0
    for plateau in earlier:
        start = plateau.start_level(curve)
        for step in _split(curve, (last, level), (plateau.first, start), tolerance, gaps) if plateau.first else ():
            if abs(step.bytes) >= LISTED_SHARE * tolerance:
                steps.append(step)
            else:
                drift += step.bytes
        if not plateau.first:
            drift += start - level
        if plateau.first >= place:
            break
        drift += plateau.end_level(curve) - start
        level, last = plateau.end_level(curve), min(plateau.last, place)
    return steps, drift


def _split(
    curve: Curve,
    low: tuple[int, float],
    high: tuple[int, float],
    tolerance: float,
    gaps: Sequence[tuple[float, float]],
) -> list[Step]:
    """Return the movement between two levels (block and bytes each) as steps: where it turns, one ends."""
    (last, level), (first, start) = low, high
    between = curve.values[last + 1 : first]
    if len(between) > 1:
        for at, beyond in (
            (int(between.argmax()), float(between.max()) - max(level, start)),
            (int(between.argmin()), min(level, start) - float(between.min())),
        ):
            if beyond > tolerance:
                turn = (last + 1 + at, float(between[at]))
                return _split(curve, low, turn, tolerance, gaps) + _split(curve, turn, high, tolerance, gaps)
    return [_step(curve, last, first, start - level, gaps)]


def _step(curve: Curve, last: int, first: int, amount: float, gaps: Sequence[tuple[float, float]]) -> Step:
    """Return the step from block `last`, the last of a level, to block `first`, the first of the next."""
    values = curve.values[last : first + 1]
    half = float(values[0]) + amount / 2 if len(values) else 0.0
    beyond = values >= half if amount > 0 else values <= half
    crossed = last + int(np.argmax(beyond)) if len(values) and beyond.any() else first
    # The last block of a level and the first of the next may hold a part of the movement.
    begin, end = float(curve.begins[last]), float(curve.ends[first])
    gap = any(start < end and stop > begin for start, stop in gaps)
    return Step(
        begin=begin,
        end=end,
        time=float(curve.begins[crossed]),
        bytes=amount,
        gap=gap,
        gradual=bool(not gap and curve.begins[first] - curve.ends[last] > GRADUAL_SECONDS),
    )


def _excursions(curve: Curve, plateau: Plateau, tolerance: float, *, moments: bool = True) -> tuple[Step, ...]:
    """Return how far the curve went away from a level each time, in order of time. The furthest single samples are
    among them where they are beyond the tolerance (`moments`), so that its peak and dip are those of the chart.
    """
    level = median(plateau.values(curve))
    runs = list(plateau.excursions)
    start = _settled(curve, plateau.first)
    if moments and start < len(curve):
        for distance in (curve.highs[start:] - level, level - curve.lows[start:]):
            at = start + int(np.argmax(distance))
            if distance.max() > tolerance and not any(first <= at <= last for first, last in runs):
                runs.append((at, at))
    found = []
    for first, last in sorted(runs):
        part = slice(first, last + 1)
        above = float(curve.highs[part].max()) - level >= level - float(curve.lows[part].min())
        at = first + int(np.argmax(curve.highs[part]) if above else np.argmin(curve.lows[part]))
        furthest = float(curve.highs[at] if above else curve.lows[at])
        found.append(
            Step(float(curve.begins[first]), float(curve.ends[last]), float(curve.begins[at]), furthest - level)
        )
    return tuple(found)


def _settled(curve: Curve, place: int) -> int:
    """Return the first block of a level whose extremes are its own: the one before may hold the end of a movement."""
    return place + 1 if 0 < place < len(curve) - 1 else place


def _band(values: Floats) -> tuple[float, float]:
    outside = (1.0 - BAND_SHARE) / 2
    return float(np.quantile(values, outside)), float(np.quantile(values, 1.0 - outside))


def _rate(part: Curve) -> Trend | None:
    """Return the change an hour, None for less than a minute or two."""
    if len(part) < 8:
        return None
    start, end = float(part.begins[0]), float(part.ends[-1])
    begins = block_starts(part.begins, start, (end - start) / RATE_BLOCKS)
    middles = (part.begins + part.ends) / 2
    ends = np.append(begins[1:], len(part))
    values = np.array([median(part.values[one:other]) for one, other in zip(begins, ends, strict=True)])
    times = np.array([middles[one:other].mean() for one, other in zip(begins, ends, strict=True)])
    return mann_kendall_trend((times - times[0]) / HOUR, values)
