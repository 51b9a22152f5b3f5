"""Caches and buffers without a limit."""

from __future__ import annotations

import functools
import queue
from typing import Any

from services.app.container import Services
from services.memory.leaks.types import LeakKind
from tests.benchmarks.leaks.real.scenario import Scenario, Step, rows, text

_responses: dict[str, Any] = {}
_outbox: queue.Queue[Any] = queue.Queue()


class _Analysis:
    """A document under analysis."""

    def __init__(self, document: str) -> None:
        self.words = document.split()

    @functools.lru_cache(maxsize=None)  # noqa: B019, UP033 - this is the defect
    def score(self, question: str) -> int:
        return sum(word in question for word in self.words)


def cached_method(_services: Services) -> Step:
    """lru_cache on a method keeps every `self` that it was called on (Python's FAQ; flake8-bugbear B019)."""
    return lambda number: _Analysis(text(number, 12_000)).score(f"Who owes the miller {number}?")


def by_request(_services: Services) -> Step:
    """Responses by request id, for a retry that never comes."""

    def step(number: int) -> None:
        _responses[f"request-{number}"] = {"status": 200, "rows": rows(number, 250)}

    return step


def slow_consumer(_services: Services) -> Step:
    """A queue without a limit whose consumer takes two of three messages."""

    def step(number: int) -> None:
        for part in range(3):
            _outbox.put((number, part, rows(number, 200)))
        for _ in range(2):
            _outbox.get_nowait()

    return step


SCENARIOS = (
    Scenario(
        "lru_cache on a method", cached_method, LeakKind.PYTHON, ("_Analysis", "lru_cache", "score"), per_step=171_000
    ),
    Scenario("responses by request id", by_request, LeakKind.PYTHON, ("_responses",), per_step=83_000),
    Scenario(
        "queue with a slow consumer", slow_consumer, LeakKind.PYTHON, ("_outbox", "queue", "deque"), per_step=66_000
    ),
)
