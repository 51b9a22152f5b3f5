"""The collection policy: collects when idle, after large work, or when memory in use has grown, instead of after every
page run."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from services.core.actor import SERVICE
from services.core.events import EventKind, EventSink
from services.core.i18n import _, plural
from services.memory.clock import Clock
from services.memory.gc.control import GCControl
from services.memory.gc.interpreter import full_collection_count
from services.memory.process import rss_bytes

log = structlog.get_logger(__name__)

MB = 1_000_000
BLOCK_SHARE, RSS_SHARE = 0.2, 0.1
_MAX_BACKOFF = 4
# The service is idle after so many seconds of the clock without a request.
IDLE_SECONDS = 3.0
# After work, an idle period of this length is used in any case: objects that were in use at the last full collection
# and have become garbage since show in no growth.
LONG_IDLE_SECONDS = 30.0
# The collection after large work waits at most so long for an idle moment.
LARGE_WORK_SECONDS = 10.0
# The share of the time that the pauses of this policy may take.
MAX_PAUSE_SHARE = 0.01
# If a full collection takes longer, the young generations are collected first when idle.
LONG_PAUSE_SECONDS = 0.020
# Only collections that freed as much emit an event, and not more often than this.
NOTABLE_OBJECTS, NOTABLE_BYTES, EVENT_SECONDS = 10_000, 16_000_000, 60.0


class CollectionReason(StrEnum):
    """The reason for a collection."""

    IDLE = "idle"
    ALLOCATION = "allocation"
    LARGE_WORK = "big_work"


@dataclass(frozen=True, slots=True)
class HeapUse:
    """The memory in use: blocks of Python's allocator and resident bytes."""

    blocks: int
    rss: int


@dataclass(frozen=True, slots=True)
class PolicyRun:
    """A collection by the policy. `seconds` is the pause, `found` a count of objects, `what` the large work."""

    time: float
    reason: CollectionReason
    generation: int
    seconds: float
    found: int
    before: HeapUse
    after: HeapUse
    what: str = ""

    @property
    def description(self) -> str:
        """The reason and the result in words."""
        reasons = {
            CollectionReason.IDLE: _("when idle"),
            CollectionReason.ALLOCATION: _("because memory in use had grown"),
            CollectionReason.LARGE_WORK: _("after large work: {what}").format(what=self.what),
        }
        found = plural("{count} object found", "{count} objects found", self.found)
        return _("generation {number} {why}: {found} in {pause:.0f} ms").format(
            number=self.generation, why=reasons[self.reason], found=found, pause=1000 * self.seconds
        )


@dataclass(frozen=True, slots=True)
class PolicyState:
    """The state of the policy. `description` says in words whether it acts and what it waits for. `grown` is the growth
    since the last full collection, `seconds` the sum of all its pauses, `runs` their number by reason."""

    active: bool
    description: str
    grown: HeapUse
    needed_blocks: int
    seconds: float
    last: PolicyRun | None = None
    runs: Mapping[CollectionReason, int] = field(default_factory=dict)


# When idle a collection disturbs nobody: about 2 MB of Python objects are worth it.
IDLE_GROWTH = HeapUse(20_000, 16 * MB)
# After large work a collection is likely to free something.
LARGE_WORK_GROWTH = HeapUse(5_000, 8 * MB)
# Under load the growth must be a share of the memory in use, between these two.
MIN_LOAD_GROWTH, MAX_LOAD_GROWTH = HeapUse(50_000, 32 * MB), HeapUse(300_000, 128 * MB)
# A collection under load that freed less than this share of the growth, or than this minimum, was not worthwhile: the
# next one needs more growth.
_WORTHWHILE_SHARE, _MIN_FREED = 0.1, HeapUse(5000, 4 * MB)


def current_heap_use() -> HeapUse:
    """Return the memory in use by this process (0.2 ms)."""
    return HeapUse(sys.getallocatedblocks(), rss_bytes())


