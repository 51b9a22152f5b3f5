"""Judges the history: is this a leak, or just RSS?"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.memory.clock import Clock
from services.memory.leaks import evidence
from services.memory.leaks.censuses import Censuses
from services.memory.leaks.growth import Doubt
from services.memory.leaks.kinds import Parts, live_kind, outside_kind, parts_of
from services.memory.leaks.load import per_request
from services.memory.leaks.probes import Probes
from services.memory.leaks.readings import Blocks, Readings, Source
from services.memory.leaks.scales import DESCRIPTORS, GPU, HOUR, LIVE, MB, RSS, THREADS, WARM_UP, Measure
from services.memory.leaks.shape import without_steps
from services.memory.leaks.statistics import trend
from services.memory.leaks.suspects import by_census, by_group, by_line, by_owner, ordered
from services.memory.leaks.types import LeakKind, State, Suspect, SuspectKind, Trimmed, Verdict
from services.memory.leaks.watching import Look, Watching, blocks_of
from services.memory.leaks.wording import LEAST_WATCHED, headline, size
from services.memory.types import Series
from services.reporting import EventKind, Reporter, Silent
from services.texts import _

# A thread takes at least a stack and what it works on, a descriptor its buffers: if those that leak could make up this
# share of the memory that grows, they are the cause.
BYTES_EACH = {LeakKind.THREADS: MB, LeakKind.DESCRIPTORS: 128 * 1024.0}
CAUSE_SHARE = 0.3
# A second half up to so much faster than the first still is one and the same growth.
EVEN = 1.5
# A leak that was named stays one for this share of its window after it last looked like one, so that a quiet spell
# does not take it back.
HELD_SHARE = 0.15
HELD_SECONDS = 120.0
# Seconds between two collections that are made to see what is in use.
COLLECT_PACE = 45.0


@dataclass(frozen=True, slots=True)
class _Found:
    """The look that a verdict rests on."""

    state: State
    kind: LeakKind
    measure: Measure
    look: Look
    blocks: Blocks
    parts: Parts


class Detector:
    """Keeps the current verdict; `judge` makes a new one from the history. Thread-safe.

    `took` is what the last judgement cost in seconds, without censuses and collections.
    """

    def __init__(
        self, clock: Clock, history: Source, probes: Probes | None = None, reporter: Reporter | None = None
    ) -> None:
        self._clock = clock
        self._history = history
        self._probes = probes or Probes()
        self._reporter: Reporter = reporter or Silent()
        self._lock = threading.Lock()
        self._readings = Readings(history)
        self._watching = {measure.series: Watching(measure) for measure in (LIVE, RSS, GPU, THREADS, DESCRIPTORS)}
        self._censuses = Censuses(self._probes.census)
        self._groups: dict[LeakKind, tuple[float, Counter[str]]] = {}
        self._verdict = Verdict(State.UNKNOWN, clock.time())
        self._leaked = self._collected = 0.0
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
            self._reporter.event(EventKind.VERDICT, headline(verdict), rss_bytes=verdict.level)
        return verdict

    def trim_and_look(self) -> Trimmed:
        """Give back what the allocator keeps, record it, judge anew, and say what that settles."""
        with self._lock:
            watched = self._verdict
        before = self._probes.rss()
        self._probes.trim()
        after = self._probes.rss()
        trimmed = Trimmed(self._clock.time(), before, after, said_of_trim(watched, before - after))
        self._reporter.event(EventKind.TRIM, trimmed.words, rss_before=before, rss_after=after)
        if watched.kind is LeakKind.RETENTION:
            with self._lock:
                # Growth up to now is settled; what grows from here on is looked at afresh.
                self._watching[Series.RSS].begin_again(trimmed.time)
        self.judge()
        return trimmed

    def _judge(self) -> Verdict:
        began = time.perf_counter()
        now = self._clock.time()
        latest = self._history.latest()
        if latest is None:
            return Verdict(State.UNKNOWN, now)
        self._readings.refresh(now)
        level = latest.get(Series.RSS) or 0.0
        limit = latest.get(Series.LIMIT)
        headroom = None if limit is None else max(limit - level, 0.0)
        for watching in self._watching.values():
            watching.look(self._readings, now, None if watching.measure in {THREADS, DESCRIPTORS} else headroom)
        self._collect(now)
        found = self._found()
        self.took = time.perf_counter() - began
        warm = now - self._history.run_start() >= WARM_UP
        if warm:
            self._censuses.look(
                now, suspicious=found is not None, urgent=found is not None and found.state is State.LEAK
            )
            self._count_groups(now)
        if found is not None:
            return self._growing(found, now, level, headroom)
        return self._calm(now, level)

    def _collect(self, now: float) -> None:
        """Before objects are called a leak, a full collection must have looked at what grew: have one where none did.

        Between two of them the memory in unreachable cycles grows like a leak. It stops the process for its duration,
        0.1 s for a million objects; the event says so.
        """
        collect = self._probes.collect
        watching = self._watching[Series.LIVE]
        for look in [look for look in watching.looks.values() if collect is not None and look.suspicious]:
            blocks = blocks_of(self._readings, look.window, look.time)
            runs = None if blocks is None else blocks.get(Series.GC_RUNS_2)
            if collect is None or runs is None or runs[-1] > runs[-max(2, len(runs) // 4)]:
                continue
            watching.doubt(look, Doubt.CYCLES)
            if now - self._collected >= COLLECT_PACE:
                self._collected = now
                began, before = time.perf_counter(), self._probes.rss()
                collect()
                pause, after = time.perf_counter() - began, self._probes.rss()
                told = _("Collected, to see whether what grows is in use")
                self._reporter.event(
                    EventKind.COLLECTION, told, pause_seconds=pause, rss_before=before, rss_after=after
                )

    def _held(self, verdict: Verdict, before: Verdict) -> Verdict:
        """Return the leak that was named before if it was named too shortly ago to be taken back."""
        if verdict.state is State.LEAK:
            self._leaked = verdict.time
        elif before.state is State.LEAK and verdict.time - self._leaked < max(HELD_SECONDS, HELD_SHARE * before.window):
            return replace(before, time=verdict.time, level=verdict.level)
        return verdict

    def _found(self) -> _Found | None:
        """Return what a verdict of watch or leak rests on: the longest window that leaks, or else that grows."""
        found = []
        for watching in self._watching.values():
            for state, looks in (
                (State.LEAK, [look for look in watching.looks.values() if look.leaks]),
                (State.WATCH, [look for look in watching.looks.values() if look.watched]),
            ):
                look = _telling(looks)
                blocks = None if look is None else blocks_of(self._readings, look.window, look.time)
                if look is not None and blocks is not None:
                    found.append(self._of_kind(state, watching.measure, look, blocks))
                    break
        if self._watching[Series.LIVE].looks:
            live_grows = any(one.measure is LIVE for one in found)
            found = [one for one in found if one.measure is not RSS or not live_grows]
        leaks = [one for one in found if one.state is State.LEAK] or found
        return max(leaks, key=_cause, default=None)

    def _of_kind(self, state: State, measure: Measure, look: Look, blocks: Blocks) -> _Found:
        since = look.time - look.window
        parts = parts_of(blocks, self._censuses.since(since), look.window)
        kind = measure.kind
        if measure is LIVE or (measure is RSS and parts.live is None):
            kind = live_kind(parts)
        elif measure is RSS:
            kind = outside_kind(parts)
        if kind is LeakKind.RETENTION:
            state = State.WATCH
        return _Found(state, kind or LeakKind.NATIVE, measure, look, blocks, parts)

    def _growing(self, found: _Found, now: float, level: float, headroom: float | None) -> Verdict:
        look, growth = found.look, found.look.growth
        # A census may have been taken since the kind was decided.
        found = self._of_kind(found.state, found.measure, look, found.blocks)
        y = found.blocks.get(found.measure.series)
        served = found.blocks.served
        requested = per_request(y, served) if y is not None and served is not None else None
        to_limit = None
        if headroom is not None and found.measure in {LIVE, RSS} and growth.slope > 0.0:
            to_limit = headroom / growth.slope * HOUR
        said = evidence.of_growth(look, found.measure, found.kind) + evidence.of_parts(found.parts, found.kind)
        return Verdict(
            found.state,
            now,
            window=look.window,
            level=level,
            kind=found.kind,
            slope_per_hour=growth.slope,
            interval=(growth.low, growth.high),
            per_request=None if requested is None else requested.slope,
            per_request_interval=None if requested is None else (requested.low, requested.high),
            seconds_to_limit=to_limit,
            evidence=tuple(said),
            suspects=self._suspects(found, now),
        )

    def _calm(self, now: float, level: float) -> Verdict:
        watching = next((one for one in (self._watching[Series.LIVE], self._watching[Series.RSS]) if one.looks), None)
        watched = max(0.0, now - self._readings.begin)
        if watching is None or watched < LEAST_WATCHED:
            return Verdict(State.UNKNOWN, now, window=watched, level=level)
        window = max(watching.looks)
        blocks = blocks_of(self._readings, window, now)
        y = None if blocks is None else blocks.get(watching.measure.series)
        if blocks is None or y is None:
            return Verdict(State.UNKNOWN, now, window=watched, level=level)
        found = trend((blocks.times - blocks.times[0]) / HOUR, without_steps(y))
        return Verdict(
            State.FLAT, now, window=window, level=level, slope_per_hour=found.slope, interval=(found.low, found.high)
        )

    def _suspects(self, found: _Found, now: float) -> tuple[Suspect, ...]:
        slope = max(found.look.growth.slope, 1e-9)
        if found.kind in self._groups:
            began, before = self._groups[found.kind]
            probe = self._probes.threads if found.kind is LeakKind.THREADS else self._probes.descriptors
            kind = SuspectKind.THREAD if found.kind is LeakKind.THREADS else SuspectKind.DESCRIPTOR
            hours = max(now - began, 1.0) / HOUR
            return ordered(by_group(probe() if probe else Counter(), before, hours, kind))
        lines = self._probes.lines() if self._probes.lines is not None else ()
        censuses = self._censuses.since(now - found.look.window)
        return ordered(by_line(lines, slope), by_census(censuses, slope, found.kind), by_owner(found.blocks, slope))

    def _count_groups(self, now: float) -> None:
        """Remember once what threads and descriptors there were after the warm-up."""
        for kind, probe in (
            (LeakKind.THREADS, self._probes.threads),
            (LeakKind.DESCRIPTORS, self._probes.descriptors),
        ):
            if probe is not None and kind not in self._groups:
                self._groups[kind] = (now, probe())


def _telling(looks: Sequence[Look]) -> Look | None:
    """Return the longest of the windows that grow evenly; the shortest where growth has only begun in all of them."""
    even = [look for look in looks if look.growth.pace <= EVEN]
    return max(even, key=lambda look: look.window) if even else min(looks, key=lambda look: look.window, default=None)


def _cause(found: _Found) -> float:
    """How much memory growth could come from it, in bytes an hour."""
    slope = found.look.growth.slope
    if found.kind in BYTES_EACH:
        return slope * BYTES_EACH[found.kind] / CAUSE_SHARE
    return slope


def said_of_trim(watched: Verdict, given_back: int) -> str:
    """Say what a trim settles."""
    amount = size(max(0, given_back))
    if watched.kind is not LeakKind.RETENTION:
        return _("The allocator gave back {amount}.").format(amount=amount)
    grown = (watched.slope_per_hour or 0.0) * watched.window / HOUR
    if given_back >= 0.5 * grown:
        return _("The allocator gave back {amount}: it had kept freed memory, nothing leaks.").format(amount=amount)
    return _(
        "The allocator gave back only {amount} of {grown}: the rest lies between blocks in use or was mapped by others."
    ).format(amount=amount, grown=size(grown))
