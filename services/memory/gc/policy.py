"""When to collect, in place of after every run of a page: in quiet moments, by allocation, after big work.

How much came since the last full collection, whoever made it, and whether that is enough for another one.

What the policy did and how it stands.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from services.core.access import SERVICE
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
# Nothing was asked for so long (seconds of the clock): a quiet moment.
QUIET_SECONDS = 3.0
# After work, so long a quiet is used in any case: what was in use at the last full collection and is not any more
# shows in no growth.
LONG_QUIET_SECONDS = 30.0
# Big work that ends in the midst of other work waits so long for a quiet moment.
BIG_WORK_SECONDS = 10.0
# Its own pauses may take this share of the time.
MAX_PAUSE_SHARE = 0.01
# Above such a pause the young generations are tried first when idle.
LONG_PAUSE_SECONDS = 0.020
# Only what is worth a look goes on the time line, and not more often than this.
NOTABLE_OBJECTS, NOTABLE_BYTES, EVENT_SECONDS = 10_000, 16_000_000, 60.0


class CollectionReason(StrEnum):
    """Why the policy collected."""

    IDLE = "idle"
    ALLOCATION = "allocation"
    BIG_WORK = "big_work"


@dataclass(frozen=True, slots=True)
class HeapUse:
    """What is in use: `blocks` of Python's allocator and resident bytes."""

    blocks: int
    rss: int


@dataclass(frozen=True, slots=True)
class PolicyRun:
    """A collection that the policy made. `seconds` is the pause, `found` counts objects, `what` is the big work."""

    time: float
    reason: CollectionReason
    generation: int
    seconds: float
    found: int
    before: HeapUse
    after: HeapUse
    what: str = ""

    @property
    def told(self) -> str:
        """Why and with what result, in words."""
        reasons = {
            CollectionReason.IDLE: _("in a quiet moment"),
            CollectionReason.ALLOCATION: _("because memory in use had grown"),
            CollectionReason.BIG_WORK: _("after big work: {what}").format(what=self.what),
        }
        found = plural("{count} object found", "{count} objects found", self.found)
        return _("generation {number} {why}: {found} in {pause:.0f} ms").format(
            number=self.generation, why=reasons[self.reason], found=found, pause=1000 * self.seconds
        )


@dataclass(frozen=True, slots=True)
class PolicyState:
    """How the policy stands. `told` says in words whether it acts and what it waits for; `grown` is what came since
    the last full collection, whoever made it; `seconds` is the sum of all its pauses, `runs` their number by reason."""

    active: bool
    told: str
    grown: HeapUse
    needed_blocks: int
    seconds: float
    last: PolicyRun | None = None
    runs: Mapping[CollectionReason, int] = field(default_factory=dict)


# In a quiet moment a collection disturbs nobody: about 2 MB of Python objects are worth it.
IDLE_GROWTH = HeapUse(20_000, 16 * MB)


# After big work it is likely to bring something.
BIG_WORK_GROWTH = HeapUse(5_000, 8 * MB)


# Under load by a share of what is in use, between these two.
MIN_LOAD_GROWTH, MAX_LOAD_GROWTH = HeapUse(50_000, 32 * MB), HeapUse(300_000, 128 * MB)


# A collection under load that gave back less than this share of what had come, or hardly anything, was in vain: then
# more must come for the next.
_WORTHWHILE_SHARE, _MIN_FREED = 0.1, HeapUse(5000, 4 * MB)


def current_heap_use() -> HeapUse:
    """Return what this process has in use now (0.2 ms)."""
    return HeapUse(sys.getallocatedblocks(), rss_bytes())


