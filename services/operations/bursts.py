"""Keeps the time line readable: of many events of a kind in a row, the first and a summary of the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from services.reporting import EventKind
from services.texts import plural

Record = Callable[[EventKind, str, Mapping[str, float]], None]

QUIET_SECONDS = 3.0
LONGEST_SECONDS = 60.0


@dataclass(slots=True)
class _Burst:
    began: float
    last: float
    further: int = 0
    figures: dict[str, float] = field(default_factory=dict)


class Bursts:
    """Records the first event of a burst at once, and one more for all that follow within `quiet` seconds each.

    The figures of the summary are sums. It comes from `sweep`, to be called now and then, at the latest `longest`
    seconds after the first.
    """

    def __init__(self, record: Record, *, quiet: float = QUIET_SECONDS, longest: float = LONGEST_SECONDS) -> None:
        self._record = record
        self._quiet = quiet
        self._longest = longest
        # Reentrant: the garbage collector may end something that reports in the middle of another report.
        self._lock = threading.RLock()
        self._open: dict[EventKind, _Burst] = {}

    def add(self, kind: EventKind, detail: str, figures: Mapping[str, float]) -> None:
        """Take an event in."""
        now = time.monotonic()
        with self._lock:
            burst = self._open.get(kind)
            if burst is not None and now - burst.last <= self._quiet:
                burst.last = now
                burst.further += 1
                for name, value in figures.items():
                    burst.figures[name] = burst.figures.get(name, 0.0) + value
                return
            self._open[kind] = _Burst(now, now)
        if burst is not None:
            self._summarise(kind, burst)
        self._record(kind, detail, figures)

    def sweep(self, *, everything: bool = False) -> None:
        """Record the summaries of bursts that have ended, or of all."""
        now = time.monotonic()
        with self._lock:
            ended = [
                kind
                for kind, burst in self._open.items()
                if everything or now - burst.last > self._quiet or now - burst.began > self._longest
            ]
            bursts = [(kind, self._open.pop(kind)) for kind in ended]
        for kind, burst in bursts:
            self._summarise(kind, burst)

    def _summarise(self, kind: EventKind, burst: _Burst) -> None:
        if burst.further:
            text = plural("{count} more", "{count} more", burst.further)
            figures = {**burst.figures, "count": float(burst.further), "seconds": burst.last - burst.began}
            self._record(kind, text, figures)
