"""Listeners that are added and never taken away."""

from __future__ import annotations

import logging
from collections.abc import Callable

from services.app.container import Services
from services.memory.leaks.types import LeakKind
from tests.benchmarks.leaks.real.scenario import Scenario, Step, rows

_listeners: list[Callable[[str], object]] = []


class _RequestHandler(logging.Handler):
    """Writes log records with the request that they belong to."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.request = {"number": number, "rows": rows(number, 150)}

    def emit(self, record: logging.LogRecord) -> None:
        record.__dict__["request"] = self.request["number"]


def handlers(_services: Services) -> Step:
    """A logging handler for each request, never removed (logging: "removeHandler")."""
    logger = logging.getLogger("mill.requests")
    logger.propagate = False

    def step(number: int) -> None:
        logger.addHandler(_RequestHandler(number))
        logger.warning("request %d", number)

    return step


def callbacks(_services: Services) -> Step:
    """Each page registers itself for news and is never taken off the list."""

    def step(number: int) -> None:
        page = rows(number, 200)
        _listeners.append(lambda news: page.append({"news": news}))

    return step


SCENARIOS = (
    Scenario(
        "logging handler per request",
        handlers,
        LeakKind.PYTHON,
        ("_RequestHandler", "mill.requests", "handlers"),
        per_step=50_000,
    ),
    Scenario("listeners never removed", callbacks, LeakKind.PYTHON, ("_listeners", "callbacks"), per_step=66_000),
)