class AllocationGrowth:
    """Follows the memory in use from its lowest point since the last full collection."""

    def __init__(self, level: Callable[[], HeapUse] = current_heap_use) -> None:
        self._level = level
        self._low = level()
        self._runs = full_collection_count()
        self._patience = 1

    @property
    def full(self) -> int:
        """How many full collections there had been at the last look."""
        return self._runs

    def begin(self) -> None:
        """Count from now on."""
        self._runs, self._low = full_collection_count(), self._level()

    def look(self) -> HeapUse:
        """Return what is in use now; a full collection that somebody else made begins a new count."""
        level, runs = self._level(), full_collection_count()
        if runs != self._runs:
            self._runs, self._low = runs, level
        self._low = HeapUse(min(self._low.blocks, level.blocks), min(self._low.rss, level.rss))
        return level

    def grown(self, level: HeapUse) -> HeapUse:
        """Return how far `level` is above the lowest point."""
        return HeapUse(level.blocks - self._low.blocks, level.rss - self._low.rss)

    def needed(self) -> HeapUse:
        """Return what must have come under load."""
        blocks = min(max(int(BLOCK_SHARE * self._low.blocks), MIN_LOAD_GROWTH.blocks), MAX_LOAD_GROWTH.blocks)
        rss = min(max(int(RSS_SHARE * self._low.rss), MIN_LOAD_GROWTH.rss), MAX_LOAD_GROWTH.rss)
        return HeapUse(blocks * self._patience, rss * self._patience)

    def collected(self, before: HeapUse, *, under_load: bool) -> HeapUse:
        """Begin a new count after a full collection of our own; returns what is in use now."""
        grown, after = self.grown(before), self._level()
        worth = before.blocks - after.blocks >= max(_WORTHWHILE_SHARE * grown.blocks, _MIN_FREED.blocks)
        worth = worth or before.rss - after.rss >= max(_WORTHWHILE_SHARE * grown.rss, _MIN_FREED.rss)
        if worth:
            self._patience = 1
        elif under_load:
            self._patience = min(2 * self._patience, _MAX_BACKOFF)
        self._runs, self._low = full_collection_count(), after
        return after


def exceeds(grown: HeapUse, needed: HeapUse) -> bool:
    """Return whether enough came, in blocks or in resident memory."""
    return grown.blocks >= needed.blocks or grown.rss >= needed.rss


@dataclass(frozen=True, slots=True)
class _BigWork:
    what: str
    ended: float
    certain: bool


