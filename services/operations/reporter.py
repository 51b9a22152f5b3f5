"""Where the rooms' reports go: events to the time line, durations and counts to the metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from services.operations.bursts import Bursts
from services.operations.events import EventLog
from services.operations.metrics import Metrics
from services.reporting import Counted, EventKind, Timing

# Many of these can come at once: two hundred files in one go are one thing to look at.
_IN_BURSTS = frozenset({EventKind.UPLOAD, EventKind.DELETION})


class Reports:
    """Passes on what the rooms report (`services.reporting.Reporter`). Every event also carries `rss`, in bytes."""

    def __init__(self, events: EventLog, metrics: Metrics, rss_bytes: Callable[[], int]) -> None:
        self._events = events
        self._metrics = metrics
        self._rss = rss_bytes
        self._bursts = Bursts(self._record)
        self._listeners: list[Callable[[EventKind, Mapping[str, float]], None]] = []

    def listen(self, listener: Callable[[EventKind, Mapping[str, float]], None]) -> None:
        """Have `listener` called with every event at once, in the thread that reports it: it must not wait or raise."""
        self._listeners.append(listener)

    def event(self, kind: EventKind, detail: str = "", **figures: float) -> None:
        """Something happened now."""
        self._tell(kind, figures)
        if kind in _IN_BURSTS:
            self._bursts.add(kind, detail, figures)
        else:
            self._record(kind, detail, figures)

    def action(self, actor: str, kind: EventKind, detail: str = "", /, **figures: float) -> None:
        """Somebody did something now."""
        self._tell(kind, figures)
        self._record(kind, detail, figures, actor)

    def observe(self, timing: Timing, seconds: float) -> None:
        """Something took `seconds`."""
        self._metrics.observe(timing, seconds)

    def count(self, counted: Counted, amount: float = 1) -> None:
        """Something happened `amount` times."""
        self._metrics.count(counted, amount)

    def _tell(self, kind: EventKind, figures: Mapping[str, float]) -> None:
        for listener in self._listeners:
            listener(kind, figures)

    def _record(self, kind: EventKind, detail: str, figures: Mapping[str, float], actor: str = "") -> None:
        self._events.record(kind, detail, {**figures, "rss": float(self._rss())}, actor=actor)

    def flush(self, *, everything: bool = False) -> None:
        """Sum up what has ended, and have the events written."""
        self._bursts.sweep(everything=everything)
        self._events.flush()
