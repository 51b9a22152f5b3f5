"""The memory monitor: sampler, history, ledger, leak detector, tracer and objects, started and closed together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from services.core.events import EventSink
from services.core.memory_report import Owner
from services.core.preferences import Preferences
from services.memory import tracing
from services.memory.clock import Clock
from services.memory.gc.control import GCControl
from services.memory.history.history import History
from services.memory.leaks.detector import Detector
from services.memory.leaks.probes import process_probes
from services.memory.ledger.ledger import LedgerBuilder
from services.memory.limit import MemoryLimit
from services.memory.objects.inspector import Inspector
from services.memory.reclaimers import RecentEffects, Reclaimers
from services.memory.sampling.gc_pauses import PauseRecorder
from services.memory.sampling.sampler import CpuShare, Sampler
from services.memory.sampling.sources import DeviceSource, HeapSource, ProcessSource, SystemSource, torch_columns
from services.memory.tracing.tracer import Tracer

log = structlog.get_logger(__name__)

SYSTEM_SECONDS = 5.0
LEDGER_SECONDS = 5.0  # between checks whether one is due
DETECTOR_SECONDS = 30.0
FLUSH_SECONDS = 10.0
TRIAL_SECONDS = 1.0


@dataclass(slots=True)
class _PeriodicTask:
    """A task of the watcher thread; `due` by the clock, in seconds since the epoch."""

    call: Callable[[], object]
    seconds: float
    due: float
    monitoring: bool = True


class MemoryMonitor:
    """Monitors the memory of this process. Pages and the API read from it; none of them measures by itself.

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
    ) -> None:
        """Build the parts; `limit` is the limit of RSS.

        By default that is `limit_bytes`, 0: the container's limit or all RAM. Saved settings of the garbage collector
        are read from `preferences`.
        """
        self.clock = clock
        self.limit = limit or MemoryLimit(limit_bytes)
        self.history = History(folder)
        self.ledger = LedgerBuilder(clock)
        self.objects = Inspector(clock, folder / "objects")
        self.objects.owner_rules.register(tracing, Owner.WATCHING)
        self.tracer = Tracer(folder, clock, reporter)
        self.ledger.add_memory_reporter(lambda: [self.history.memory_report()])
        self.ledger.set_census_source(lambda: self.objects.last)
        probes = process_probes(self.objects.take_census, self.tracer.growing_lines)
        # Through the control, so that the pauses of these collections are recorded as requested.
        probes = replace(probes, collect=lambda: self.collector.collect_unrecorded(2))
        self.detector = Detector(clock, self.history, probes, reporter)
        self.sampler = Sampler(clock, self.history.add)
        self.pauses = PauseRecorder(clock.time)
        self.effects = RecentEffects()
        self.collector = GCControl(clock, self.ledger, self.pauses, reporter, preferences, effects=self.effects)
        self.reclaimers = Reclaimers(clock, self.ledger, reporter, self.effects)
        self._devices = DeviceSource()
        self._cpu_share = CpuShare()
        heap = HeapSource()
        self.sampler.add_source(self.ledger.columns, name="ledger")
        self.sampler.add_source(ProcessSource(), name="process")
        self.sampler.add_source(heap, name="heap")
        self.sampler.add_source(self.pauses, name="collector")
        system = SystemSource(limit=self.limit)
        self.sampler.add_source(system, seconds=SYSTEM_SECONDS, name="system")
        self.sampler.add_source(torch_columns, name="torch")
        self.sampler.add_source(self._devices, name="devices")
        self.sampler.add_source(self._cpu_share, name="cpu_share")
        self.sampler.add_derived(heap.live)
        self._stopping = threading.Event()
        self._tasks: list[_PeriodicTask] = []
        for task, seconds in (
            (self._build_ledger, LEDGER_SECONDS),
            (self._detect, DETECTOR_SECONDS),
            (self._flush, FLUSH_SECONDS),
            (self.collector.check, TRIAL_SECONDS),
        ):
            self.add_task(task, seconds)
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

    def add_task(self, call: Callable[[], object], seconds: float, *, monitoring: bool = True) -> None:
        """Have `memory-watch` call `call` every `seconds` of the clock; a failure is logged and changes nothing.

        A task added after `start` begins with the thread's next round. The CPU time of one that is not `monitoring`,
        but acts, is left out of the monitor's cost.
        """
        self._tasks.append(_PeriodicTask(call, seconds, self.clock.time(), monitoring))

    def _watch(self) -> None:
        clock = self.clock
        while not clock.wait(self._stopping, min(task.due for task in self._tasks) - clock.time()):
            for task in self._tasks.copy():
                if task.due <= clock.time():
                    began = time.thread_time()
                    try:
                        task.call()
                    except Exception:
                        # One failing task must not end the thread.
                        log.exception("memory task failed", task=getattr(task.call, "__qualname__", "?"))
                    if not task.monitoring:
                        self._cpu_share.exclude(time.thread_time() - began)
                    task.due = max(task.due + task.seconds, clock.time())
            self._cpu_share.record()

    def _build_ledger(self) -> None:
        if self.ledger.due():
            self.ledger.build()

    def _detect(self) -> None:
        self.detector.judge()

    def _flush(self) -> None:
        self.history.flush()
