"""Objects that are kept by frames, cycles and finalizers."""

from __future__ import annotations

import gc
import weakref

from services.app.container import Services
from services.memory.leaks.types import LeakKind
from tests.benchmarks.leaks.real.scenario import Scenario, Step, rows

_failures: list[Exception] = []


class _ImportError(Exception):
    pass


class _Branch:
    """A part of a parsed document that knows its parent."""

    def __init__(self, parent: _Branch | None, number: int) -> None:
        self.parent = parent
        self.rows = rows(number, 20)
        self.children: list[_Branch] = []


class _Visit:
    """Registers its own bound method as finalizer, which therefore never runs."""

    def __init__(self, number: int) -> None:
        self.rows = rows(number, 300)
        weakref.finalize(self, self.close)

    def close(self) -> None:
        self.rows.clear()


def stored_exceptions(_services: Services) -> Step:
    """Exceptions kept for a report: the traceback keeps every frame with its locals (documentation of `traceback`)."""

    def handle(number: int) -> int:
        page = rows(number, 300)
        raise _ImportError(f"page {len(page)} cannot be read")

    def step(number: int) -> None:
        try:
            handle(number)
        except _ImportError as error:
            _failures.append(error)

    return step


def cycles(_services: Services) -> Step:
    """Trees whose parts know their parents, in a process that switched the collector off to save time."""
    gc.disable()

    def step(number: int) -> None:
        root = _Branch(None, number)
        root.children = [_Branch(root, number) for _ in range(15)]

    return step


def finalizers(_services: Services) -> Step:
    """weakref.finalize with a bound method of its own object (warned of in the documentation of `weakref`)."""
    return _Visit


SCENARIOS = (
    Scenario(
        "stored exceptions",
        stored_exceptions,
        LeakKind.PYTHON,
        ("_failures", "_ImportError", "traceback", "frame"),
        per_step=100_000,
    ),
    Scenario("cycles without the collector", cycles, LeakKind.PYTHON, ("_Branch",), per_step=110_000),
    Scenario(
        "finalizers with bound methods", finalizers, LeakKind.PYTHON, ("_Visit", "finalize", "_Info"), per_step=99_000
    ),
)
