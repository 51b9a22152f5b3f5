"""What a finished experiment says: each setting against the defaults, and what to do.

Whether two settings differ: paired over the rounds, since what the machine does in a round meets all of them.

Ratios are compared by their logarithms: their mean with Student's interval, as Georges, Buytaert and Eeckhout,
"Statistically rigorous Java performance evaluation" (OOPSLA 2007), do for few runs; beside it an exact test that
assumes no distribution, in which the sign of each round's difference is flipped in all ways (Fisher's randomisation
test).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from statistics import NormalDist, fmean, median, stdev

import numpy as np

from services.memory.gc_experiment.types import ExperimentResult, RunFigures

# All 2**n ways are tried, up to so many rounds; with more, the newest are left out of that test.
_EXACT_ROUNDS = 10
# What cannot be told from nothing: it is added to both sides, so that no pause at all has a logarithm too.
OFFSET_SECONDS = 1e-6
ALPHA = 0.05
MIN_ANALYSIS_ROUNDS = 3  # with fewer an interval says nothing
# A difference that is certain but smaller than this is not worth a change: pauses, and memory or throughput.
MIN_PAUSE_CHANGE = 0.05
MIN_OTHER_CHANGE = 0.01
# More or less so much of the total pause, and the experiment is too noisy for any answer.
MAX_INTERVAL = 0.25


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as much as the reference: the geometric mean over the rounds, its interval (0 to infinity where
    one round says nothing of the spread), and the probability of a difference so large between equal settings."""

    value: float
    low: float
    high: float
    p: float

    @property
    def told(self) -> bool:
        """Whether the interval leaves equality out."""
        return self.low > 1.0 or self.high < 1.0

    @property
    def width(self) -> float:
        """Half of the interval, as a share: 0.1 is more or less 10%."""
        return math.sqrt(self.high / self.low) - 1 if self.low > 0 and math.isfinite(self.high) else math.inf


def paired_ratio(values: Sequence[float], reference: Sequence[float], *, alpha: float, least: float = 0.0) -> Ratio:
    """Compare a setting's values with the reference's, round by round.

    Args:
        alpha: probability that the interval misses the true ratio.
        least: added to both sides, for figures that can be 0.
    """
    logs = [
        math.log((value + least) / (other + least))
        for value, other in zip(values, reference, strict=True)
        if value + least > 0 and other + least > 0
    ]
    if not logs:
        return Ratio(1.0, 0.0, math.inf, 1.0)
    mean = fmean(logs)
    if len(logs) < 2:
        return Ratio(math.exp(mean), 0.0, math.inf, 1.0)
    half = student_t_quantile(alpha, len(logs) - 1) * stdev(logs) / math.sqrt(len(logs))
    low, high = (math.exp(max(-700.0, min(700.0, edge))) for edge in (mean - half, mean + half))
    return Ratio(math.exp(mean), low, high, randomization_p(logs))


def randomization_p(differences: Sequence[float]) -> float:
    """Return the two-sided p of the exact randomisation test that the differences lie around 0."""
    tried = np.array(differences[:_EXACT_ROUNDS])
    signs = np.array(list(product((1.0, -1.0), repeat=len(tried))))
    seen = abs(tried.sum()) * (1 - 1e-12)
    return float((np.abs(signs @ tried) >= seen).mean())


