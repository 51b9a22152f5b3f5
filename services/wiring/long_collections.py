"""Puts the collector's long runs on the time line."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.memory.sampling.pauses import Pause
from services.operations.events import EventLog
from services.reporting import EventKind
from services.texts import plural

LONG_SECONDS = 0.010


class LongCollections:
    """Looks now and then through the pauses that were recorded: the recorder itself sits where nothing may be done.

    An event for each look that finds any: collections of the oldest generation that stopped all threads for over 10 ms,
    whether they came by themselves or were asked for.
    """

    def __init__(self, recent: Callable[[], Sequence[Pause]], events: EventLog) -> None:
        self._recent = recent
        self._events = events
        self._seen = 0.0

    def report(self) -> None:
        """Look at what is new."""
        new = [pause for pause in self._recent() if pause.time > self._seen]
        if not new:
            return
        self._seen = max(pause.time for pause in new)
        long = [pause for pause in new if pause.generation == 2 and pause.seconds > LONG_SECONDS]
        if long:
            figures = {
                "count": len(long),
                "seconds": sum(pause.seconds for pause in long),
                "longest_seconds": max(pause.seconds for pause in long),
                "collected": sum(pause.collected for pause in long),
            }
            text = plural("{count} collection of generation 2", "{count} collections of generation 2", len(long))
            self._events.record(EventKind.COLLECTION, text, figures, at=long[-1].time)
