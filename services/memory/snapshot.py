"""The snapshot of memory: every figure of one moment together, so that whoever shows some of them shows the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from services.memory.budget.types import LimitSource
from services.memory.gc.types import CollectorCounts
from services.memory.ledger.ledger import Ledger
from services.memory.sampling.gc_pauses import PauseTotals
from services.memory.types import Sample, Series
from services.memory.watching_cost import WatchingCost


class RssReading(NamedTuple):
    """RSS in bytes, and when it was read in seconds since the epoch."""

    rss: int
    time: float


@dataclass(frozen=True, slots=True)
class MemorySnapshot:
    """What pages, API, metrics, log lines and commands tell of memory at one moment; made with each sample.

    `ledger` is the newest one, which is made less often than samples: RSS has changed by `since_ledger` since then.
    """

    sample: Sample
    ledger: Ledger | None
    collector: CollectorCounts
    pauses: PauseTotals
    watching: WatchingCost
    limit_source: LimitSource

    @property
    def time(self) -> float:
        """When everything was read, in seconds since the epoch."""
        return self.sample.time

    @property
    def rss(self) -> int:
        """RSS in bytes."""
        return int(self.sample.values[Series.RSS])

    @property
    def limit(self) -> int | None:
        """What RSS is held against in bytes, None where nothing is known."""
        found = self.sample.get(Series.LIMIT)
        return None if found is None else int(found)

    @property
    def used(self) -> int:
        """Bytes that count against the limit: RSS, or the container's use where that is the limit."""
        if self.limit_source is not LimitSource.CONTAINER:
            return self.rss
        return max(self.rss, int(self.sample.get(Series.GROUP_USED) or 0))

    @property
    def since_ledger(self) -> int | None:
        """RSS that came (or, negative, went) since the ledger, in bytes: no owner has it yet. None without a ledger."""
        return None if self.ledger is None else self.rss - self.ledger.rss
