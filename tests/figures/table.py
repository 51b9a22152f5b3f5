"""Names of figures, and where each is told. What is told in one place only is listed, too: nothing is forgotten."""

from __future__ import annotations

from collections.abc import Iterator

from tests.figures.doors import Told
from tests.figures.memory_rows import memory_figures
from tests.figures.rows import Figure
from tests.figures.service_rows import service_figures


def figures(told: Told) -> Iterator[Figure]:
    """Yield the table."""
    yield from memory_figures(told)
    yield from service_figures(told)
