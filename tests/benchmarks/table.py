"""The bench table: one row per figure, with its target beside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure: what was measured, its value, its target (None: as it comes out), whether the target is a lower
    bound, and the details."""

    what: str
    value: float
    target: float | None
    at_least: bool
    detail: str

    @property
    def met(self) -> bool:
        if self.target is None:
            return True
        return self.value >= self.target if self.at_least else self.value <= self.target


def markdown(rows: Iterable[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| what | measured | target | | how |", "| --- | ---: | ---: | --- | --- |"]
    for row in rows:
        target, verdict = "–", ""
        if row.target is not None:
            target, verdict = f"{'≥' if row.at_least else '≤'} {row.target:g}", "met" if row.met else "not met"
        lines.append(f"| {row.what} | {row.value:.3f} | {target} | {verdict} | {row.detail} |")
    return "\n".join(lines)
