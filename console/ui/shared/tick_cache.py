"""A cache for what live fragments draw: twenty open tabs cost hardly more than one."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class TickCache(Generic[Value]):
    """Values that all tabs share during a tick: the first request builds the value, concurrent ones wait for it.

    Keeps one value per key and at most `most` keys. Ticks follow the process's clock, not that of the samples.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._entries: OrderedDict[object, _TickEntry[Value]] = OrderedDict()

    def get(self, key: object, seconds: float, build: Callable[[], Value]) -> Value:
        """Return the value of `key`, built at most once per tick of `seconds`."""
        with self._lock:
            entry = self._entries.setdefault(key, _TickEntry())
            self._entries.move_to_end(key)
            while len(self._entries) > self._most:
                self._entries.popitem(last=False)
        with entry.lock:
            tick = int(time.monotonic() / seconds)
            if entry.value is None or entry.tick != tick:
                entry.value = build()
                entry.tick = tick
            return entry.value


class _TickEntry(Generic[Value]):
    """One value, the tick that it was built in, and the lock for building it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tick = -1
        self.value: Value | None = None