class AllocationGrowth:
    """Tracks the growth of memory in use from its lowest point since the last full collection."""

    def __init__(self, measure: Callable[[], HeapUse] = current_heap_use) -> None:
        self._measure = measure
        self._low = measure()
        self._runs = full_collection_count()
        self._backoff = 1

    @property
    def full_collections(self) -> int:
        """The number of full collections at the last update."""
        return self._runs

    def reset(self) -> None:
        """Measure growth from now on."""
        self._runs, self._low = full_collection_count(), self._measure()

    def update(self) -> HeapUse:
        """Return the memory in use now; a full collection by anybody else resets the growth."""
        heap, runs = self._measure(), full_collection_count()
        if runs != self._runs:
            self._runs, self._low = runs, heap
        self._low = HeapUse(min(self._low.blocks, heap.blocks), min(self._low.rss, heap.rss))
        return heap

    def growth(self, heap: HeapUse) -> HeapUse:
        """Return by how much `heap` is above the lowest point."""
        return HeapUse(heap.blocks - self._low.blocks, heap.rss - self._low.rss)

    def needed(self) -> HeapUse:
        """Return the growth that a collection under load needs."""
        blocks = min(max(int(BLOCK_SHARE * self._low.blocks), MIN_LOAD_GROWTH.blocks), MAX_LOAD_GROWTH.blocks)
        rss = min(max(int(RSS_SHARE * self._low.rss), MIN_LOAD_GROWTH.rss), MAX_LOAD_GROWTH.rss)
        return HeapUse(blocks * self._backoff, rss * self._backoff)

    def record_collection(self, before: HeapUse, *, under_load: bool) -> HeapUse:
        """Record a full collection by the policy and reset the growth; return the memory in use now."""
        grown, after = self.growth(before), self._measure()
        worthwhile = before.blocks - after.blocks >= max(_WORTHWHILE_SHARE * grown.blocks, _MIN_FREED.blocks)
        worthwhile = worthwhile or before.rss - after.rss >= max(_WORTHWHILE_SHARE * grown.rss, _MIN_FREED.rss)
        if worthwhile:
            self._backoff = 1
        elif under_load:
            self._backoff = min(2 * self._backoff, _MAX_BACKOFF)
        self._runs, self._low = full_collection_count(), after
        return after


def exceeds(grown: HeapUse, needed: HeapUse) -> bool:
    """Return whether the growth is sufficient, in blocks or in resident memory."""
    return grown.blocks >= needed.blocks or grown.rss >= needed.rss


@dataclass(frozen=True, slots=True)
class _LargeWork:
    what: str
    ended: float
    certain: bool


