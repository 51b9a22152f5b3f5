"""What an attack found: figures beside their limits."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figure:
    """One figure of an attack: what was measured, its value, the most that it may be, and how it was come by."""

    what: str
    value: float
    at_most: float
    unit: str
    detail: str = ""

    @property
    def met(self) -> bool:
        return self.value <= self.at_most

    def __str__(self) -> str:
        verdict = "holds" if self.met else "GIVES WAY"
        detail = f" ({self.detail})" if self.detail else ""
        return f"{verdict:9} {self.what}: {self.value:g} {self.unit}, at most {self.at_most:g}{detail}"


@dataclass
class Report:
    """The figures of an attack in the order in which they were found, printed as they come."""

    figures: list[Figure] = field(default_factory=list)

    def __call__(self, what: str, value: float, at_most: float, unit: str, detail: str = "") -> None:
        figure = Figure(what, value, at_most, unit, detail)
        self.figures.append(figure)
        print(figure, flush=True)

    @property
    def holds(self) -> bool:
        """Whether anything was measured, and nothing gave way."""
        return bool(self.figures) and all(figure.met for figure in self.figures)
