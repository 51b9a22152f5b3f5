"""The leak detector: makes a verdict from the history of samples."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from services.core.actor import Actor, Permission
from services.core.auditing import Action, Target, TargetKind
from services.core.events import EventKind, EventSink, NullEventSink
from services.core.i18n import _
from services.memory.clock import Clock
from services.memory.leaks.causes import CauseFinder, EventSource
from services.memory.leaks.course import Course
from services.memory.leaks.course_readings import CourseReadings
from services.memory.leaks.findings import Finding, find_growth, left_out, reclassify
from services.memory.leaks.growth import growth_per_request
from services.memory.leaks.headline import LEAST_WATCHED, headline
from services.memory.leaks.messages import evidence, trim_message
from services.memory.leaks.probes import CollectionCheck, Probes
from services.memory.leaks.readings import DESCRIPTORS, GPU, HOUR, LIVE, RSS, THREADS, WARM_UP, Readings, ReadingSource
from services.memory.leaks.suspects import SuspectCollector
from services.memory.leaks.types import LeakKind, Trimmed, Verdict, VerdictState
from services.memory.leaks.windows import MeasureWatch
from services.memory.types import Series

# A verdict of growth is held for this share of its window (and so many seconds at least) after it was last confirmed:
# a quiet spell does not revoke it, and the time line does not fill with changes of verdict.
HELD_SHARE = 0.15
HELD_SECONDS = 120.0
_RANK = {VerdictState.UNKNOWN: 0, VerdictState.FLAT: 0, VerdictState.WATCH: 1, VerdictState.LEAK: 2}


class Detector:
    """Holds the current verdict; `judge` makes a new one from the history. Thread-safe.

    `took` is the duration of the last judgement in seconds, without censuses and collections.
    """

    def __init__(
        self,
        clock: Clock,
        history: ReadingSource,
        probes: Probes | None = None,
        reporter: EventSink | None = None,
        events: EventSource | None = None,
    ) -> None:
        self._clock = clock
        self._history = history
        self._probes = probes or Probes()
        self._reporter: EventSink = reporter or NullEventSink()
        self._lock = threading.Lock()
        self._readings = Readings(history)
        self._course = CourseReadings(history)
        self._causes = CauseFinder(events, clock.speed)
        self._watches = {measure.series: MeasureWatch(measure) for measure in (LIVE, RSS, GPU, THREADS, DESCRIPTORS)}
        self._suspects = SuspectCollector(self._probes)
        self._collection_check = CollectionCheck(self._probes, self._reporter)
        self._verdict = Verdict(VerdictState.UNKNOWN, clock.time())
        self._confirmed = 0.0  # when the current verdict was last confirmed
        self.took = 0.0

    @property
    def verdict(self) -> Verdict:
        """The newest verdict."""
        return self._verdict

    @property
    def held(self) -> tuple[object, ...]:
        """What it keeps from one judgement to the next, for the ledger."""
        return (self._readings, self._course, *self._watches.values())

    def judge(self) -> Verdict:
        """Make a new verdict now, and report a change of it as an event."""
        with self._lock:
            before = self._verdict
            verdict = self._hold(self._judge(), before)
            same = verdict.state is before.state and verdict.kind is before.kind
            since = before.since if same and before.since is not None else verdict.time
            self._verdict = verdict = replace(verdict, since=since)
        if not same and before.window_seconds > 0.0:
            self._reporter.event(EventKind.VERDICT, headline(verdict))
        return verdict

    def trim_and_recheck(self, actor: Actor) -> Trimmed:
        """Trim the heap, record it, make a new verdict, and return what the trim settled.

        Raises:
            ForbiddenError: `actor` may only view.
        """
        actor.require(Permission.OPERATE, _("Trim and check again"))
        watched = self._verdict
        before = self._probes.rss()
        self._probes.trim()
        after = self._probes.rss()
        trimmed = Trimmed(self._clock.time(), before, after, trim_message(watched, before - after))
        self._reporter.action(actor.name, EventKind.TRIM, trimmed.words, rss_before=before, rss_after=after)
        self._reporter.audit(actor, Action.MEMORY_RELEASED, Target(TargetKind.MEMORY, "trim"))
        if watched.kind is LeakKind.RETENTION:
            with self._lock:
                # Growth up to now is explained; only what comes after it counts.
                self._watches[Series.RSS].restart(trimmed.time)
                self._confirmed = 0.0
        self.judge()
        return trimmed

    def _judge(self) -> Verdict:
        began = time.perf_counter()
        now = self._clock.time()
        latest, course = self._history.latest(), self._course.course(now)
        if latest is None or course is None:
            level = 0.0 if latest is None else latest.get(Series.RSS) or 0.0
            return Verdict(VerdictState.UNKNOWN, now, level_bytes=level)
        self._readings.refresh(now)
        course = self._causes.name_course(course)
        limit = latest.get(Series.LIMIT)
        headroom = None if limit is None else max(limit - (latest.get(Series.RSS) or 0.0), 0.0)
        for watch in self._watches.values():
            watch.update(self._readings, now, None if watch.measure in {THREADS, DESCRIPTORS} else headroom)
        self._collection_check.check(self._watches[Series.LIVE], self._readings, now)
        found = find_growth(self._watches.values(), self._readings, self._suspects.census_history)
        watched = max(0.0, now - self._readings.begin)
        self.took = time.perf_counter() - began
        if now - self._history.run_start() >= WARM_UP:
            self._suspects.collect(found, now)
        # Every process grows at first: that is no finding.
        if found is not None and (found.state is VerdictState.LEAK or watched >= LEAST_WATCHED):
            return self._growth_verdict(reclassify(found, self._suspects.census_history), now, course, headroom)
        return _flat_verdict(now, course, watched)

    def _hold(self, verdict: Verdict, before: Verdict) -> Verdict:
        """Return the verdict before instead of a milder one while it is held."""
        if _RANK[verdict.state] >= _RANK[before.state]:
            self._confirmed = verdict.time
        elif verdict.time - self._confirmed < max(HELD_SECONDS, HELD_SHARE * before.window_seconds):
            to_limit = before.seconds_to_limit
            if to_limit is not None and before.slope_per_hour:
                more = (verdict.level_bytes - before.level_bytes) / before.slope_per_hour * HOUR
                to_limit = max(0.0, to_limit - more)
            return replace(
                before,
                time=verdict.time,
                level_bytes=verdict.level_bytes,
                course=verdict.course,
                seconds_to_limit=to_limit,
            )
        return verdict

    def _growth_verdict(self, found: Finding, now: float, course: Course, headroom: float | None) -> Verdict:
        growth = found.trend.growth
        y, served = found.blocks.get(found.measure.series), found.blocks.served
        requested = growth_per_request(y, served) if y is not None and served is not None else None
        to_limit = None
        if headroom is not None and found.measure in {LIVE, RSS} and growth.slope > 0.0:
            to_limit = headroom / growth.slope * HOUR
        sentences = evidence(found)
        if found.kind is LeakKind.PYTHON and not self._probes.collects():
            sentences.append(_("The garbage collector is switched off: objects that refer to each other pile up."))
        return Verdict(
            found.state,
            now,
            window_seconds=found.trend.window,
            level_bytes=course.level_bytes,
            kind=found.kind,
            slope_per_hour=growth.slope,
            interval=(growth.low, growth.high),
            per_request=None if requested is None else requested.slope,
            per_request_interval=None if requested is None else (requested.low, requested.high),
            seconds_to_limit=to_limit,
            evidence=tuple(sentences),
            suspects=self._suspects.suspects(found, now),
            window_end=found.trend.time,
            left_out=self._causes.name_steps(left_out(found)),
            course=course,
        )


def _flat_verdict(now: float, course: Course, watched: float) -> Verdict:
    """Return that nothing leaks, in the words of the course, or that too little is known yet."""
    watched -= sum(end - begin for begin, end in course.gaps)
    if watched < LEAST_WATCHED:
        return Verdict(
            VerdictState.UNKNOWN,
            now,
            window_seconds=max(0.0, watched),
            level_bytes=course.level_bytes,
            course=course,
        )
    rate = course.rate
    return Verdict(
        VerdictState.FLAT,
        now,
        window_seconds=course.seconds,
        level_bytes=course.level_bytes,
        slope_per_hour=None if rate is None else rate.slope,
        interval=None if rate is None else (rate.low, rate.high),
        course=course,
    )
