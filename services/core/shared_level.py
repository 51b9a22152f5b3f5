"""The second level of the caches as the first one knows it; `services.core.shared_cache` is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Found:
    """A value of the shared cache, and for how many seconds it may still be used."""

    value: bytes
    seconds: float


@dataclass(frozen=True, slots=True)
class ShelfStats:
    """What is shared of one cache: counts since the start, bytes of all nodes when this one last wrote, the budget."""

    hits: int
    misses: int
    bytes: int
    budget: int


@dataclass(frozen=True, slots=True)
class SharedCacheStatus:
    """How the server does.

    `state` is that of its breaker: "closed" (it is used), "half_open" (it is tried), "open" (it is left alone);
    `reason` that of its last failure, `opened` how often it was left alone. `requests` were asked on the way to an
    answer and took `seconds` in all; `skipped` were not asked: the server was left alone, or too many asked at once.
    `errors` are failures, `broken` values that this pond has not made, `dropped` ones that were not kept for want of
    room or as the server was away. `owed_seconds`: since when something deleted waits to be removed there, 0: nothing
    does.
    """

    address: str
    state: str
    reason: str
    retry_seconds: float
    opened: int
    requests: int
    seconds: float
    skipped: int
    errors: int
    broken: int
    dropped: int
    owed_seconds: float


class SharedLevel(Protocol):
    """The second level of the caches: nothing of it raises; caches are named."""

    def find(self, cache: str, keys: Sequence[str]) -> list[Found | None]:
        """Return what is there for each key; waits for a tenth of a second at most."""

    def keep(self, cache: str, key: str, value: bytes) -> None:
        """Have a value kept; returns at once."""

    def erase(self) -> None:
        """Have all answers and search results removed; returns at once."""

    def shelf(self, cache: str) -> ShelfStats | None:
        """Return how the part of a cache does."""

    def status(self) -> SharedCacheStatus:
        """Return how the server does."""
