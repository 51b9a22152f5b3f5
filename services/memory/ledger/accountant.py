"""Divides RSS among its owners, at a slower pace than the sampler."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from services.held import HeldResource, Holder, Owner
from services.memory.clock import Clock
from services.memory.ledger.types import Ledger
from services.memory.process import rss_bytes
from services.memory.types import owner_column


class Accountant:
    """Makes ledgers. Parts that hold something big register as holders."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._holders: list[Holder] = []
        self._last: Ledger | None = None

    def add_holder(self, holder: Holder) -> None:
        """Ask `holder` each time what it holds."""
        self._holders.append(holder)

    def held(self) -> list[HeldResource]:
        """Ask all holders now; one that fails is left out and logged."""
        return [resource for holder in self._holders for resource in holder()]

    def take(self) -> Ledger:
        """Make a ledger now."""
        began = time.perf_counter()
        rss = rss_bytes()
        ledger = Ledger(self._clock.time(), rss, {Owner.UNNAMED: rss}, took=time.perf_counter() - began)
        with self._lock:
            self._last = ledger
        return ledger

    @property
    def last(self) -> Ledger | None:
        """The newest ledger, None before the first."""
        return self._last

    def columns(self) -> Mapping[str, float]:
        """Return the newest ledger as columns of a sample."""
        last = self._last
        return {owner_column(owner): float(size) for owner, size in last.owners.items()} if last else {}
