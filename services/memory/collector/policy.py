"""When to collect, in place of after every run of a page: in quiet moments, by allocation, after big work."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from services.access import SERVICE
from services.memory.clock import Clock
from services.memory.collector.collector import Collector
from services.memory.collector.growth import BIG_WORK, IDLE, Growth, own_level, reached
from services.memory.collector.policy_types import Level, PolicyRun, PolicyState, Reason
from services.reporting import EventKind, Reporter
from services.texts import _

log = structlog.get_logger(__name__)

# Nothing was asked for so long (seconds of the clock): a quiet moment.
QUIET_SECONDS = 3.0
# After work, so long a quiet is used in any case: what was in use at the last full collection and is not any more
# shows in no growth.
LONG_QUIET_SECONDS = 30.0
# Big work that ends in the midst of other work waits so long for a quiet moment.
BIG_WORK_SECONDS = 10.0
# Its own pauses may take this share of the time.
COST = 0.01
# Above such a pause the young generations are tried first when idle.
LONG_SECONDS = 0.020
# Only what is worth a look goes on the time line, and not more often than this.
NOTABLE_OBJECTS, NOTABLE_BYTES, EVENT_SECONDS = 10_000, 16_000_000, 60.0


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
        reporter: Reporter,
        collector: Collector,
        *,
        done: Callable[[], int] = lambda: 0,
        level: Callable[[], Level] = own_level,
    ) -> None:
        self._clock = clock
        self._busy = busy
        self._done = done
        self._reporter = reporter
        self._collector = collector
        self._growth = Growth(level)
        self._lock = threading.Lock()
        self._seen = -1
        self._worked_at: int | None = None  # full collections there had been when something was last asked for
        self._quiet_since = clock.time()
        self._big_work: _BigWork | None = None
        self._next = 0.0  # no earlier than this, by the monotonic clock: costs are real seconds
        self._full_seconds = 0.0
        self._seconds = 0.0
        self._runs: Counter[Reason] = Counter()
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
        ).format(grown=f"{grown.blocks:,}", idle=f"{IDLE.blocks:,}", needed=f"{needed.blocks:,}")
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
                if work.certain or reached(grown, BIG_WORK):
                    self._collect(Reason.BIG_WORK, level, work.what)
        elif quiet and reached(grown, IDLE):
            self._collect_quietly(level)
        elif quiet_for >= LONG_QUIET_SECONDS and self._worked_at == self._growth.full:
            self._collect(Reason.IDLE, level)
        elif reached(grown, self._growth.needed()):
            self._collect(Reason.ALLOCATION, level)

    def _off(self) -> str:
        settings = self._collector.settings
        if settings.off:
            return _("off: the collector is switched off, and that is respected")
        if not settings.policy or not self.enabled:
            return _("off: switched off")
        return ""

    def _collect_quietly(self, level: Level) -> None:
        """Where a full collection takes long, try the young objects first: that may be enough."""
        if self._full_seconds >= LONG_SECONDS:
            found = self._collector.run(1)
            after = self._growth.look()
            if not reached(self._growth.grown(after), IDLE):
                self._note(PolicyRun(self._clock.time(), Reason.IDLE, 1, found.seconds, found.found, level, after))
                return
        self._collect(Reason.IDLE, level)

    def _collect(self, reason: Reason, level: Level, what: str = "") -> None:
        found = self._collector.run(2)
        self._full_seconds = found.seconds
        after = self._growth.collected(level, under_load=reason is Reason.ALLOCATION)
        self._note(PolicyRun(self._clock.time(), reason, 2, found.seconds, found.found, level, after, what))

    def _note(self, run: PolicyRun) -> None:
        self._next = time.monotonic() + run.seconds / COST
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
