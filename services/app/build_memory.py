"""Has the memory of the process watched, and what happens in it put on the time line and into the metrics.

Has the service collect by its own policy, and tells the policy what big work has ended.

Puts the collector's long runs on the time line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from services.app.build_operations import hear_of_verdicts
from services.core.events import EventKind
from services.core.i18n import _, plural
from services.core.settings import MEGABYTE
from services.memory.gc.policy import CollectionPolicy
from services.memory.limit import MemoryLimit
from services.memory.monitor import MemoryMonitor
from services.memory.process import rss_bytes
from services.memory.sampling.gc_pauses import Pause
from services.memory.types import Series
from services.operations.event_log import EventLog
from services.operations.event_reporter import EventReporter

if TYPE_CHECKING:
    from contextlib import ExitStack

    from services.app.container import Runtime

EVENTS_SECONDS = 5.0
POLICY_SECONDS = 1.0
# A delete of so many documents at once is big work.
MANY_DOCUMENTS = 20
LONG_SECONDS = 0.010


def watch(runtime: Runtime, closing: ExitStack, *, sampled: bool) -> None:
    """Give `runtime` its events, reporter and memory monitor, and start them; `closing` ends them.

    Comes before the heavy parts are loaded, so that the history shows what each of them costs. Not `sampled`, nothing
    runs in the background and no start is noted.
    """
    events = EventLog(runtime.clock.time, runtime.database)
    reports = EventReporter(events, runtime.metrics, rss_bytes)
    closing.callback(reports.flush, everything=True)
    reports.listen(partial(hear, runtime))
    reports.listen(partial(hear_of_verdicts, runtime))
    settings = runtime.settings
    memory = MemoryMonitor(
        settings.data_dir / "memory",
        runtime.clock,
        reports,
        limit=MemoryLimit(settings.memory_limit_mb * MEGABYTE, settings.memory_share),
        preferences=runtime.preferences,
    )
    runtime.metrics.show_pauses(memory.pauses)

    def activity() -> Mapping[str, float]:
        return {Series.REQUESTS: float(runtime.requests.total), Series.SESSIONS: float(runtime.sessions())}

    memory.sampler.add_source(activity, name="activity")
    memory.add_work(LongCollections(memory.pauses.recent, events).report, EVENTS_SECONDS)
    memory.add_work(reports.flush, EVENTS_SECONDS)
    runtime.events, runtime.reporter, runtime.memory = events, reports, memory
    if sampled:
        memory.start()
        closing.callback(memory.close)
        reports.event(EventKind.START, events.last_end(memory.history.last_seen()))
        closing.callback(reports.event, EventKind.STOP)


def collect_by_policy(runtime: Runtime) -> None:
    """Give `runtime` its policy and have it look each second."""
    requests = runtime.requests
    runtime.policy = CollectionPolicy(
        runtime.clock,
        lambda: requests.busy,
        runtime.reporter,
        runtime.memory.collector,
        done=lambda: requests.total,
    )

    def check() -> None:
        if runtime.ready:
            runtime.policy.check()

    runtime.memory.add_work(check, POLICY_SECONDS, watching=False)


def hear(runtime: Runtime, kind: EventKind, figures: Mapping[str, float]) -> None:
    """Listen to the events for the end of big work; ingestion says so itself, once its queue is empty."""
    if "policy" not in vars(runtime):
        return
    if kind is EventKind.DELETION and figures.get("documents", 0) >= MANY_DOCUMENTS:
        runtime.policy.big_work_done(_("many documents deleted"))
    elif kind is EventKind.MODEL and figures.get("unloaded"):
        runtime.policy.big_work_done(_("chat model unloaded"), certain=True)


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
