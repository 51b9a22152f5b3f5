"""Whether two settings differ: paired over the rounds, since what the machine does in a round meets all of them.

Ratios are compared by their logarithms: their mean with Student's interval, as Georges, Buytaert and Eeckhout,
"Statistically rigorous Java performance evaluation" (OOPSLA 2007), do for few runs; beside it an exact test that
assumes no distribution, in which the sign of each round's difference is flipped in all ways (Fisher's randomisation
test).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import NormalDist, fmean, median, stdev

import numpy as np

# All 2**n ways are tried, up to so many rounds; with more, the newest are left out of that test.
_EXACT_ROUNDS = 10
# What cannot be told from nothing: it is added to both sides, so that no pause at all has a logarithm too.
LEAST_SECONDS = 1e-6


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


def paired(values: Sequence[float], reference: Sequence[float], *, alpha: float, least: float = 0.0) -> Ratio:
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
    half = student(alpha, len(logs) - 1) * stdev(logs) / math.sqrt(len(logs))
    low, high = (math.exp(max(-700.0, min(700.0, edge))) for edge in (mean - half, mean + half))
    return Ratio(math.exp(mean), low, high, flipped(logs))


def flipped(differences: Sequence[float]) -> float:
    """Return the two-sided p of the exact randomisation test that the differences lie around 0."""
    tried = np.array(differences[:_EXACT_ROUNDS])
    signs = np.array(list(product((1.0, -1.0), repeat=len(tried))))
    seen = abs(tried.sum()) * (1 - 1e-12)
    return float((np.abs(signs @ tried) >= seen).mean())


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median, the smallest and the largest."""
    return median(values), min(values), max(values)


def student(alpha: float, freedom: int) -> float:
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
