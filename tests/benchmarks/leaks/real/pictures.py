"""Figures of matplotlib that pyplot keeps."""

from __future__ import annotations

import io

from services.app.container import Services
from services.memory.leaks.types import LeakKind
from tests.benchmarks.leaks.real.scenario import Scenario, Step


def _plot(number: int) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(3, 2), dpi=60)
    axes.plot([number % 7, 3, 1, 4, 1, 5])
    figure.savefig(io.BytesIO(), format="png")


def figures(_services: Services) -> Step:
    """pyplot keeps every figure until it is closed (matplotlib: `pyplot.figure`, "figure.max_open_warning")."""
    import matplotlib as mpl

    mpl.use("Agg")

    return _plot


SCENARIOS = (
    Scenario(
        "matplotlib figures",
        figures,
        LeakKind.PYTHON,
        ("matplotlib", "pyplot", "Figure", "Axes", "Gcf"),
        per_step=682_000,
        also=(LeakKind.NATIVE,),  # half of a figure is the picture of its canvas
    ),
)
