"""A scenario: a step that leaks a little with each request, or only appears to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.app.container import Services
from services.memory.leaks.types import LeakKind

# Called with its number, 0 first, once or more often for each request.
Step = Callable[[int], object]

PARAGRAPH = (
    "The mill stands where the brook leaves the pond. Its wheel turns from the first thaw until the pond freezes, and "
    "the miller keeps a book of every sack that comes and goes, of the height of the water and of who owes what. "
)


# What a request leaves behind in a run, in bytes: fast enough to be named within the hour that a run lasts.
LEFT_BEHIND = 1_500_000


@dataclass(frozen=True)
class Scenario:
    """One real program defect, or something harmless that resembles one.

    `begin` prepares it in a running service and returns its step. `kind` is what a leak should be called, None for
    something harmless; `also` are kinds that are as true where two things grow at once. `suspects` are words of which
    one must be in a suspect. `per_step` is what a step was measured to leave behind: bytes, or threads and files.
    `rate` is the number of requests a minute at some time after the start in seconds, both on the service's clock.
    """

    name: str
    begin: Callable[[Services], Step]
    kind: LeakKind | None = None
    suspects: tuple[str, ...] = ()
    per_step: float = 0.0
    also: tuple[LeakKind, ...] = ()
    rate: Callable[[float], float] | None = None

    @property
    def is_leak(self) -> bool:
        return self.kind is not None

    @property
    def steps(self) -> int:
        """How many steps a request takes; one where threads or files are counted, and for what is harmless."""
        return max(1, round(LEFT_BEHIND / self.per_step)) if self.per_step >= 1000 else 1


def text(number: int, size: int) -> str:
    """Return `size` characters of text that no other `number` yields."""
    opening = f"Page {number}. "
    return (opening + PARAGRAPH * (1 + size // len(PARAGRAPH)))[:size]


def rows(number: int, count: int) -> list[dict[str, object]]:
    """Return `count` small records, as a query of a database would (about 400 bytes each in Python's own blocks)."""
    return [
        {"id": number * 10_000 + i, "sacks": i * 1.5, "miller": f"{number}-{i}", "open": True} for i in range(count)
    ]
