"""Failures by key, for a quarter of an hour: in this process, or where several nodes count them together."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.core.throttle import FORGET_SECONDS

_MOST = 30_000  # keys, about 6 MB


@dataclass(frozen=True, slots=True)
class KeyFailures:
    """How often a key has failed, and how many seconds ago for the last time."""

    count: int
    age: float


class Failures(Protocol):
    """Counts failures by key; what did not fail for `FORGET_SECONDS` is forgotten. Thread-safe, bounded."""

    def read(self, keys: Iterable[str]) -> dict[str, KeyFailures]:
        """Return those of these keys that have failed of late."""

    def add(self, keys: Sequence[str]) -> None:
        """Register a failure of each."""

    def forget(self, key: str) -> None:
        """Forget the failures of a key."""

    def delete_old(self) -> None:
        """Delete what is forgotten; called once a minute."""


class OwnFailures:
    """Those that this process has seen, in its memory. `monotonic` returns seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()  # the longest quiet first

    def read(self, keys: Iterable[str]) -> dict[str, KeyFailures]:
        now = self._monotonic()
        with self._lock:
            found = {key: self._failed[key] for key in keys if key in self._failed}
        return {key: KeyFailures(count, now - at) for key, (count, at) in found.items() if now - at < FORGET_SECONDS}

    def add(self, keys: Sequence[str]) -> None:
        now = self._monotonic()
        with self._lock:
            for key in keys:
                count, at = self._failed.get(key, (0, now))
                self._failed[key] = (1 if now - at >= FORGET_SECONDS else count + 1), now
                self._failed.move_to_end(key)
            while len(self._failed) > _MOST:
                self._failed.popitem(last=False)

    def forget(self, key: str) -> None:
        with self._lock:
            self._failed.pop(key, None)

    def delete_old(self) -> None:
        now = self._monotonic()
        with self._lock:
            while self._failed and now - next(iter(self._failed.values()))[1] >= FORGET_SECONDS:
                self._failed.popitem(last=False)
