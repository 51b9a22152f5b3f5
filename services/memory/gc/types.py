"""What the collector is set to, and what a trial is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GCSettings:
    """What can be changed. `thresholds` are those of `gc.set_threshold`: (allocations, runs of gen0, runs of gen1).

    `automatic` is whether Python collects by itself; `policy` whether the policy of our own does so at good moments.
    """

    thresholds: tuple[int, int, int]
    automatic: bool = True
    policy: bool = True

    @property
    def off(self) -> bool:
        """Whether nothing is collected by itself: switched off, or by a threshold 0 of 0, which means the same."""
        return not self.automatic or self.thresholds[0] == 0


@dataclass(frozen=True, slots=True)
class GCState:
    """How the collector stands now. `counts` are what the thresholds are compared with, `frozen` objects that are
    hidden from it, `long_lived` and `pending` the two counts of generation 2's own gate (None where this Python has
    none or does not tell), `kept` the settings that a restart would come up with, `defaults` those of this Python.
    `tracked` objects are those that it can see; counted every 15 seconds at most."""

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
    """The pauses of a stretch of time: how many collections, their p95 and the share of the time that they took.

    Only collections that Python made by itself; `p95` in seconds, None when there are too few to say.
    """

    collections: int = 0
    p95: float | None = None
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Trial:
    """A change that goes back by itself at `until` (the clock's time) unless it is kept, or earlier when pauses get
    worse: `before_p95` and `now_p95` in seconds, None while there are too few collections to say.

    `verdict` says in words how the two compare, or how the trial ended.
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
    now_pauses: PauseSummary = PauseSummary()