class CollectionPolicy:
    """Decides when to collect, and collects. `busy` returns the number of requests and answers in progress, `done` the
    number of completed ones.

    With the garbage collector or the policy switched off by a user, it does nothing.
    """

    def __init__(
        self,
        clock: Clock,
        busy: Callable[[], int],
        reporter: EventSink,
        control: GCControl,
        *,
        done: Callable[[], int] = lambda: 0,
        measure: Callable[[], HeapUse] = current_heap_use,
    ) -> None:
        self._clock = clock
        self._busy = busy
        self._done = done
        self._reporter = reporter
        self._control = control
        self._growth = AllocationGrowth(measure)
        self._lock = threading.Lock()
        self._seen = -1
        self._worked_at: int | None = None  # number of full collections at the last request
        self._idle_since = clock.time()
        self._large_work: _LargeWork | None = None
        self._not_before = 0.0  # earliest next collection by the monotonic clock, as pauses are real seconds
        self._full_seconds = 0.0
        self._seconds = 0.0
        self._runs: Counter[CollectionReason] = Counter()
        self._last: PolicyRun | None = None
        self._emitted_at = float("-inf")
        self.enabled = True

    @property
    def last(self) -> PolicyRun | None:
        """The latest collection of the policy."""
        return self._last

    def state(self) -> PolicyState:
        """Return the state of the policy."""
        off = self._off()
        grown, needed = self._growth.growth(self._growth.update()), self._growth.needed()
        description = off or _(
            "on: {grown} new blocks since the last full collection; it collects at {idle} when idle, at {needed} "
            "under load"
        ).format(grown=f"{grown.blocks:,}", idle=f"{IDLE_GROWTH.blocks:,}", needed=f"{needed.blocks:,}")
        return PolicyState(not off, description, grown, needed.blocks, self._seconds, self._last, dict(self._runs))

    def report_large_work(self, what: str, *, at_once: bool = False, certain: bool = False) -> None:
        """Report that large work has ended (an ingestion, a bulk delete, an unloaded model).

        The collection follows in the next idle moment; with `at_once` in this thread, where its cost allows it. Unless
        `certain`, it is skipped when there was little growth since the last one.
        """
        certain = certain or (self._large_work is not None and self._large_work.certain)
        self._large_work = _LargeWork(what, self._clock.time(), certain)
        if at_once:
            self._check(immediate=True)

    def check(self) -> None:
        """Collect if that is due; called about every second by `memory-watch`."""
        self._check(immediate=False)

    def _check(self, *, immediate: bool) -> None:
        if not self._lock.acquire(blocking=False):
            return  # another thread is checking
        try:
            self._decide(immediate=immediate)
        finally:
            self._lock.release()

    def _decide(self, *, immediate: bool) -> None:
        if self._worked_at is None:
            self._growth.reset()  # objects from the start are there to stay
        heap, now = self._growth.update(), self._clock.time()
        done = self._done()
        if self._busy() or done != self._seen:
            self._seen, self._idle_since, self._worked_at = done, now, self._growth.full_collections
        if self._off():
            self._large_work = None
            return
        if time.monotonic() < self._not_before:
            return
        grown, idle_for = self._growth.growth(heap), now - self._idle_since
        idle = idle_for >= IDLE_SECONDS
        if self._large_work is not None:
            work = self._large_work
            if immediate or idle or now - work.ended >= LARGE_WORK_SECONDS:
                self._large_work = None
                if work.certain or exceeds(grown, LARGE_WORK_GROWTH):
                    self._collect(CollectionReason.LARGE_WORK, heap, work.what)
        elif idle and exceeds(grown, IDLE_GROWTH):
            self._collect_idle(heap)
        elif idle_for >= LONG_IDLE_SECONDS and self._worked_at == self._growth.full_collections:
            self._collect(CollectionReason.IDLE, heap)
        elif exceeds(grown, self._growth.needed()):
            self._collect(CollectionReason.ALLOCATION, heap)

    def _off(self) -> str:
        settings = self._control.settings
        if settings.off:
            return _("off: the garbage collector is switched off")
        if not settings.policy or not self.enabled:
            return _("off: switched off")
        return ""

    def _collect_idle(self, heap: HeapUse) -> None:
        """Collect when idle; where a full collection takes long, try the young generations first."""
        if self._full_seconds >= LONG_PAUSE_SECONDS:
            result = self._control.collect_unrecorded(1)
            after = self._growth.update()
            if not exceeds(self._growth.growth(after), IDLE_GROWTH):
                self._record(
                    PolicyRun(self._clock.time(), CollectionReason.IDLE, 1, result.seconds, result.found, heap, after)
                )
                return
        self._collect(CollectionReason.IDLE, heap)

    def _collect(self, reason: CollectionReason, heap: HeapUse, what: str = "") -> None:
        result = self._control.collect_unrecorded(2)
        self._full_seconds = result.seconds
        after = self._growth.record_collection(heap, under_load=reason is CollectionReason.ALLOCATION)
        self._record(PolicyRun(self._clock.time(), reason, 2, result.seconds, result.found, heap, after, what))

    def _record(self, run: PolicyRun) -> None:
        self._not_before = time.monotonic() + run.seconds / MAX_PAUSE_SHARE
        self._seconds += run.seconds
        self._runs[run.reason] += 1
        self._last = run
        freed = run.before.rss - run.after.rss
        log.debug("collected", reason=run.reason.value, seconds=run.seconds, found=run.found, rss_freed=freed)
        notable = run.found >= NOTABLE_OBJECTS or freed >= NOTABLE_BYTES
        if notable and run.time - self._emitted_at >= EVENT_SECONDS:
            self._emitted_at = run.time
            figures = {"pause_seconds": run.seconds, "found": run.found}
            figures |= {"rss_before": run.before.rss, "rss_after": run.after.rss}
            self._reporter.action(SERVICE.name, EventKind.POLICY, run.description, **figures)
