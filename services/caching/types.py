"""What caches tell, and what the shared level has to offer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class SharedLevel(Protocol):
    """A cache that several processes share. Values are bytes; it may lose anything at any time, and
    fail: whoever asks it counts that and goes on."""

    def get(self, key: str) -> bytes | None: ...
    def put(self, key: str, value: bytes, seconds: float) -> None: ...
    def remove(self, prefix: str) -> None: ...


@dataclass(frozen=True, slots=True)
class CacheFigures:
    """How a cache does: counts since the start, bytes and entries now, the budget in bytes."""

    name: str
    label: str
    hits: int
    shared_hits: int
    misses: int
    evicted: int
    entries: int
    bytes: int
    budget: int
    failures: int = 0  # of the shared level

    @property
    def hit_rate(self) -> float | None:
        """Share of look-ups that either level answered, 0 to 1; None before the first."""
        asked = self.hits + self.shared_hits + self.misses
        return (self.hits + self.shared_hits) / asked if asked else None
