"""The figures of a soak, out of what was measured: floors, slope, latencies, and whether each target was met."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from services.memory.leaks.statistics import mann_kendall_trend

MB = 1_000_000
WARM_UP = 0.2  # share of the quiesce points at the start that count as warm-up; set before any run was looked at
ENDS = 3  # quiesce points at either end whose median is the floor after warm-up and at the end
SIGNIFICANT = 0.05
TENTHS = 10


@dataclass(frozen=True, slots=True)
class Floor:
    """What was left after a collection and a trim, with nothing in work. Bytes; `questions` asked until then."""

    block: int
    questions: int
    seconds: float
    rss: int
    uss: int
    threads: int
    fds: int
    sessions: int
    owners: dict[str, int]


@dataclass(frozen=True, slots=True)
class Slope:
    """Theil-Sen slope of the floors in MB for 1,000 questions with its 95 % interval; `p`: Mann-Kendall, two-sided."""

    mb: float
    low: float
    high: float
    p: float

    @property
    def distinguishable(self) -> bool:
        """Whether it is told from no trend at all: by the test, or because the interval leaves zero out."""
        return self.p < SIGNIFICANT or self.low > 0.0 or self.high < 0.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `value` None: not measured."""

    name: str
    target: str
    value: str
    met: bool | None
    how: str = ""


def warm(floors: Sequence[Floor]) -> list[Floor]:
    """Return the floors after the warm-up."""
    return list(floors[math.ceil(len(floors) * WARM_UP) :])


def slope_of(floors: Sequence[Floor], *, uss: bool = False) -> Slope | None:
    """Return the slope of the floors after warm-up; None with fewer than three of them."""
    kept = warm(floors)
    if len(kept) < 3:
        return None
    asked = np.array([floor.questions / 1000 for floor in kept])
    found = np.array([(floor.uss if uss else floor.rss) / MB for floor in kept])
    if np.any(np.diff(asked) <= 0):
        asked = np.arange(len(kept), dtype=float) * max(asked[-1] - asked[0], 1e-3) / max(1, len(kept) - 1)
    fitted = mann_kendall_trend(asked, found)
    # Mann-Kendall's p there is the one-sided probability of a rise; a fall would be just as suspicious of the method.
    return Slope(fitted.slope, fitted.low, fitted.high, 2 * min(fitted.p, 1 - fitted.p))