def median_and_range(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median, the smallest and the largest."""
    return median(values), min(values), max(values)


def student_t_quantile(alpha: float, freedom: int) -> float:
    """Return the two-sided quantile of Student's t: |t| is above it with probability `alpha`.

    G. W. Hill, "Algorithm 396: Student's t-quantiles", Communications of the ACM 13 (1970); exact for 1 and 2 degrees
    of freedom.
    """
    n = float(freedom)
    if freedom == 1:
        return 1 / math.tan(alpha * math.pi / 2)
    if freedom == 2:
        return math.sqrt(2 / (alpha * (2 - alpha)) - 2)
    a = 1 / (n - 0.5)
    b = 48 / a**2
    c = ((20_700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * n
    y = (d * alpha) ** (2 / n)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(alpha / 2)
        y = x * x
        if freedom < 5:
            c += 0.3 * (n - 4.5) * (x + 0.6)
        c += (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = math.expm1(a * y * y)
    else:
        y = ((1 / (((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3) + 0.5 / (n + 4)) * y - 1) * (n + 1) / (
            n + 2
        ) + 1 / y
    return math.sqrt(n * y)


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
DECISIVE_FIGURES = (Figure.PAUSE, Figure.LONGEST, Figure.PEAK, Figure.FLOOR, Figure.THROUGHPUT)


# How each is read off a run, and what is added on both sides so that nothing can be compared with something.
FIGURE_VALUES: Mapping[Figure, tuple[Callable[[RunFigures], float], float]] = {
    Figure.PAUSE: (lambda run: run.pause, OFFSET_SECONDS),
    Figure.P99: (lambda run: run.p99, OFFSET_SECONDS),
    Figure.LONGEST: (lambda run: run.longest, OFFSET_SECONDS),
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
class Analysis:
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


def analyze(result: ExperimentResult) -> Analysis:
    """Return what a result says. The intervals are so wide that all of them together hold at 95% (Bonferroni)."""
    others = range(1, len(result.settings))
    alpha = ALPHA / len(others) / len(DECISIVE_FIGURES)
    ratios = tuple(compare_runs(result.of(place), result.of(0), alpha=alpha) for place in others)
    share = median(run.pause_share for run in result.of(0))
    resolution = median(ratio[Figure.PAUSE].width for ratio in ratios)
    advice, setting = _advice(result, ratios, resolution)
    gains, prices = _gains_and_costs(ratios[setting - 1]) if setting else ((), ())
    return Analysis(advice, ratios, setting, gains, prices, share, resolution)


def compare_runs(
    runs: list[RunFigures], reference: list[RunFigures], *, alpha: float = ALPHA
) -> Mapping[Figure, Ratio]:
    """Return the ratio of each figure, round by round."""
    return {
        figure: paired_ratio([value(run) for run in runs], [value(run) for run in reference], alpha=alpha, least=least)
        for figure, (value, least) in FIGURE_VALUES.items()
    }


def is_relevant(figure: Figure, ratio: Ratio) -> bool:
    """Whether a difference is certain and large enough to act on."""
    least = MIN_PAUSE_CHANGE if figure in {Figure.PAUSE, Figure.P99, Figure.LONGEST} else MIN_OTHER_CHANGE
    return ratio.told and abs(math.log(ratio.value)) >= math.log1p(least)


def _gains_and_costs(ratios: Mapping[Figure, Ratio]) -> tuple[tuple[Figure, ...], tuple[Figure, ...]]:
    """Return what is better and what is worse."""
    gains: list[Figure] = []
    prices: list[Figure] = []
    for figure in DECISIVE_FIGURES:
        if not is_relevant(figure, ratios[figure]):
            continue
        better = (ratios[figure].value < 1) != (figure is Figure.THROUGHPUT)
        (gains if better else prices).append(figure)
    return tuple(gains), tuple(prices)


def _advice(
    result: ExperimentResult, ratios: tuple[Mapping[Figure, Ratio], ...], resolution: float
) -> tuple[Advice, int]:
    if result.rounds < MIN_ANALYSIS_ROUNDS:
        return Advice.TOO_FEW, 0
    sides = {place: _gains_and_costs(ratios[place - 1]) for place in range(1, len(result.settings))}
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
    return (Advice.TOO_NOISY if resolution > MAX_INTERVAL else Advice.NO_DIFFERENCE), 0


def _rank(ratios: Mapping[Figure, Ratio]) -> float:
    """Return what sorts the best first: by the total pause, whatever else was gained."""
    return ratios[Figure.PAUSE].value
