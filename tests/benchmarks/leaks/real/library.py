"""All scenarios by name."""

from __future__ import annotations

from tests.benchmarks.leaks.real import (
    bounded,
    caches,
    chat,
    files,
    frames,
    listeners,
    pages,
    passing,
    pictures,
    threads,
    vectors,
)
from tests.benchmarks.leaks.real.scenario import Scenario

_FAMILIES = (chat, caches, frames, pictures, pages, vectors, threads, files, listeners, bounded, passing)

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for family in _FAMILIES for scenario in family.SCENARIOS}


def scenario(name: str) -> Scenario:
    """Return a scenario, also one that is held out.

    Raises:
        KeyError: there is none of that name.
    """
    from tests.benchmarks.leaks.real.held_out import SCENARIOS as KEPT

    return (SCENARIOS | {kept.name: kept for kept in KEPT})[name]
