"""Judges the history: is this a leak, or just RSS?"""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from services.core.access import Actor
from services.core.events import EventKind, EventSink, NullEventSink
from services.core.i18n import _
from services.memory.clock import Clock
from services.memory.leaks import findings
from services.memory.leaks.findings import Finding, find, of_kind
from services.memory.leaks.growth import per_request
from services.memory.leaks.messages import LEAST_WATCHED, headline, said_of_trim
from services.memory.leaks.probes import CollectionCheck, Probes
from services.memory.leaks.readings import DESCRIPTORS, GPU, HOUR, LIVE, RSS, THREADS, WARM_UP, Readings, ReadingSource
from services.memory.leaks.statistics import trend, without_steps
from services.memory.leaks.suspects import SuspectCollector
from services.memory.leaks.types import LeakKind, Trimmed, Verdict, VerdictState
from services.memory.leaks.windows import MeasureWatch, blocks_of
from services.memory.types import Series

# What was named stays for this share of its window after it was last seen, so that a quiet spell does not take it back
# and the time line does not fill with changes of mind.
HELD_SHARE = 0.15
HELD_SECONDS = 120.0
_RANK = {VerdictState.UNKNOWN: 0, VerdictState.FLAT: 0, VerdictState.WATCH: 1, VerdictState.LEAK: 2}


class Detector:
    """Keeps the current verdict; `judge` makes a new one from the history. Thread-safe.

    `took` is what the last judgement cost in seconds, without censuses and collections.
    """

    def __init__(
        self, clock: Clock, history: ReadingSource, probes: Probes | None = None, reporter: EventSink | None = None
    ) -> None:
        self._clock = clock
        self._history = history
        self._probes = probes or Probes()
        self._reporter: EventSink = reporter or NullEventSink()
        self._lock = threading.Lock()
        self._readings = Readings(history)
        self._watching = {measure.series: MeasureWatch(measure) for measure in (LIVE, RSS, GPU, THREADS, DESCRIPTORS)}
        self._gathering = SuspectCollector(self._probes)
        self._collecting = CollectionCheck(self._probes, self._reporter)
        self._verdict = Verdict(VerdictState.UNKNOWN, clock.time())
        self._seen = 0.0  # when what the verdict says was last seen
        self.took = 0.0

    @property
    def verdict(self) -> Verdict:
        """The newest verdict."""
        return self._verdict

    def judge(self) -> Verdict:
        """Judge now."""
        with self._lock:
            before = self._verdict
            verdict = self._held(self._judge(), before)
            same = verdict.state is before.state and verdict.kind is before.kind
            since = before.since if same and before.since is not None else verdict.time
            self._verdict = verdict = replace(verdict, since=since)
        if not same and before.window > 0.0:
            self._reporter.event(EventKind.VERDICT, headline(verdict))
        return verdict

    def trim_and_look(self, actor: Actor) -> Trimmed:
        """Give back what the allocator keeps, record it, judge anew, and say what that settles.

        Raises:
            ForbiddenError: `actor` may only look.
        """
        actor.require_admin(_("Trim and look again"))
        watched = self._verdict
        before = self._probes.rss()
        self._probes.trim()
        after = self._probes.rss()
        trimmed = Trimmed(self._clock.time(), before, after, said_of_trim(watched, before - after))
        self._reporter.action(actor.name, EventKind.TRIM, trimmed.words, rss_before=before, rss_after=after)
        if watched.kind is LeakKind.RETENTION:
            with self._lock:
                # Growth up to now is settled; what grows from here on is looked at afresh.
                self._watching[Series.RSS].begin_again(trimmed.time)
                self._seen = 0.0
        self.judge()
        return trimmed

    def _judge(self) -> Verdict:
        began = time.perf_counter()
        now = self._clock.time()
        latest = self._history.latest()
        if latest is None:
            return Verdict(VerdictState.UNKNOWN, now)
        self._readings.refresh(now)
        level = latest.get(Series.RSS) or 0.0
        limit = latest.get(Series.LIMIT)
        headroom = None if limit is None else max(limit - level, 0.0)
        for watching in self._watching.values():
            watching.look(self._readings, now, None if watching.measure in {THREADS, DESCRIPTORS} else headroom)
        self._collecting.check(self._watching[Series.LIVE], self._readings, now)
        found = find(self._watching.values(), self._readings, self._gathering.censuses)
        watched = max(0.0, now - self._readings.begin)
        self.took = time.perf_counter() - began
        if now - self._history.run_start() >= WARM_UP:
            self._gathering.look(found, now)
        # Every process grows at first: that is not worth watching.
        if found is not None and (found.state is VerdictState.LEAK or watched >= LEAST_WATCHED):
            return self._growing(of_kind(found, self._gathering.censuses), now, level, headroom)
        return self._calm(now, level, watched)

    def _held(self, verdict: Verdict, before: Verdict) -> Verdict:
        """Return what was said before if that was seen too shortly ago to be taken back."""
        if _RANK[verdict.state] >= _RANK[before.state]:
            self._seen = verdict.time
        elif verdict.time - self._seen < max(HELD_SECONDS, HELD_SHARE * before.window):
            return replace(before, time=verdict.time, level=verdict.level)
        return verdict

    def _growing(self, found: Finding, now: float, level: float, headroom: float | None) -> Verdict:
        growth = found.look.growth
        y, served = found.blocks.get(found.measure.series), found.blocks.served
        requested = per_request(y, served) if y is not None and served is not None else None
        to_limit = None
        if headroom is not None and found.measure in {LIVE, RSS} and growth.slope > 0.0:
            to_limit = headroom / growth.slope * HOUR
        said = findings.of(found)
        if found.kind is LeakKind.PYTHON and not self._probes.collects():
            said.append(_("The garbage collector is switched off: objects that refer to each other pile up."))
        return Verdict(
            found.state,
            now,
            window=found.look.window,
            level=level,
            kind=found.kind,
            slope_per_hour=growth.slope,
            interval=(growth.low, growth.high),
            per_request=None if requested is None else requested.slope,
            per_request_interval=None if requested is None else (requested.low, requested.high),
            seconds_to_limit=to_limit,
            evidence=tuple(said),
            suspects=self._gathering.suspects(found, now),
        )

    def _calm(self, now: float, level: float, watched: float) -> Verdict:
        watching = next((one for one in (self._watching[Series.LIVE], self._watching[Series.RSS]) if one.looks), None)
        if watching is None or watched < LEAST_WATCHED:
            return Verdict(VerdictState.UNKNOWN, now, window=watched, level=level)
        window = max(watching.looks)
        blocks = blocks_of(self._readings, window, now)
        y = None if blocks is None else blocks.get(watching.measure.series)
        if blocks is None or y is None:
            return Verdict(VerdictState.UNKNOWN, now, window=watched, level=level)
        found = trend((blocks.times - blocks.times[0]) / HOUR, without_steps(y))
        return Verdict(
            VerdictState.FLAT,
            now,
            window=window,
            level=level,
            slope_per_hour=found.slope,
            interval=(found.low, found.high),
        )
