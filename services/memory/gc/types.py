"""The settings and state of the garbage collector, and trials of settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GCSettings:
    """The settings. `thresholds` are those of `gc.set_threshold`: (allocations, runs of gen0, runs of gen1).

    `automatic` is whether Python collects by itself; `policy` whether Millpond's policy collects when idle.
    """

    thresholds: tuple[int, int, int]
    automatic: bool = True
    policy: bool = True

    @property
    def off(self) -> bool:
        """Whether automatic collection is off: disabled, or by a threshold 0 of 0, which has the same effect."""
        return not self.automatic or self.thresholds[0] == 0


@dataclass(frozen=True, slots=True)
class CollectorCounts:
    """What the collector counts, read at one moment; the fields are those of `GCState`."""

    counts: tuple[int, int, int]
    collections: tuple[int, int, int]
    frozen: int
    uncollectable: int
    pending: int | None = None
    long_lived: int | None = None


@dataclass(frozen=True, slots=True)
class GCState:
    """The state of the collector.

    `counts` are compared with the thresholds. `kept` are the saved settings, used after a restart; `defaults` the
    thresholds of this Python. `frozen` objects are hidden from the collector; `tracked` objects are visible to it
    (counted every 15 seconds at most). `long_lived` and `pending` are the two counts of the gate of generation 2, None
    where this Python has none or does not expose them.
    """

    settings: GCSettings
    kept: GCSettings | None
    defaults: tuple[int, int, int]
    counts: tuple[int, int, int]
    collections: tuple[int, int, int]
    frozen: int
    uncollectable: int
    tracked: int
    pending: int | None = None
    long_lived: int | None = None


@dataclass(frozen=True, slots=True)
class PauseSummary:
    """The pauses of a period: number of collections, their p95 and the share of the time that they took.

    Counts only collections that Python started by itself; `p95` in seconds, None when there are too few to say.
    """

    collections: int = 0
    p95: float | None = None
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Trial:
    """A change of settings that is reverted at `until` (the clock's time) unless it is kept, or earlier when pauses get
    worse.

    `before_p95` and `now_p95` are in seconds, None while there are too few collections. `verdict` says in words how the
    two compare, or how the trial ended.
    """

    began: float
    until: float
    actor: str
    tried: GCSettings
    before: GCSettings
    before_p95: float | None = None
    now_p95: float | None = None
    verdict: str = ""
    before_pauses: PauseSummary = PauseSummary()
