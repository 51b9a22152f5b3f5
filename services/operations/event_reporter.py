"""Reports of the services: events go to the event log, durations and counts to the metrics.

Bursts are coalesced so that the time line stays readable: of many events of a kind in a row, the log has the first and
a summary of the others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from services.core.actor import Actor
from services.core.auditing import NOTHING, Action, AuditOutcome, Target
from services.core.events import Counter, EventKind, Timer
from services.core.i18n import plural
from services.operations.event_log import EventLog
from services.operations.metrics import Metrics

# Many of these can come at once: two hundred files uploaded together are one thing to read.
_IN_BURSTS = frozenset({EventKind.UPLOAD, EventKind.DELETION})
RecordEvent = Callable[[EventKind, str, Mapping[str, float]], None]
RecordAction = Callable[[Actor | None, Action, Target, AuditOutcome, str], None]
QUIET_SECONDS = 3.0
LONGEST_SECONDS = 60.0


class EventReporter:
    """The `services.core.events.EventSink` of the process. It adds `rss`, in bytes, to every event."""

    def __init__(
        self,
        events: EventLog,
        metrics: Metrics,
        rss_bytes: Callable[[], int],
        record_action: RecordAction = lambda *_record: None,
    ) -> None:
        self._record_action = record_action
        self._events = events
        self._metrics = metrics
        self._rss = rss_bytes
        self._bursts = EventCoalescer(self._record)
        self._listeners: list[Callable[[EventKind, Mapping[str, float]], None]] = []

    def add_listener(self, listener: Callable[[EventKind, Mapping[str, float]], None]) -> None:
        """Call `listener` with every event at once, in the thread that reports it: it must not wait or raise."""
        self._listeners.append(listener)

    def event(self, kind: EventKind, detail: str = "", **figures: float) -> None:
        """Record that something happened now."""
        self._notify(kind, figures)
        if kind in _IN_BURSTS:
            self._bursts.add(kind, detail, figures)
        else:
            self._record(kind, detail, figures)

    def action(self, actor: str, kind: EventKind, detail: str = "", /, **figures: float) -> None:
        """Record that `actor` did something now."""
        self._notify(kind, figures)
        self._record(kind, detail, figures, actor)

    def audit(
        self,
        actor: Actor | None,
        action: Action,
        target: Target = NOTHING,
        outcome: AuditOutcome = AuditOutcome.DONE,
        detail: str = "",
    ) -> None:
        """Record in the audit log that `actor` did something."""
        self._record_action(actor, action, target, outcome, detail)

    def observe(self, timing: Timer, seconds: float) -> None:
        """Record a duration of `seconds`."""
        self._metrics.observe(timing, seconds)

    def count(self, counted: Counter, amount: float = 1) -> None:
        """Raise a counter by `amount`."""
        self._metrics.count(counted, amount)

    def _notify(self, kind: EventKind, figures: Mapping[str, float]) -> None:
        for listener in self._listeners:
            listener(kind, figures)

    def _record(self, kind: EventKind, detail: str, figures: Mapping[str, float], actor: str = "") -> None:
        self._events.record(kind, detail, {**figures, "rss": float(self._rss())}, actor=actor)

    def flush(self, *, everything: bool = False) -> None:
        """Summarise bursts that have ended, and write the events."""
        self._bursts.flush(everything=everything)
        self._events.flush()


@dataclass(slots=True)
class _Burst:
    began: float
    last: float
    further: int = 0
    figures: dict[str, float] = field(default_factory=dict)


class EventCoalescer:
    """Records the first event of a burst at once, and one more for all that follow within `quiet` seconds each.

    The figures of the summary are sums. `flush`, to be called regularly, records it at the latest `longest` seconds
    after the first event.
    """

    def __init__(self, record: RecordEvent, *, quiet: float = QUIET_SECONDS, longest: float = LONGEST_SECONDS) -> None:
        self._record = record
        self._quiet = quiet
        self._longest = longest
        # Reentrant: the garbage collector may end something that reports in the middle of another report.
        self._lock = threading.RLock()
        self._open: dict[EventKind, _Burst] = {}

    def add(self, kind: EventKind, detail: str, figures: Mapping[str, float]) -> None:
        """Record an event, or add it to the burst that it belongs to."""
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

    def flush(self, *, everything: bool = False) -> None:
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
