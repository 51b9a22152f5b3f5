"""Analyzes a finished experiment: each setting against the defaults, and a recommendation.

Settings are compared pairwise over the rounds, since what the machine does in a round affects all of them. Ratios are
compared by their logarithms: their mean with Student's interval, as Georges, Buytaert and Eeckhout, "Statistically
rigorous Java performance evaluation" (OOPSLA 2007), do for few runs, and with Fisher's exact randomization test, which
assumes no distribution: the sign of each round's difference is flipped in all ways.
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
from services.memory.gc_experiment.workload import MIN_ROUNDS

# All 2**n sign flips are tried for up to so many rounds; further rounds are left out of that test.
_EXACT_ROUNDS = 10
# Added to both sides, so that the logarithm exists without any pause.
OFFSET_SECONDS = 1e-6
ALPHA = 0.05
# Smaller differences are not worth a change, even if significant: of pauses, and of memory or throughput.
MIN_PAUSE_CHANGE = 0.05
MIN_OTHER_CHANGE = 0.01
# With a wider interval of the total pause the experiment is too noisy for a recommendation.
MAX_INTERVAL = 0.25


@dataclass(frozen=True, slots=True)
class Ratio:
    """The ratio to the reference: the geometric mean over the rounds, its interval (0 to infinity with a single round),
    and the probability of so large a difference between equal settings."""

    value: float
    low: float
    high: float
    p: float

    @property
    def significant(self) -> bool:
        """Whether the interval excludes equality."""
        return self.low > 1.0 or self.high < 1.0

    @property
    def width(self) -> float:
        """Half the width of the interval, as a share: 0.1 is ±10%."""
        return math.sqrt(self.high / self.low) - 1 if self.low > 0 and math.isfinite(self.high) else math.inf


def paired_ratio(values: Sequence[float], reference: Sequence[float], *, alpha: float, offset: float = 0.0) -> Ratio:
    """Return the ratio of a setting's values to the reference's, paired by round.

    Args:
        alpha: probability that the interval excludes the true ratio.
        offset: added to both sides, for figures that can be 0.
    """
    logs = [
        math.log((value + offset) / (other + offset))
        for value, other in zip(values, reference, strict=True)
        if value + offset > 0 and other + offset > 0
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
    """Return the two-sided p of the exact randomization test that the differences are centred on 0."""
    sample = np.array(differences[:_EXACT_ROUNDS])
    signs = np.array(list(product((1.0, -1.0), repeat=len(sample))))
    observed = abs(sample.sum()) * (1 - 1e-12)
    return float((np.abs(signs @ sample) >= observed).mean())


def median_and_range(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median, the minimum and the maximum."""
    return median(values), min(values), max(values)


