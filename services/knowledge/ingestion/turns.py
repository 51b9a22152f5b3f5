"""Turns: who is served next of several who want the same, so that each gets an equal share of it.

Everybody has a clock that runs with what they use; the one whose clock is furthest behind is next. Who comes anew
begins at the present time: nobody saves up turns, and nobody is starved (start-time fair queueing).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=tuple[str, ...])
_MOST_CLOCKS = 1000
_MOST_OWNERS = 1000


class Flow(NamedTuple):
    """What shares a turn: the files that an owner handed in together, as a batch."""

    owner: str
    batch: str


class Turns(Generic[K]):
    """Shares something among keys. Not thread-safe."""

    def __init__(self) -> None:
        self._clocks: dict[K, float] = {}
        self._now = 0.0

    def next(self, keys: Iterable[K]) -> K:
        """Return whose turn it is, of several the first; there must be one."""
        chosen = min(keys, key=self._clock)
        self._now = self._clock(chosen)
        return chosen

    def charge(self, key: K, amount: float) -> None:
        """Record that `key` has used so much."""
        self._clocks[key] = self._clock(key) + amount
        if len(self._clocks) > _MOST_CLOCKS:
            self._clocks = {one: clock for one, clock in self._clocks.items() if clock > self._now}

    def _clock(self, key: K) -> float:
        return max(self._clocks.get(key, 0.0), self._now)


class FlowTurns:
    """Shares something among owners, and what an owner gets among their batches. Not thread-safe."""

    def __init__(self) -> None:
        self._owners: Turns[tuple[str, ...]] = Turns()
        self._batches: OrderedDict[str, Turns[Flow]] = OrderedDict()  # by owner, the latest last

    def next(self, flows: Iterable[Flow]) -> Flow:
        """Return whose turn it is, of several the first; there must be one."""
        present = list(flows)
        (owner,) = self._owners.next(dict.fromkeys((flow.owner,) for flow in present))
        return self._of(owner).next(flow for flow in present if flow.owner == owner)

    def charge(self, flow: Flow, amount: float) -> None:
        """Record that `flow` has used so much."""
        self._owners.charge((flow.owner,), amount)
        self._of(flow.owner).charge(flow, amount)

    def _of(self, owner: str) -> Turns[Flow]:
        batches = self._batches.setdefault(owner, Turns())
        self._batches.move_to_end(owner)
        while len(self._batches) > _MOST_OWNERS:
            self._batches.popitem(last=False)
        return batches
