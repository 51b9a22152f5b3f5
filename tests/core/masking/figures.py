"""Precision and recall of masking on made-up texts, overall and of each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from services.core.masking import PersonalKind, find
from tests.core.masking.planted import Sample


@dataclass(frozen=True, slots=True)
class Figures:
    """How many were planted, how many of them found whole and under their kind, and how many were found in all."""

    planted: int
    hit: int
    found: int
    true: int

    @property
    def precision(self) -> float:
        return self.true / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        return self.hit / self.planted if self.planted else 1.0


def measure(samples: Iterable[Sample], show: Callable[[str], None] | None = None) -> dict[str, Figures]:
    """Return the figures by kind, and under "all" those of all; `show` is told each miss and each false finding."""
    planted, hit, found, true = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for sample in samples:
        findings = find(sample.text)
        for kind, start, end in sample.planted:
            good = any(f.kind is kind and f.start <= start and f.end >= end for f in findings)
            planted[kind] += 1
            hit[kind] += good
            if not good and show:
                show(f"MISSED {kind}: {around(sample.text, start, end)}")
        for f in findings:
            good = any(f.kind is kind and f.start < end and f.end > start for kind, start, end in sample.planted)
            found[f.kind] += 1
            true[f.kind] += good
            if not good and show:
                show(f"FALSE {f.kind}: {around(sample.text, f.start, f.end)}")
    by_kind = {kind.value: Figures(planted[kind], hit[kind], found[kind], true[kind]) for kind in PersonalKind}
    return by_kind | {"all": Figures(planted.total(), hit.total(), found.total(), true.total())}


def around(text: str, start: int, end: int) -> str:
    """Return what stands at a place, with a little of what is before and after."""
    return f"{text[max(0, start - 30) : start]}>>>{text[start:end][:80]}<<<{text[end : end + 15]}"


def table(figures: dict[str, Figures]) -> str:
    """Return the figures as lines of text."""
    return "\n".join(
        f"{kind:9} precision {f.precision:.4f} recall {f.recall:.4f} planted {f.planted:5} found {f.found:5}"
        for kind, f in figures.items()
    )
