"""What a finished experiment says: each setting against the defaults, and what to do."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from services.memory.experiment.statistics import LEAST_SECONDS, Ratio, paired
from services.memory.experiment.types import ExperimentResult, RunFigures

ALPHA = 0.05
LEAST_ROUNDS = 3  # with fewer an interval says nothing
# A difference that is certain but smaller than this is not worth a change: pauses, and memory or throughput.
LEAST_PAUSE = 0.05
LEAST_OTHER = 0.01
# More or less so much of the total pause, and the experiment is too noisy for any answer.
TOO_WIDE = 0.25


class Figure(StrEnum):
    """What is compared."""

    PAUSE = "pause"
    P99 = "p99"
    LONGEST = "longest"
    FULL = "full"
    PEAK = "peak"
    FLOOR = "floor"
    THROUGHPUT = "throughput"


# What advice is built on. How often it collects is neither good nor bad by itself; nor are the percentiles: many more
# small collections make them smaller although all threads together wait longer.
ACTED_ON = (Figure.PAUSE, Figure.LONGEST, Figure.PEAK, Figure.FLOOR, Figure.THROUGHPUT)
# How each is read off a run, and what is added on both sides so that nothing can be compared with something.
VALUES: Mapping[Figure, tuple[Callable[[RunFigures], float], float]] = {
    Figure.PAUSE: (lambda run: run.pause, LEAST_SECONDS),
    Figure.P99: (lambda run: run.p99, LEAST_SECONDS),
    Figure.LONGEST: (lambda run: run.longest, LEAST_SECONDS),
    Figure.FULL: (lambda run: float(run.collections[2]), 1.0),
    Figure.PEAK: (lambda run: float(run.peak), 0.0),
    Figure.FLOOR: (lambda run: float(run.floor), 0.0),
    Figure.THROUGHPUT: (lambda run: run.throughput, 0.0),
}


class Advice(StrEnum):
    """What the experiment leads to."""

    TOO_FEW = "too_few"  # rounds, to tell anything
    TOO_NOISY = "too_noisy"
    NO_DIFFERENCE = "no_difference"
    KEEP = "keep"  # the defaults are best
    BETTER = "better"  # `setting` is better and costs nothing that was measured
    TRADE = "trade"  # `setting` gives one thing for another


@dataclass(frozen=True, slots=True)
class Judgement:
    """`ratios[i]` compares setting i + 1 with the defaults. `setting` is a place in the result's settings (0: none);
    `gains` and `prices` are what is certainly better and worse with it. `share` is how much of the processor time the
    pauses took with the defaults, `resolution` how small a change of the total pause this experiment could tell, as a
    share."""

    advice: Advice
    ratios: tuple[Mapping[Figure, Ratio], ...]
    setting: int
    gains: tuple[Figure, ...]
    prices: tuple[Figure, ...]
    share: float
    resolution: float


def judge(result: ExperimentResult) -> Judgement:
    """Return what a result says. The intervals are so wide that all of them together hold at 95% (Bonferroni)."""
    others = range(1, len(result.settings))
    alpha = ALPHA / len(others) / len(ACTED_ON)
    ratios = tuple(compare(result.of(place), result.of(0), alpha=alpha) for place in others)
    share = median(run.pause_share for run in result.of(0))
    resolution = median(ratio[Figure.PAUSE].width for ratio in ratios)
    advice, setting = _advice(result, ratios, resolution)
    gains, prices = _sides(ratios[setting - 1]) if setting else ((), ())
    return Judgement(advice, ratios, setting, gains, prices, share, resolution)


def compare(runs: list[RunFigures], reference: list[RunFigures], *, alpha: float = ALPHA) -> Mapping[Figure, Ratio]:
    """Return the ratio of each figure, round by round."""
    return {
        figure: paired([value(run) for run in runs], [value(run) for run in reference], alpha=alpha, least=least)
        for figure, (value, least) in VALUES.items()
    }


def matters(figure: Figure, ratio: Ratio) -> bool:
    """Whether a difference is certain and large enough to act on."""
    least = LEAST_PAUSE if figure in {Figure.PAUSE, Figure.P99, Figure.LONGEST} else LEAST_OTHER
    return ratio.told and abs(math.log(ratio.value)) >= math.log1p(least)


def _sides(ratios: Mapping[Figure, Ratio]) -> tuple[tuple[Figure, ...], tuple[Figure, ...]]:
    """Return what is better and what is worse."""
    gains: list[Figure] = []
    prices: list[Figure] = []
    for figure in ACTED_ON:
        if not matters(figure, ratios[figure]):
            continue
        better = (ratios[figure].value < 1) != (figure is Figure.THROUGHPUT)
        (gains if better else prices).append(figure)
    return tuple(gains), tuple(prices)


def _advice(
    result: ExperimentResult, ratios: tuple[Mapping[Figure, Ratio], ...], resolution: float
) -> tuple[Advice, int]:
    if result.rounds < LEAST_ROUNDS:
        return Advice.TOO_FEW, 0
    sides = {place: _sides(ratios[place - 1]) for place in range(1, len(result.settings))}
    if any(any(sides[place]) for place in sides if result.settings[place].control):
        return Advice.TOO_NOISY, 0
    # Without the collector nothing that refers to itself is ever freed: a bound of what can be gained, no advice.
    able = [place for place in sides if result.settings[place].automatic and not result.settings[place].control]
    gaining = sorted((place for place in able if sides[place][0]), key=lambda place: _rank(ratios[place - 1]))
    for place in gaining:
        if not sides[place][1]:
            return Advice.BETTER, place
    if gaining:
        return Advice.TRADE, gaining[0]
    if any(sides[place][1] for place in able):
        return Advice.KEEP, 0
    return (Advice.TOO_NOISY if resolution > TOO_WIDE else Advice.NO_DIFFERENCE), 0


def _rank(ratios: Mapping[Figure, Ratio]) -> float:
    """Return what sorts the best first: by the total pause, whatever else was gained."""
    return ratios[Figure.PAUSE].value
