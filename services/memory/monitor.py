"""The memory monitor: sampler, history, ledger, leak detector, tracer and objects, started and closed together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from services.core.errors import MillpondError
from services.core.events import EventSink
from services.core.memory_report import Owner
from services.core.preferences import Preferences
from services.memory import tracing
from services.memory.clock import Clock
from services.memory.gc.control import GCControl, collector_columns
from services.memory.gc.types import GCState
from services.memory.history.history import History
from services.memory.leaks.causes import EventSource
from services.memory.leaks.detector import Detector
from services.memory.leaks.probes import process_probes
from services.memory.ledger.ledger import LedgerBuilder
from services.memory.limit import MemoryLimit
from services.memory.objects.inspector import Inspector
from services.memory.objects.types import Census
from services.memory.process import rss_bytes
from services.memory.reclaimers import RecentEffects, Reclaimers
from services.memory.sampling.gc_pauses import PauseRecorder, PauseTotals
from services.memory.sampling.sampler import Sampler
from services.memory.sampling.sources import DeviceSource, HeapSource, ProcessSource, SystemSource, torch_columns
from services.memory.snapshot import MemorySnapshot, RssReading
from services.memory.tracing.tracer import Tracer
from services.memory.types import Sample, Series
from services.memory.watching_cost import CostMeter, WatchingActivity, WatchingCost, WatchingMemory

log = structlog.get_logger(__name__)

SYSTEM_SECONDS = 5.0
LEDGER_SECONDS = 1.0  # between checks whether one is due
DETECTOR_SECONDS = 30.0
FLUSH_SECONDS = 10.0
TRIAL_SECONDS = 1.0
# A sample that the ledger does not fit waits at most so long for the next ledger before it is shown.
HELD_BACK_SECONDS = 3.0


@dataclass(slots=True)
class _PeriodicTask:
    """A task of the watcher thread; `due` by the clock, in seconds since the epoch.

    `activity` is what its CPU time counts as, None: not as watching, or counted elsewhere.
    """

    call: Callable[[], object]
    seconds: float
    due: float
    activity: WatchingActivity | None


class MemoryMonitor:
    """Monitors the memory of this process. Pages, API, metrics and log read its `snapshot`; none measures by itself.

    Two threads: `memory-sampler` samples once a second and never blocks; `memory-watch` runs the periodic tasks that
    take longer (ledger, leak detector, writing the history).
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        reporter: EventSink,
        *,
        limit_bytes: int = 0,
        limit: MemoryLimit | None = None,
        preferences: Preferences | None = None,
        events: EventSource | None = None,
    ) -> None:
        """Build the parts; `limit` is the limit of RSS.

        By default that is `limit_bytes`, 0: the container's limit or all RAM. Saved settings of the garbage collector
        are read from `preferences`.
        """
        self.clock = clock
        self.limit = limit or MemoryLimit(limit_bytes)
        self.history = History(folder)
        self.ledger = LedgerBuilder(clock)
        self.objects = Inspector(clock, folder / "objects", audit=reporter)
        self.objects.owner_rules.register(tracing, Owner.WATCHING)
        self.tracer = Tracer(folder, clock, reporter, self._traced_bytes)
        self.ledger.add_memory_reporter(lambda: [self.history.memory_report()])
        self.ledger.set_census_source(lambda: self.objects.last)
        probes = process_probes(self.objects.take_census, self.tracer.growing_lines)
        # Through the control, so that the pauses of these collections are recorded as requested.
        probes = replace(probes, collect=lambda: self.collector.collect_unrecorded(2))
        self.detector = Detector(clock, self.history, probes, reporter, events)
        self.sampler = Sampler(clock, self._record)
        self.costs = CostMeter()
        self.pauses = PauseRecorder(clock.time)
        self.effects = RecentEffects(added=self.refresh)
        self.collector = GCControl(clock, self.ledger, self.pauses, reporter, preferences, effects=self.effects)
        self.reclaimers = Reclaimers(clock, self.ledger, reporter, self.effects)
        self._devices = DeviceSource()
        self._limit_source = self.limit.current()[1]
        self._counts = self.collector.counts()
        self._pause_totals: PauseTotals = self.pauses.pauses()
        self._watching = WatchingCost()
        self._snapshot: MemorySnapshot | None = None
        self._refreshes = self._refreshes_read = 0
        self._pinned: ContextVar[MemorySnapshot | None] = ContextVar("memory_snapshot", default=None)
        self._census: Census | None = None
        self.ledger.add_listener(lambda ledger: self.costs.add(WatchingActivity.LEDGER, ledger.took))
        self.ledger.add_memory_reporter(WatchingMemory(self._watching_parts, (History, Clock)))
        heap = HeapSource()
        self.sampler.add_source(self.ledger.columns, name="ledger")
        self.sampler.add_source(ProcessSource(), name="process")
        self.sampler.add_source(heap, name="heap")
        self.sampler.add_source(self._collector_columns, name="collector")
        system = SystemSource(limit=self.limit)
        self.sampler.add_source(system, seconds=SYSTEM_SECONDS, name="system")
        self.sampler.add_source(self._limit_columns, name="limit")
        self.sampler.add_source(torch_columns, name="torch")
        self.sampler.add_source(self._devices, name="devices")
        self.sampler.add_source(self._watching_columns, name="watching")
        self.sampler.add_derived(heap.live)
        self._stopping = threading.Event()
        self._tasks: list[_PeriodicTask] = []
        for task, seconds, activity in (
            (self._build_ledger, LEDGER_SECONDS, None),
            (self.detector.judge, DETECTOR_SECONDS, WatchingActivity.DETECTOR),
            (self.history.flush, FLUSH_SECONDS, WatchingActivity.HISTORY),
            (self.collector.check, TRIAL_SECONDS, WatchingActivity.OTHER),
        ):
            self._tasks.append(_PeriodicTask(task, seconds, clock.time(), activity))
        self._watcher = threading.Thread(target=self._watch, name="memory-watch", daemon=True)

    def start(self) -> None:
        """Start the threads."""
        self.pauses.start()
        self.collector.start()
        self.sampler.start()
        self._watcher.start()

    def close(self) -> None:
        """Stop the threads and write what is not on disk; safe to call twice."""
        self._stopping.set()
        self.sampler.close()
        if self._watcher.is_alive():
            self._watcher.join()
        self.collector.close()
        self.pauses.close()
        self._devices.close()
        self.objects.close()
        self.tracer.close()
        self.history.close()

    def parts(self) -> tuple[object, ...]:
        """Return the parts that others also refer to."""
        return (
            self.clock,
            self.limit,
            self.history,
            self.ledger,
            self.objects,
            self.tracer,
            self.detector,
            self.sampler,
            self.pauses,
            self.effects,
            self.collector,
            self.reclaimers,
        )

    # What is shown

    def snapshot(self) -> MemorySnapshot | None:
        """Return the figures of the newest moment, None before the first sample (under a microsecond).

        At most a second old, or four while the ledger is made anew because RSS has changed by more than 2 %; older only
        if sampling has stopped. Its ledger is at most half a minute old.
        """
        return self._pinned.get() or self._snapshot

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """Have this thread see one snapshot inside the block, so that a page or a scrape is of one moment."""
        token = self._pinned.set(self._snapshot)
        try:
            yield
        finally:
            self._pinned.reset(token)

    def reading(self) -> RssReading:
        """Return RSS as everything shows it: that of the snapshot; read now where there is none yet."""
        shown = self.snapshot()
        return RssReading(rss_bytes(), self.clock.time()) if shown is None else RssReading(shown.rss, shown.time)

    def collector_state(self, *, count: bool = True) -> GCState:
        """Return the state of the garbage collector with the counts of the snapshot."""
        shown = self.snapshot()
        return self.collector.state(None if shown is None else shown.collector, count=count)

    def pause_totals(self) -> PauseTotals:
        """Return the pauses of the garbage collector since the start as in the snapshot."""
        shown = self.snapshot()
        return self.pauses.pauses() if shown is None else shown.pauses

    def refresh(self) -> None:
        """Read RSS and the collector's figures now, for what is shown from here on, with the newest ledger.

        After an action, and once everything is loaded: the figures of before would stay for up to a second, or longer.
        """
        shown = self._snapshot
        if shown is None:
            return
        self._refreshes += 1
        counts, totals = self.collector.counts(), self.pauses.pauses()
        values = {**shown.sample.values, **collector_columns(counts, totals), Series.RSS: float(rss_bytes())}
        sample = Sample(self.clock.time(), values)
        self._snapshot = replace(shown, sample=sample, ledger=self.ledger.last, collector=counts, pauses=totals)

    def _record(self, sample: Sample) -> None:
        self.history.add(sample)
        if not self._awaits_ledger(sample):
            self._publish(sample)

    def _awaits_ledger(self, sample: Sample) -> bool:
        """Whether a sample is better shown together with the next ledger, which will be there in a moment."""
        shown, rss = self._snapshot, sample.get(Series.RSS)
        if shown is None or rss is None or sample.time - shown.time > HELD_BACK_SECONDS * max(1.0, self.clock.speed):
            return False
        return self.ledger.outdated(int(rss))

    def _publish(self, sample: Sample) -> None:
        if sample.get(Series.RSS) is None:
            return
        if self._refreshes_read != self._refreshes:  # read before an action was over: what it did would be undone here
            sample = Sample(sample.time, {**sample.values, **self._collector_columns()})
        self._snapshot = MemorySnapshot(
            sample, self.ledger.last, self._counts, self._pause_totals, self._watching, self._limit_source
        )

    def _limit_columns(self) -> Mapping[str, float]:
        """Return the limit with each sample: other figures of the system are read more seldom."""
        limit, self._limit_source = self.limit.current()
        return {Series.LIMIT: float(limit)}

    def _collector_columns(self) -> Mapping[str, float]:
        """Return the collector's columns, of one reading with what the snapshot has of it."""
        self._refreshes_read = self._refreshes
        self._counts, self._pause_totals = self.collector.counts(), self.pauses.pauses()
        return collector_columns(self._counts, self._pause_totals)

    def _traced_bytes(self) -> int | None:
        shown = self.snapshot()
        return None if shown is None else int(shown.sample.get(Series.TRACED) or 0)

    def _watching_columns(self) -> Mapping[str, float]:
        """Return what watching costs over the last minutes, with what this thread has spent since its last call."""
        self.costs.add_thread(WatchingActivity.SAMPLES)
        self._watching = self.costs.cost()
        return {Series.SAMPLER_CPU: self._watching.cores}

    def _watching_parts(self) -> tuple[object, ...]:
        """Return what belongs to the watching alone, for the ledger; the history reports itself."""
        return (*self.detector.held, self.objects.last, self.pauses, self.effects, self.costs, self._snapshot)

    # The thread `memory-watch`

    def add_task(self, call: Callable[[], object], seconds: float, *, monitoring: bool = True) -> None:
        """Have `memory-watch` call `call` every `seconds` of the clock; a failure is logged and changes nothing.

        A task added after `start` begins with the thread's next round. The CPU time of one that is not `monitoring`,
        but acts, is left out of what watching costs.
        """
        activity = WatchingActivity.OTHER if monitoring else None
        self._tasks.append(_PeriodicTask(call, seconds, self.clock.time(), activity))

    def _watch(self) -> None:
        clock = self.clock
        while not clock.wait(self._stopping, min(task.due for task in self._tasks) - clock.time()):
            for task in self._tasks.copy():
                if task.due <= clock.time():
                    began = time.thread_time()
                    try:
                        task.call()
                    except MillpondError as error:  # the database does not answer, or the disk is full
                        log.warning("memory task postponed", task=_name(task.call), reason=error.message)
                    except Exception:
                        # One failing task must not end the thread.
                        log.exception("memory task failed", task=_name(task.call))
                    if task.activity is not None:
                        self.costs.add(task.activity, time.thread_time() - began)
                    task.due = max(task.due + task.seconds, clock.time())
            self._count_census()

    def _build_ledger(self) -> None:
        if self.ledger.due():
            self.ledger.build()

    def _count_census(self) -> None:
        """Count the CPU time of a census, which another process spends."""
        taken = self.objects.last
        if taken is not None and taken is not self._census:
            self._census = taken
            self.costs.add(WatchingActivity.CENSUS, taken.took)


def _name(call: Callable[[], object]) -> str:
    return getattr(call, "__qualname__", "?")
