"""Level stretches of a curve and the movements between them: pure functions over a few hundred blocks.

A stretch is level where its blocks stay within a tolerance of each other. What goes away from a level and comes back to
it before long is an excursion of that level (a job each hour, a burst of requests), not two steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.core.machine import MEGABYTE
from services.memory.leaks.statistics import median
from services.memory.types import Floats

# Two levels that differ by less are one: in bytes, as a share of the level, in median bends of the curve (that is five
# deviations of noise).
LEAST_STEP = 10.0 * MEGABYTE
STEP_SHARE = 0.015
NOISE_BENDS = 3.0
MOST_NOISE = 40.0 * MEGABYTE
# A stretch is level when it lasts so long, and its own drift is at most this share of the tolerance.
LEVEL_SECONDS = 60.0
LEVEL_BLOCKS = 3
LEVEL_DRIFT = 0.6
# One that lasts so long may drift as far as the tolerance.
LONG_SECONDS = 2400.0
# An excursion takes at most this share of the level time on both sides of it.
EXCURSION_SHARE = 0.5
RETURN_SHARE = 0.75
# It lies at its level, within this share of the tolerance, for this share of its time.
NEAR_SHARE = 0.6
LEVEL_SHARE = 0.65
# A level stretch within a gradual movement drifts along with it, by this share of the tolerance; its neighbours are at
# most so many tolerances away.
RAMP_DRIFT = 0.3
RAMP_STEP = 2.0
# Levels are looked for in running medians of so many blocks.
SMOOTHED = 5
_MOST_BACK = 12
# The level at an end of a stretch is the median of so many blocks there.
_END_BLOCKS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A curve in blocks: `begins` and `ends` (n,) of each in seconds, `values`, `lows` and `highs` (n,) their medians,
    minima and maxima in bytes.
    """

    begins: Floats
    ends: Floats
    values: Floats
    lows: Floats
    highs: Floats

    def __len__(self) -> int:
        return len(self.values)

    def since(self, moment: float) -> Curve:
        """Return the blocks that end after `moment`."""
        first = int(np.searchsorted(self.ends, moment, side="right"))
        return Curve(*(getattr(self, name)[first:] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Plateau:
    """A level stretch: blocks `first` to `last` (inclusive), of which those of `inside` lie at its level.

    `excursions` are the blocks (first, last) at which the curve had gone away before it came back.
    """

    first: int
    last: int
    inside: tuple[tuple[int, int], ...]
    excursions: tuple[tuple[int, int], ...] = ()

    def values(self, curve: Curve) -> Floats:
        """Return the values of the blocks at its level."""
        return np.concatenate([curve.values[first : last + 1] for first, last in self.inside])

    def seconds(self, curve: Curve) -> float:
        """Return the time at its level."""
        return float(sum(curve.ends[last] - curve.begins[first] for first, last in self.inside))

    def start_level(self, curve: Curve) -> float:
        """Return the level at its beginning."""
        return median(self.values(curve)[:_END_BLOCKS])

    def end_level(self, curve: Curve) -> float:
        """Return the level at its end."""
        return median(self.values(curve)[-_END_BLOCKS:])


def step_tolerance(values: Floats) -> float:
    """Return how much two levels of a curve must differ to be different ones, in bytes."""
    if len(values) < 3:
        return LEAST_STEP
    bends = np.abs(np.diff(values, 2))  # those of noise: a ramp has none
    noise = min(NOISE_BENDS * median(bends), MOST_NOISE)
    return max(LEAST_STEP, STEP_SHARE * median(values), noise)


def find_plateaus(curve: Curve, tolerance: float) -> list[Plateau]:
    """Return the level stretches of a curve in order of time; between two of them it moved."""
    found: list[Plateau] = []
    for first, last in _within(smooth(curve.values), tolerance):
        if not _is_level(curve, first, last, tolerance):
            continue
        plateau, joined = Plateau(first, last, ((first, last),)), True
        while joined:
            plateau, joined = _join(found, plateau, curve, tolerance)
        found.append(plateau)
    return [_with_excursions(plateau, curve, tolerance) for plateau in _without_ramps(found, curve, tolerance)]


def smooth(values: Floats) -> Floats:
    """Return running medians of five: a block or two by themselves break no level."""
    if len(values) < SMOOTHED:
        return values
    smoothed = values.copy()
    half = SMOOTHED // 2
    smoothed[half:-half] = np.sort(np.lib.stride_tricks.sliding_window_view(values, SMOOTHED), axis=1)[:, half]
    return smoothed


def _with_excursions(plateau: Plateau, curve: Curve, tolerance: float) -> Plateau:
    part = curve.values[plateau.first : plateau.last + 1]
    away = np.concatenate(([False], np.abs(part - median(plateau.values(curve))) > tolerance, [False]))
    borders = plateau.first + np.flatnonzero(away[1:] != away[:-1])
    runs = zip(borders[::2].tolist(), (borders[1::2] - 1).tolist(), strict=True)
    return replace(plateau, excursions=tuple(runs))


def _within(values: Floats, tolerance: float) -> list[tuple[int, int]]:
    """Cut a curve into stretches whose range is within the tolerance, each as long as possible, from its end on."""
    cut: list[tuple[int, int]] = []
    listed = values.tolist()
    last = len(listed) - 1
    while last >= 0:
        low = high = listed[last]
        first = last
        while first > 0:
            value = listed[first - 1]
            lower, higher = min(low, value), max(high, value)
            if higher - lower > tolerance:
                break
            low, high, first = lower, higher, first - 1
        cut.append((first, last))
        last = first - 1
    return cut[::-1]


def _is_level(curve: Curve, first: int, last: int, tolerance: float) -> bool:
    seconds = curve.ends[last] - curve.begins[first]
    if last - first + 1 < LEVEL_BLOCKS or seconds < LEVEL_SECONDS:
        return False
    if seconds >= LONG_SECONDS:
        return True
    third = max(1, (last - first + 1) // 3)
    part = curve.values[first : last + 1]
    return abs(median(part[-third:]) - median(part[:third])) <= LEVEL_DRIFT * tolerance


def _join(found: list[Plateau], plateau: Plateau, curve: Curve, tolerance: float) -> tuple[Plateau, bool]:
    """Join a stretch with an earlier one of the same level, where what lies between is an excursion."""
    for back in range(1, min(len(found), _MOST_BACK) + 1):
        earlier = found[-back]
        away = curve.begins[plateau.first] - curve.ends[earlier.last]
        if abs(earlier.end_level(curve) - plateau.start_level(curve)) > RETURN_SHARE * tolerance:
            continue
        if away > EXCURSION_SHARE * (earlier.seconds(curve) + plateau.seconds(curve)):
            continue
        if abs(earlier.start_level(curve) - plateau.end_level(curve)) > tolerance:
            continue  # many little drifts are not level
        joined = Plateau(earlier.first, plateau.last, earlier.inside + plateau.inside)
        if not _holds(joined, curve, tolerance):
            continue
        del found[-back:]
        return joined, True
    return plateau, False


def _holds(plateau: Plateau, curve: Curve, tolerance: float) -> bool:
    """Whether a stretch lies at its level for most of its time."""
    part = slice(plateau.first, plateau.last + 1)
    lasted = curve.ends[part] - curve.begins[part]
    near = np.abs(curve.values[part] - median(plateau.values(curve))) <= NEAR_SHARE * tolerance
    return float(lasted[near].sum()) >= LEVEL_SHARE * float(lasted.sum())


def _without_ramps(found: Sequence[Plateau], curve: Curve, tolerance: float) -> list[Plateau]:
    """Leave out stretches that are a part of one gradual movement: it went the same way before, within and after."""
    kept = list(found)
    place = len(kept) - 1
    while place > 0:
        plateau, before = kept[place], kept[place - 1]
        drift = plateau.end_level(curve) - plateau.start_level(curve)
        moves = [plateau.start_level(curve) - before.end_level(curve)]
        if place + 1 < len(kept):
            moves.append(kept[place + 1].start_level(curve) - plateau.end_level(curve))
        elif abs(drift + moves[0]) <= tolerance:
            break
        gradual = abs(drift) >= RAMP_DRIFT * tolerance and all(
            move * drift > 0 and abs(move) < RAMP_STEP * tolerance for move in moves
        )
        if gradual:
            del kept[place]
        place -= 1
    return kept
