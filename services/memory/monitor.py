"""The memory room as one thing: sampler, history, ledger, verdict, tracing, objects, started and closed together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from services.core.events import EventSink
from services.core.preferences import Preferences
from services.memory.clock import Clock
from services.memory.effects import RecentEffects
from services.memory.gc.control import GCControl
from services.memory.history.history import History
from services.memory.leaks.detector import Detector
from services.memory.leaks.probes import process_probes
from services.memory.ledger.ledger import LedgerBuilder
from services.memory.limit import MemoryLimit
from services.memory.objects.inspector import Inspector
from services.memory.reclaimers import Reclaimers
from services.memory.sampling.gc_pauses import PauseRecorder
from services.memory.sampling.gpu import DeviceSource, torch_columns
from services.memory.sampling.sampler import CpuShare, Sampler
from services.memory.sampling.sources import HeapSource, ProcessSource, SystemSource
from services.memory.tracing.tracer import Tracer

log = structlog.get_logger(__name__)

SYSTEM_SECONDS = 5.0
LEDGER_SECONDS = 5.0  # so often it is asked whether one is due
DETECTOR_SECONDS = 30.0
FLUSH_SECONDS = 10.0
TRIAL_SECONDS = 1.0


@dataclass(slots=True)
class _PeriodicTask:
    """Something that is done at a pace; `due` by the clock, in seconds since the epoch."""

    call: Callable[[], object]
    seconds: float
    due: float
    watching: bool = True


class MemoryMonitor:
    """Watches the memory of this process. Pages and the API read from it; none of them measures by itself.

    Two threads: `memory-sampler` looks once a second and never waits for anything; `memory-watch` does what takes
    longer (ledger, verdict, writing the history).
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
    ) -> None:
        """Build the parts; `limit` is what RSS is held against.

        By default that is `limit_bytes`, 0: the container's limit or all RAM. What is kept of the collector's settings
        is in `preferences`.
        """
        self.clock = clock
        self.limit = limit or MemoryLimit(limit_bytes)
        self.history = History(folder)
        self.ledger = LedgerBuilder(clock)
        self.objects = Inspector(clock, folder / "objects")
        self.tracer = Tracer(folder, clock, reporter)
        self.ledger.add_memory_reporter(lambda: [self.history.memory_report()])
        self.ledger.set_census(lambda: self.objects.last)
        probes = process_probes(self.objects.census, self.tracer.lines)
        probes = replace(probes, collect=lambda: self.collector.run(2))  # marked as asked for among the pauses
        self.detector = Detector(clock, self.history, probes, reporter)
        self.sampler = Sampler(clock, self.history.add)
        self.pauses = PauseRecorder(clock.time)
        self.effects = RecentEffects()
        self.collector = GCControl(clock, self.ledger, self.pauses, reporter, preferences, effects=self.effects)
        self.reclaimers = Reclaimers(clock, self.ledger, reporter, self.effects)
        self._devices = DeviceSource()
        self._spending = CpuShare()
        heap = HeapSource()
        self.sampler.add_source(self.ledger.columns, name="ledger")
        self.sampler.add_source(ProcessSource(), name="process")
        self.sampler.add_source(heap, name="heap")
        self.sampler.add_source(self.pauses, name="collector")
        surroundings = SystemSource(limit=self.limit)
        self.sampler.add_source(surroundings, seconds=SYSTEM_SECONDS, name="surroundings")
        self.sampler.add_source(torch_columns, name="torch")
        self.sampler.add_source(self._devices, name="devices")
        self.sampler.add_source(self._spending, name="spending")
        self.sampler.add_derived(heap.live)
        self._stopping = threading.Event()
        self._work: list[_PeriodicTask] = []
        for work, seconds in (
            (self._account, LEDGER_SECONDS),
            (self._judge, DETECTOR_SECONDS),
            (self._flush, FLUSH_SECONDS),
            (self.collector.check, TRIAL_SECONDS),
        ):
            self.add_work(work, seconds)
        self._watcher = threading.Thread(target=self._watch, name="memory-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self.pauses.start()
        self.collector.start()
        self.sampler.start()
        self._watcher.start()

    def close(self) -> None:
        """Stop watching and write what is not on disk; safe to call twice."""
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

    def add_work(self, work: Callable[[], object], seconds: float, *, watching: bool = True) -> None:
        """Have `memory-watch` call `work` every `seconds` of the clock; a failure is logged and changes nothing.

        What is added after `start` begins with the thread's next round. What is not `watching`, but acts, does not
        count as a cost of watching.
        """
        self._work.append(_PeriodicTask(work, seconds, self.clock.time(), watching))

    def _watch(self) -> None:
        clock = self.clock
        while not clock.wait(self._stopping, min(work.due for work in self._work) - clock.time()):
            for work in self._work.copy():
                if work.due <= clock.time():
                    began = time.thread_time()
                    try:
                        work.call()
                    except Exception:
                        # Watching must never end because one look failed.
                        log.exception("watching failed", work=getattr(work.call, "__qualname__", "?"))
                    if not work.watching:
                        self._spending.leave_out(time.thread_time() - began)
                    work.due = max(work.due + work.seconds, clock.time())
            self._spending.note()

    def _account(self) -> None:
        if self.ledger.due():
            self.ledger.take()

    def _judge(self) -> None:
        self.detector.judge()

    def _flush(self) -> None:
        self.history.flush()