def floor_ratio(floors: Sequence[Floor]) -> float | None:
    """Return the floor at the end over the floor after warm-up, medians of three; None with fewer than six."""
    kept = warm(floors)
    if len(kept) < 2 * ENDS:
        return None
    return median(floor.rss for floor in kept[-ENDS:]) / median(floor.rss for floor in kept[:ENDS])


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of `values` lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def tenths(answers: Sequence[tuple[float, float]]) -> list[dict[str, float]]:
    """Return p50 and p95 in ms of each tenth of the answers, in the order in which they ended."""
    ordered = [seconds for _when, seconds in sorted(answers)]
    parts = [ordered[len(ordered) * n // TENTHS : len(ordered) * (n + 1) // TENTHS] for n in range(TENTHS)]
    return [
        {
            "answers": float(len(part)),
            "p50_ms": percentile(part, 0.5) * 1000,
            "p95_ms": percentile(part, 0.95) * 1000,
        }
        for part in parts
        if part
    ]


def table(run: dict[str, Any]) -> list[Figure]:
    """Return the target table for all parts of a run that are there."""
    rows: list[Figure] = []
    soak = run.get("soak")
    if soak:
        rows += _soak_rows(soak)
    rows += _comparison_rows(run)
    if run.get("budget"):
        rows += _budget_rows(run["budget"])
    return rows


def floors_of(soak: dict[str, Any]) -> list[Floor]:
    """Return the floors that were kept in a run's file."""
    return [Floor(**floor) for floor in soak["floors"]]


def summary(soak_floors: Sequence[Floor]) -> dict[str, Any]:
    """Return the figures of the floors as plain values."""
    slope, uss = slope_of(soak_floors), slope_of(soak_floors, uss=True)
    return {
        "slope": asdict(slope) if slope else None,
        "uss_slope": asdict(uss) if uss else None,
        "ratio": floor_ratio(soak_floors),
    }


def _soak_rows(soak: dict[str, Any]) -> list[Figure]:
    found = summary(floors_of(soak))
    rows = []
    slope = Slope(**found["slope"]) if found["slope"] else None
    if slope:
        verdict = "distinguishable from 0" if slope.distinguishable else "not distinguishable from 0"
        value = (
            f"{slope.mb:+.2f} MB (95 % interval {slope.low:+.2f} to {slope.high:+.2f}, p = {slope.p:.3f}), {verdict}"
        )
        # A falling floor is no leak: it is distinguishable, and still meets what the target is for.
        met = slope.mb <= 1.0 and (not slope.distinguishable or slope.high < 0.0)
    else:
        value, met = "too few quiesce points", None
    rows.append(
        Figure(
            "slope of the post-collection floor after warm-up, for 1,000 questions",
            "≤ 1 MB and not distinguishable from 0",
            value,
            met,
            f"Theil-Sen over the floors after the first {WARM_UP:.0%}; Mann-Kendall, two-sided",
        )
    )
    ratio = found["ratio"]
    rows.append(
        Figure(
            "floor at the end over floor after warm-up",
            "≤ 1.05",
            f"{ratio:.3f}" if ratio else "too few quiesce points",
            ratio <= 1.05 if ratio else None,
            f"medians of {ENDS} floors",
        )
    )
    asked = soak["done"].get("questions", 0) + soak["done"].get("model questions", 0)
    rows.append(
        Figure(
            "requests failed",
            "0",
            str(soak["failed"]),
            soak["failed"] == 0,
            f"of {asked:,} questions, {soak['done'].get('uploads', 0)} uploads, {soak['done'].get('sessions', 0)} "
            "sessions and all looks; nothing was tried again",
        )
    )
    parts = soak["tenths"]
    enough = len(parts) == TENTHS and min(part["answers"] for part in parts) >= 20
    share = parts[-1]["p95_ms"] / parts[0]["p95_ms"] if parts else None
    rows.append(
        Figure(
            "p95 of the last tenth over the first tenth",
            "≤ 1.1",
            f"{share:.2f}" if share and enough else "too few answers",
            share <= 1.1 if share and enough else None,
            f"{parts[0]['p95_ms']:.0f} → {parts[-1]['p95_ms']:.0f} ms" if parts else "",
        )
    )
    return rows


def _comparison_rows(run: dict[str, Any]) -> list[Figure]:
    rows = []
    pairs = comparisons(run)
    whole = pairs.get("everything")
    if whole:
        ratio = whole["naive"] / whole["ours"]
        rows.append(
            Figure(
                "naive baseline's peak over ours",
                "≥ 3",
                f"{ratio:.2f}",
                ratio >= 3.0,
                f"{whole['naive'] / MB:,.0f} MB over {whole['ours'] / MB:,.0f} MB; {whole['said']}",
            )
        )
    for name, pair in pairs.items():
        lower = 1 - pair["ours"] / pair["naive"]
        rows.append(
            Figure(
                f"peak lower than the naive baseline's: {name}",
                "≥ 40 %",
                f"{lower:.0%}",
                lower >= 0.4,
                f"{pair['ours'] / MB:,.0f} MB against {pair['naive'] / MB:,.0f} MB; {pair['said']}",
            )
        )
    return rows


def comparisons(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return, by case, our peak and the naive one's in bytes with what to know about them."""
    found: dict[str, dict[str, Any]] = {}
    soak, naive = run.get("soak"), run.get("baseline")
    if soak and naive:
        found["everything"] = {
            "ours": soak["peak"],
            "naive": naive["peak"],
            # Copies of the process that count its objects are children for a moment; the baseline counts none.
            "said": f"{naive['said']}; with child processes {soak['peak_with_children'] / MB:,.0f} MB and "
            f"{naive['peak_with_children'] / MB:,.0f} MB",
        }
    for case in run.get("cases", []):
        found[case["name"]] = {"ours": case["ours"], "naive": case["naive"], "said": case["said"]}
    return found


def _budget_rows(budget: dict[str, Any]) -> list[Figure]:
    return [
        Figure(
            "peak RSS under a budget of RSS when ready + 150 MB",
            f"≤ {budget['limit'] / MB:,.0f} MB",
            f"{budget['peak'] / MB:,.0f} MB",
            budget["peak"] <= budget["limit"],
            f"ready at {budget['ready'] / MB:,.0f} MB; sampled {budget['samples_per_second']:.0f} times a second, and "
            f"the kernel's high-water mark; without a limit the same work takes {budget['free_peak'] / MB:,.0f} MB"
            if budget.get("free_peak")
            else f"ready at {budget['ready'] / MB:,.0f} MB",
        ),
        Figure("killed or restarted under that budget", "no", "no" if budget["alive"] else "yes", budget["alive"]),
        Figure(
            "refusals explained",
            "all are 429 or 503 with reason and hint",
            f"{budget['explained']} of {budget['refused']}",
            budget["explained"] == budget["refused"],
            f"{budget['unexpected']} failures of another kind",
        ),
        Figure(
            "everything works again afterwards",
            "yes",
            f"after {budget['recovered_seconds']:.0f} s" if budget["recovered_seconds"] is not None else "no",
            budget["recovered_seconds"] is not None,
        ),
    ]