def student_t_quantile(alpha: float, freedom: int) -> float:
    """Return the two-sided quantile of Student's t with `freedom` degrees of freedom: |t| exceeds it with probability
    `alpha`.

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
    """The figures that are compared."""

    PAUSE = "pause"
    P99 = "p99"
    LONGEST = "longest"
    FULL = "full"
    PEAK = "peak"
    FLOOR = "floor"
    THROUGHPUT = "throughput"


# The figures that a recommendation is based on. The number of collections is neither good nor bad by itself, nor are
# the percentiles: many more small collections lower them although all threads together wait longer.
DECISIVE_FIGURES = (Figure.PAUSE, Figure.LONGEST, Figure.PEAK, Figure.FLOOR, Figure.THROUGHPUT)


# How each figure is read from a run, and the offset that is added to both sides, for figures that can be 0.
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
    """The kind of recommendation."""

    TOO_FEW = "too_few"  # too few rounds
    TOO_NOISY = "too_noisy"
    NO_DIFFERENCE = "no_difference"
    KEEP = "keep"  # the defaults are best
    BETTER = "better"  # `setting` is better and no measured figure got worse
    TRADE = "trade"  # `setting` improves some figures and worsens others


@dataclass(frozen=True, slots=True)
class Analysis:
    """The analysis of an experiment.

    `ratios[i]` compares setting i + 1 with the defaults. `setting` is an index into the result's settings (0: none);
    `gains` and `costs` are the figures that it significantly improves and worsens. `share` is the share of CPU time
    that pauses took with the defaults, `resolution` the smallest change of the total pause that this experiment can
    detect, as a share.
    """

    advice: Advice
    ratios: tuple[Mapping[Figure, Ratio], ...]
    setting: int
    gains: tuple[Figure, ...]
    costs: tuple[Figure, ...]
    share: float
    resolution: float


def analyze(result: ExperimentResult) -> Analysis:
    """Analyze a result. The intervals hold at 95% all together (Bonferroni)."""
    others = range(1, len(result.settings))
    alpha = ALPHA / len(others) / len(DECISIVE_FIGURES)
    ratios = tuple(compare_runs(result.figures_of(place), result.figures_of(0), alpha=alpha) for place in others)
    share = median(run.pause_share for run in result.figures_of(0))
    resolution = median(ratio[Figure.PAUSE].width for ratio in ratios)
    advice, setting = _advice(result, ratios, resolution)
    gains, costs = _gains_and_costs(ratios[setting - 1]) if setting else ((), ())
    return Analysis(advice, ratios, setting, gains, costs, share, resolution)


def compare_runs(
    runs: list[RunFigures], reference: list[RunFigures], *, alpha: float = ALPHA
) -> Mapping[Figure, Ratio]:
    """Return the ratio of each figure, paired by round."""
    return {
        figure: paired_ratio(
            [value(run) for run in runs], [value(run) for run in reference], alpha=alpha, offset=offset
        )
        for figure, (value, offset) in FIGURE_VALUES.items()
    }


def is_relevant(figure: Figure, ratio: Ratio) -> bool:
    """Return whether a difference is significant and large enough to act on."""
    threshold = MIN_PAUSE_CHANGE if figure in {Figure.PAUSE, Figure.P99, Figure.LONGEST} else MIN_OTHER_CHANGE
    return ratio.significant and abs(math.log(ratio.value)) >= math.log1p(threshold)


def _gains_and_costs(ratios: Mapping[Figure, Ratio]) -> tuple[tuple[Figure, ...], tuple[Figure, ...]]:
    """Return the figures that are better and those that are worse."""
    gains: list[Figure] = []
    costs: list[Figure] = []
    for figure in DECISIVE_FIGURES:
        if not is_relevant(figure, ratios[figure]):
            continue
        better = (ratios[figure].value < 1) != (figure is Figure.THROUGHPUT)
        (gains if better else costs).append(figure)
    return tuple(gains), tuple(costs)


def _advice(
    result: ExperimentResult, ratios: tuple[Mapping[Figure, Ratio], ...], resolution: float
) -> tuple[Advice, int]:
    if result.rounds < MIN_ROUNDS:
        return Advice.TOO_FEW, 0
    changes = {place: _gains_and_costs(ratios[place - 1]) for place in range(1, len(result.settings))}
    if any(any(changes[place]) for place in changes if result.settings[place].control):
        return Advice.TOO_NOISY, 0
    # Without the collector no cycle is ever freed: it shows the possible gain, but is never recommended.
    candidates = [place for place in changes if result.settings[place].automatic and not result.settings[place].control]
    gainers = sorted((place for place in candidates if changes[place][0]), key=lambda place: _rank(ratios[place - 1]))
    for place in gainers:
        if not changes[place][1]:
            return Advice.BETTER, place
    if gainers:
        return Advice.TRADE, gainers[0]
    if any(changes[place][1] for place in candidates):
        return Advice.KEEP, 0
    return (Advice.TOO_NOISY if resolution > MAX_INTERVAL else Advice.NO_DIFFERENCE), 0


def _rank(ratios: Mapping[Figure, Ratio]) -> float:
    """Return the sort key, best first: the ratio of the total pause, whatever else was gained."""
    return ratios[Figure.PAUSE].value
