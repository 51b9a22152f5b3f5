"""Has the memory of the process watched, and what happens in it put on the time line and into the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from services.memory.limit import MemoryLimit
from services.memory.monitor import MemoryMonitor
from services.memory.process import rss_bytes
from services.memory.types import Series
from services.operations.events import EventLog
from services.operations.reporter import Reports
from services.reporting import EventKind
from services.settings import MEGABYTE
from services.wiring.alerting import hear_of_verdicts
from services.wiring.collecting import hear
from services.wiring.long_collections import LongCollections

if TYPE_CHECKING:
    from contextlib import ExitStack

    from services.runtime import Runtime

EVENTS_SECONDS = 5.0


def watch(runtime: Runtime, closing: ExitStack, *, sampled: bool) -> None:
    """Give `runtime` its events, reporter and memory monitor, and start them; `closing` ends them.

    Comes before the heavy parts are loaded, so that the history shows what each of them costs. Not `sampled`, nothing
    runs in the background and no start is noted.
    """
    events = EventLog(runtime.clock.time, runtime.database)
    reports = Reports(events, runtime.metrics, rss_bytes)
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