class CollectionPolicy:
    """Decides when to collect and does it. `busy` says how many requests and answers are under way, `done` how many
    there have been.

    It respects what a person chose: with the collector switched off, or the policy itself, it does nothing.
    """

    def __init__(
        self,
        clock: Clock,
        busy: Callable[[], int],
        reporter: EventSink,
        collector: GCControl,
        *,
        done: Callable[[], int] = lambda: 0,
        level: Callable[[], HeapUse] = current_heap_use,
    ) -> None:
        self._clock = clock
        self._busy = busy
        self._done = done
        self._reporter = reporter
        self._collector = collector
        self._growth = AllocationGrowth(level)
        self._lock = threading.Lock()
        self._seen = -1
        self._worked_at: int | None = None  # full collections there had been when something was last asked for
        self._quiet_since = clock.time()
        self._big_work: _BigWork | None = None
        self._next = 0.0  # no earlier than this, by the monotonic clock: costs are real seconds
        self._full_seconds = 0.0
        self._seconds = 0.0
        self._runs: Counter[CollectionReason] = Counter()
        self._last: PolicyRun | None = None
        self._told_at = float("-inf")
        self.enabled = True

    @property
    def last(self) -> PolicyRun | None:
        """The collection that it made last: why, how long, what it found."""
        return self._last

    def state(self) -> PolicyState:
        """Return how it stands."""
        off = self._off()
        grown, needed = self._growth.grown(self._growth.look()), self._growth.needed()
        told = off or _(
            "on: {grown} blocks came since the last full collection; when idle {idle} are enough, under load {needed}"
        ).format(grown=f"{grown.blocks:,}", idle=f"{IDLE_GROWTH.blocks:,}", needed=f"{needed.blocks:,}")
        return PolicyState(not off, told, grown, needed.blocks, self._seconds, self._last, dict(self._runs))

    def big_work_done(self, what: str, *, at_once: bool = False, certain: bool = False) -> None:
        """Say that something big has ended (an ingestion, a delete of many, an unloaded model).

        The collection follows in the next quiet moment; `at_once`, in this thread, where its cost allows it. Unless
        `certain`, it is left out when hardly anything came since the last one.
        """
        certain = certain or (self._big_work is not None and self._big_work.certain)
        self._big_work = _BigWork(what, self._clock.time(), certain)
        if at_once:
            self._look(waited=True)

    def check(self) -> None:
        """Collect if it is a good moment; called every second or so by `memory-watch`."""
        self._look(waited=False)

    def _look(self, *, waited: bool) -> None:
        if not self._lock.acquire(blocking=False):
            return  # it is being looked at
        try:
            self._decide(waited=waited)
        finally:
            self._lock.release()

    def _decide(self, *, waited: bool) -> None:
        if self._worked_at is None:
            self._growth.begin()  # what the start brought is there to stay
        level, now = self._growth.look(), self._clock.time()
        done = self._done()
        if self._busy() or done != self._seen:
            self._seen, self._quiet_since, self._worked_at = done, now, self._growth.full
        if self._off():
            self._big_work = None
            return
        if time.monotonic() < self._next:
            return
        grown, quiet_for = self._growth.grown(level), now - self._quiet_since
        quiet = quiet_for >= QUIET_SECONDS
        if self._big_work is not None:
            work = self._big_work
            if waited or quiet or now - work.ended >= BIG_WORK_SECONDS:
                self._big_work = None
                if work.certain or exceeds(grown, BIG_WORK_GROWTH):
                    self._collect(CollectionReason.BIG_WORK, level, work.what)
        elif quiet and exceeds(grown, IDLE_GROWTH):
            self._collect_quietly(level)
        elif quiet_for >= LONG_QUIET_SECONDS and self._worked_at == self._growth.full:
            self._collect(CollectionReason.IDLE, level)
        elif exceeds(grown, self._growth.needed()):
            self._collect(CollectionReason.ALLOCATION, level)

    def _off(self) -> str:
        settings = self._collector.settings
        if settings.off:
            return _("off: the collector is switched off, and that is respected")
        if not settings.policy or not self.enabled:
            return _("off: switched off")
        return ""

    def _collect_quietly(self, level: HeapUse) -> None:
        """Where a full collection takes long, try the young objects first: that may be enough."""
        if self._full_seconds >= LONG_PAUSE_SECONDS:
            found = self._collector.run(1)
            after = self._growth.look()
            if not exceeds(self._growth.grown(after), IDLE_GROWTH):
                self._note(
                    PolicyRun(self._clock.time(), CollectionReason.IDLE, 1, found.seconds, found.found, level, after)
                )
                return
        self._collect(CollectionReason.IDLE, level)

    def _collect(self, reason: CollectionReason, level: HeapUse, what: str = "") -> None:
        found = self._collector.run(2)
        self._full_seconds = found.seconds
        after = self._growth.collected(level, under_load=reason is CollectionReason.ALLOCATION)
        self._note(PolicyRun(self._clock.time(), reason, 2, found.seconds, found.found, level, after, what))

    def _note(self, run: PolicyRun) -> None:
        self._next = time.monotonic() + run.seconds / MAX_PAUSE_SHARE
        self._seconds += run.seconds
        self._runs[run.reason] += 1
        self._last = run
        freed = run.before.rss - run.after.rss
        log.debug("collected", reason=run.reason.value, seconds=run.seconds, found=run.found, rss_freed=freed)
        notable = run.found >= NOTABLE_OBJECTS or freed >= NOTABLE_BYTES
        if notable and run.time - self._told_at >= EVENT_SECONDS:
            self._told_at = run.time
            figures = {"pause_seconds": run.seconds, "found": run.found}
            self._reporter.action(
                SERVICE.name, EventKind.POLICY, run.told, rss_before=run.before.rss, rss_after=run.after.rss, **figures
            )
