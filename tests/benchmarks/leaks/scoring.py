"""Precision, recall, kinds and suspects of many trials, as rows of the bench table."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks.leaks.outcome import Outcome
from tests.benchmarks.table import Row


def rows(what: str, outcomes: Sequence[Outcome]) -> list[Row]:
    """Return the four figures of a set of trials; those that a set cannot tell are left out."""
    leaks = [one for one in outcomes if one.is_leak]
    named = [one for one in leaks if one.called_leak]
    missed = [one for one in leaks if not one.called_leak]
    false = [one for one in outcomes if one.called_leak and not one.is_leak]
    suspected = [one for one in named if one.expected_suspects]
    harmless = len(outcomes) - len(leaks)
    found = [
        Row(
            f"{what}: precision",
            _share(len(named), len(named) + len(false)),
            0.95,
            at_least=True,
            detail=f"{len(false)} of {harmless} harmless ones called a leak{_names(false)}",
        ),
        Row(
            f"{what}: recall",
            _share(len(named), len(leaks)),
            0.95,
            at_least=True,
            detail=f"{len(named)} of {len(leaks)} leaks named in time{_names(missed)}",
        ),
        Row(
            f"{what}: right kind",
            _share(sum(one.right_kind for one in named), len(named)),
            0.9,
            at_least=True,
            detail=f"of those that were named{_names([one for one in named if not one.right_kind])}",
        ),
    ]
    if suspected:
        wrong = [one for one in suspected if not one.right_suspect]
        found.append(
            Row(
                f"{what}: right suspect in the first three",
                _share(len(suspected) - len(wrong), len(suspected)),
                0.8,
                at_least=True,
                detail=f"of {len(suspected)} that have one{_names(wrong)}",
            )
        )
    return found


def longest(what: str, outcomes: Sequence[Outcome], unit: float, target: float, detail: str) -> Row:
    """Return how long the slowest naming of these leaks took."""
    seconds = [one.seconds for one in outcomes if one.seconds is not None]
    return Row(what, max(seconds, default=float("inf")) / unit, target, at_least=False, detail=detail)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _names(outcomes: Sequence[Outcome]) -> str:
    return "; wrong: " + ", ".join(sorted({one.name for one in outcomes})) if outcomes else ""
