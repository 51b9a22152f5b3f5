"""Builds what watches memory: time line of events, memory monitor, own garbage collection policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from services.audit.audit_trail import Audit
from services.core import database
from services.core.database import Database
from services.core.events import EventKind, EventSink
from services.core.i18n import _, plural
from services.core.machine import MEGABYTE
from services.core.memory_report import Owner
from services.core.preferences import Preferences
from services.core.settings import Settings
from services.memory.clock import Clock
from services.memory.gc.policy import CollectionPolicy
from services.memory.late_imports import LateImports
from services.memory.limit import MemoryLimit
from services.memory.monitor import MemoryMonitor
from services.memory.objects.names import OwnerRules
from services.memory.process import rss_bytes
from services.memory.sampling.gc_pauses import Pause
from services.memory.types import Series
from services.operations.event_log import EventLog
from services.operations.event_reporter import EventReporter
from services.operations.metrics import Metrics
from services.operations.request_log import RecentRequests

EVENTS_SECONDS = 5.0
POLICY_SECONDS = 1.0
MANY_DOCUMENTS = 20  # deleting so many at once is big work
LONG_SECONDS = 0.010


def build_events(
    clock: Clock, storage: Database, metrics: Metrics, audit: Audit, closing: ExitStack
) -> tuple[EventLog, EventReporter]:
    """Return the time line and what reports to it, to the metrics and the audit log; `closing` writes what waits."""
    events = EventLog(clock.time, storage)
    reporter = EventReporter(events, metrics, rss_bytes, audit.record)
    closing.callback(reporter.flush, everything=True)
    return events, reporter


def build_memory(  # noqa: PLR0917 - the composition root calls it, nobody else
    settings: Settings,
    clock: Clock,
    preferences: Preferences,
    events: EventLog,
    reporter: EventReporter,
    request_log: RecentRequests,
    count_sessions: Callable[[], int],
) -> MemoryMonitor:
    """Return the memory monitor, not started."""
    memory = MemoryMonitor(
        settings.data_dir / "memory",
        clock,
        reporter,
        limit=MemoryLimit(settings.memory_limit_mb * MEGABYTE, settings.memory_share),
        preferences=preferences,
        events=events,
    )

    def activity() -> Mapping[str, float]:
        return {Series.REQUESTS: float(request_log.total), Series.SESSIONS: float(count_sessions())}

    register_owners(memory.objects.owner_rules)
    memory.sampler.add_source(activity, name="activity")
    memory.add_task(LongCollections(memory.pauses.recent, events).report, EVENTS_SECONDS)
    memory.add_task(reporter.flush, EVENTS_SECONDS)
    return memory


def register_owners(rules: OwnerRules) -> None:
    """Register who owns what the database's modules hold."""
    rules.register(database, Owner.DATABASE)
    rules.register_library("sqlalchemy", Owner.DATABASE)
    rules.register_library("sqlite3", Owner.DATABASE)


def watch_late_imports(memory: MemoryMonitor, reporter: EventSink) -> None:
    """Name on the time line what is imported from now on: the process has started."""
    purposes = {
        "llama_cpp": _("local chat model's library loaded"),
        "langchain_ollama": _("chat model library loaded"),
        "langchain_core": _("chat model library loaded"),
        "langsmith": _("chat model library loaded"),
        "onnxruntime": _("library of models loaded"),
        "torch": _("library of models loaded"),
        "pandas": _("library of the pages' tables loaded"),
        "pyarrow": _("library of the pages' tables loaded"),
        "streamlit": _("library of the pages loaded"),
        "httpx": _("library of connections loaded"),
        "cryptography": _("library of signatures loaded"),
        "argon2": _("library of passwords loaded"),
        "pyotp": _("library of second factors loaded"),
    }
    memory.sampler.add_source(LateImports(reporter, purposes), name="late_imports")


def start_memory(memory: MemoryMonitor, events: EventLog, reporter: EventSink, closing: ExitStack) -> None:
    """Start sampling and record the start of the process; `closing` records its end and stops sampling.

    Comes before the heavy parts are loaded, so that the history shows what each of them costs.
    """
    memory.start()
    closing.callback(memory.close)
    reporter.event(EventKind.START, events.last_end(memory.history.last_seen()))
    closing.callback(reporter.event, EventKind.STOP)


def build_gc_policy(
    clock: Clock,
    request_log: RecentRequests,
    reporter: EventReporter,
    memory: MemoryMonitor,
    *,
    ready: Callable[[], bool],
) -> CollectionPolicy:
    """Return the policy that collects when the process is idle; it learns of big work from the events."""
    policy = CollectionPolicy(
        clock, lambda: request_log.busy, reporter, memory.collector, done=lambda: request_log.total
    )

    def check() -> None:
        if ready():
            policy.check()

    memory.add_task(check, POLICY_SECONDS, monitoring=False)
    reporter.add_listener(big_work_listener(policy))
    return policy


def big_work_listener(policy: CollectionPolicy) -> Callable[[EventKind, Mapping[str, float]], None]:
    """Return a listener that tells `policy` of the end of big work; ingestion reports its end itself."""

    def listener(kind: EventKind, figures: Mapping[str, float]) -> None:
        if kind is EventKind.DELETION and figures.get("documents", 0) >= MANY_DOCUMENTS:
            policy.report_large_work(_("many documents deleted"))
        elif kind is EventKind.MODEL and figures.get("unloaded"):
            policy.report_large_work(_("chat model unloaded"), certain=True)

    return listener


class LongCollections:
    """Reports long garbage collections as events: the pause recorder itself runs where nothing else may be done.

    One event per call that finds any: collections of the oldest generation that stopped all threads for over 10 ms,
    whether automatic or requested.
    """

    def __init__(self, recent: Callable[[], Sequence[Pause]], events: EventLog) -> None:
        self._recent = recent
        self._events = events
        self._seen = 0.0

    def report(self) -> None:
        """Record what has come since the last call."""
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
