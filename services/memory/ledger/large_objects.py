"""How much of malloc's memory is Python's: objects over 512 bytes, as the last census counted them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.held import HeldResource, Region
from services.memory.objects.types import Census


class LargeObjects:
    """Estimates it between two censuses. What grows meanwhile counts as native; of what shrinks, objects take their
    share."""

    def __init__(self, last: Callable[[], Census | None]) -> None:
        self._last = last
        self._time: float | None = None
        self._counted = 0
        self._share: float | None = None
        self._least = 0

    @property
    def known(self) -> bool:
        """Whether there was a census."""
        return self._time is not None

    def look(self, held: Sequence[HeldResource]) -> None:
        """Take in a new census; what is reported now was reported then, and is not counted again."""
        census = self._last()
        if census is not None and census.time != self._time:
            self._time = census.time
            reported = sum(
                r.large + sum(length for _address, length in r.ranges) for r in held if r.region is Region.PYTHON
            )
            self._counted = max(0, census.large_bytes - reported)
            self._share = None

    def within(self, malloc: int) -> int:
        """Return how many of `malloc` bytes that nobody reported are large objects."""
        if self._share is None:
            self._least = malloc
            self._share = min(1.0, self._counted / malloc) if malloc else 0.0
        self._least = min(self._least, malloc)
        return int(self._share * self._least)
