"""What an action did to the memory: looks before and after, in the same words for everything that acts."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from services.core.memory_report import Owner
from services.memory.ledger.ledger import Ledger
from services.memory.process import rss_bytes


@dataclass(frozen=True, slots=True)
class Effect:
    """What one action did. Bytes; `seconds` is how long the action itself took, without the looks.

    `found` and `uncollectable` are objects, None where the action was no collection. `detail` is the outcome in words.
    """

    action: str
    actor: str
    time: float
    seconds: float
    rss_before: int
    rss_after: int
    owners_before: Mapping[Owner, int] = field(default_factory=dict)
    owners_after: Mapping[Owner, int] = field(default_factory=dict)
    found: int | None = None
    uncollectable: int | None = None
    detail: str = ""

    @property
    def freed(self) -> int:
        """RSS that was given back, negative where it grew."""
        return self.rss_before - self.rss_after


class RecentEffects:
    """The effects of late, of everybody who acted: bounded, shared by all who look. Thread-safe."""

    def __init__(self, limit: int = 20) -> None:
        self._kept: deque[Effect] = deque(maxlen=limit)

    def add(self, effect: Effect) -> Effect:
        """Keep an effect; returns it."""
        self._kept.append(effect)
        return effect

    def latest(self) -> tuple[Effect, ...]:
        """Return those that are kept, the newest first."""
        return tuple(reversed(self._kept.copy()))


class LedgerSource(Protocol):
    """What is needed of the ledger."""

    def take(self) -> Ledger: ...


@dataclass(frozen=True, slots=True)
class MeasuredAction:
    """What an action says of itself."""

    detail: str = ""
    found: int | None = None
    uncollectable: int | None = None


def measured(
    accounts: LedgerSource, now: Callable[[], float], action: str, actor: str, act: Callable[[], MeasuredAction]
) -> Effect:
    """Call `act` between two ledgers (about 25 ms each) and return what it did; its errors pass through."""
    before = accounts.take()
    rss_before = rss_bytes()
    began = time.perf_counter()
    outcome = act()
    seconds = time.perf_counter() - began
    rss_after = rss_bytes()
    after = accounts.take()
    return Effect(
        action,
        actor,
        now(),
        seconds,
        rss_before,
        rss_after,
        before.owners,
        after.owners,
        outcome.found,
        outcome.uncollectable,
        outcome.detail,
    )
