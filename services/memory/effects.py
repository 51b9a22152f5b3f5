"""The effect of an action on memory, measured with a ledger before and after it."""

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
    """The effect of one action. Sizes in bytes; `seconds` is the duration of the action itself, without the ledgers.

    `found` and `uncollectable` are counts of objects, None where the action was no collection. `detail` is the outcome
    in words.
    """

    action: str
    actor: str
    time: float
    seconds: float
    rss_before_bytes: int
    rss_after_bytes: int
    owners_before: Mapping[Owner, int] = field(default_factory=dict)
    owners_after: Mapping[Owner, int] = field(default_factory=dict)
    found: int | None = None
    uncollectable: int | None = None
    detail: str = ""

    @property
    def freed(self) -> int:
        """The RSS freed in bytes, negative where it grew."""
        return self.rss_before_bytes - self.rss_after_bytes


class RecentEffects:
    """The most recent effects of all actions, bounded. Thread-safe."""

    def __init__(self, limit: int = 20) -> None:
        self._effects: deque[Effect] = deque(maxlen=limit)

    def add(self, effect: Effect) -> Effect:
        """Add an effect and return it."""
        self._effects.append(effect)
        return effect

    def latest(self) -> tuple[Effect, ...]:
        """Return the recorded effects, newest first."""
        return tuple(reversed(self._effects.copy()))


class LedgerSource(Protocol):
    """Builds a ledger."""

    def build(self) -> Ledger: ...


@dataclass(frozen=True, slots=True)
class ActionOutcome:
    """The outcome that an action reports; counts of objects where it was a collection."""

    detail: str = ""
    found: int | None = None
    uncollectable: int | None = None


def measure_effect(
    ledger_source: LedgerSource, now: Callable[[], float], action: str, actor: str, act: Callable[[], ActionOutcome]
) -> Effect:
    """Call `act` between two ledgers (about 25 ms each) and return its effect; its errors pass through."""
    before = ledger_source.build()
    rss_before = rss_bytes()
    began = time.perf_counter()
    outcome = act()
    seconds = time.perf_counter() - began
    rss_after = rss_bytes()
    after = ledger_source.build()
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
