"""The paces of the merged history."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tier:
    """A pace of the merged history: `step` seconds between points, `length` points in a block, `kept` blocks."""

    id: int
    step: float
    length: int
    kept: int

    @property
    def reach(self) -> float:
        """How far back it goes for certain, in seconds: the newest block has only begun."""
        return self.step * self.length * (self.kept - 1)

    def block(self, time: float) -> int:
        """Return the number of the block that holds `time`."""
        return int(time // (self.step * self.length))


MINUTES = Tier(1, 60.0, 1440, 15)  # blocks of a day, 14 days
HOURS = Tier(2, 3600.0, 720, 14)  # blocks of 30 days, 390 days
