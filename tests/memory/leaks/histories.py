"""Made-up histories of RSS with what caused their steps, replayed through a real history to the real detector."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from services.core.events import EventKind
from services.memory.history.history import History
from services.memory.leaks.detector import Detector
from services.memory.leaks.types import Verdict
from services.memory.types import Floats, Sample, Series
from services.operations.event_log import Event
from tests.memory.leaks.detectors import MB, ManualClock

Chance = np.random.Generator
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
# A night in which Europe's clocks are set back, as any other night for seconds since the epoch.
EPOCH = 1_792_872_000.0


@dataclass
class TimeLine:
    """Events in memory, read as the time line is."""

    events: list[Event] = field(default_factory=list)

    def add(self, time: float, kind: EventKind, detail: str = "", **figures: float) -> int:
        self.events.append(Event(time, kind, detail, figures, id=len(self.events) + 1))
        return len(self.events)

    def between(
        self, start: float, end: float, limit: int = 200, kinds: Collection[EventKind] | None = None
    ) -> Sequence[Event]:
        found = [one for one in self.events if start <= one.time <= end and (kinds is None or one.kind in kinds)]
        return sorted(found, key=lambda one: one.time)[-limit:]


@dataclass(frozen=True)
class Planted:
    """A step that a history was given; `event` is the id of its cause, 0 without one."""

    time: float
    bytes: float
    event: int = 0


@dataclass
class Story:
    """RSS over time; where `runs` changes, the process was started anew. `judged` are the moments of verdicts."""

    times: Floats
    rss: Floats
    live: Floats | None = None
    runs: Floats | None = None
    limit: Floats | None = None
    steps: list[Planted] = field(default_factory=list)
    line: TimeLine = field(default_factory=TimeLine)
    judged: list[float] = field(default_factory=list)


def replay(story: Story) -> Iterator[tuple[Verdict, float]]:
    """Yield each verdict and when its process was started, as they would have been made."""
    runs = np.zeros(len(story.times)) if story.runs is None else story.runs
    with tempfile.TemporaryDirectory() as folder:
        for run in dict.fromkeys(runs.tolist()):
            history = History(Path(folder) if len(set(runs.tolist())) > 1 else None)
            clock = ManualClock()
            detector = Detector(clock, history, events=story.line)
            at = np.flatnonzero(runs == run)
            times = story.times[at]
            due = sorted(moment for moment in story.judged if times[0] <= moment <= times[-1])
            rows = zip(times.tolist(), *(values[at].tolist() for values in _columns(story)), strict=True)
            for time, rss, live, limit in rows:
                while due and due[0] < time:
                    clock.now = due.pop(0)
                    yield detector.judge(), float(times[0])
                history.add(Sample(time, {Series.RSS: rss, Series.LIVE: live, Series.LIMIT: limit}))
            clock.now = float(times[-1])
            yield detector.judge(), float(times[0])
            history.close()


def _columns(story: Story) -> tuple[Floats, Floats, Floats]:
    live = story.rss - 150 * MB if story.live is None else story.live
    limit = np.full(len(story.times), 16_384 * MB) if story.limit is None else story.limit
    return story.rss, live, limit


def ticks(length: float, step: float) -> Floats:
    return EPOCH + np.arange(0.0, length, step)


def noise(chance: Chance, count: int) -> Floats:
    """What RSS does by itself: jitter, and now and then a buffer for a moment."""
    jitter = chance.normal(0, chance.uniform(0.05, 0.8), count)
    moments = chance.random(count) < chance.uniform(0.0, 0.02)
    return (jitter + np.where(moments, chance.exponential(12, count), 0.0)) * MB


def warm_up(times: Floats, base: float) -> Floats:
    """Start: 60 MB, then all of `base` within 20 s."""
    return 60 * MB + (base - 60 * MB) * np.clip((times - times[0]) / 20.0, 0, 1)


def begin(chance: Chance, length: float, step: float) -> Story:
    times = ticks(length, step)
    rss = warm_up(times, chance.uniform(300, 900) * MB) + noise(chance, len(times))
    story = Story(times, rss)
    story.line.add(times[0], EventKind.START, "first start")
    last = times[-1] - times[0]
    story.judged = sorted(float(times[0] + last * share) for share in chance.uniform(0.1, 1.0, 3))
    return story


# Kinds of events that raise memory, by how they look on the time line.
_CAUSES: Mapping[str, Callable[[TimeLine, float, float], int]] = {
    "upload": lambda line, time, amount: line.add(
        time, EventKind.UPLOAD, "report.pdf", bytes=max(amount, MB), documents=1
    ),
    "library": lambda line, time, amount: line.add(
        time + 2, EventKind.LIBRARY, "chat model library loaded (langchain_core)", rss=2 * amount, rss_before=amount
    ),
    "model": lambda line, time, amount: line.add(
        time + 4, EventKind.MODEL, "embedding model loaded", seconds=4.0, rss=3 * amount, rss_before=2 * amount
    ),
    "tracing": lambda line, time, _amount: line.add(time, EventKind.TRACING, "Tracing on", frames=8),
    "ingestion": lambda line, time, _amount: line.add(
        time + 25, EventKind.INGESTION, "3 documents ingested", documents=3, chunks=900, seconds=30.0
    ),
}


def add_step(story: Story, chance: Chance, time: float, amount: float, *, cause: str = "", lasts: float = 0.0) -> None:
    """Let RSS go to another level at a time, with an event that explains it or without."""
    share = np.clip((story.times - time) / lasts, 0, 1) if lasts else (story.times >= time).astype(float)
    story.rss = story.rss + amount * share
    event = 0
    if cause == "trim":
        event = story.line.add(time, EventKind.TRIM, "trimmed", rss_before=2 * abs(amount), rss_after=abs(amount))
    elif cause:
        event = _CAUSES[cause](story.line, time, amount)
    story.steps.append(Planted(time, amount, event))


def moments(chance: Chance, count: int, first: float, last: float, apart: float) -> list[float]:
    """Return times in order, at least so far apart."""
    room = max(0.0, last - first - apart * (count - 1))
    return [first + at + place * apart for place, at in enumerate(sorted(chance.uniform(0, room, count)))]


def _steps(chance: Chance, low: float, high: float, count: int, length: float = 3 * HOUR) -> Story:
    story = begin(chance, length, 4.0)
    for time in moments(chance, count, EPOCH + 6 * MINUTE, EPOCH + length - 4 * MINUTE, 6 * MINUTE):
        amount = chance.uniform(low, high) * MB
        cause = str(chance.choice(["", *_CAUSES])) if amount > 0 else str(chance.choice(["", "trim"]))
        add_step(story, chance, time, amount, cause=cause, lasts=float(chance.choice([0.0, 8.0, 40.0])))
    return story


def steps_up(chance: Chance) -> Story:
    return _steps(chance, 35, 250, int(chance.integers(1, 4)))


def steps_down(chance: Chance) -> Story:
    return _steps(chance, -90, -35, int(chance.integers(1, 3)))


def steps_both(chance: Chance) -> Story:
    story = _steps(chance, 60, 200, 1)
    add_step(story, chance, EPOCH + 2.4 * HOUR, -55 * MB, cause="trim")
    return story


def staircase(chance: Chance) -> Story:
    return _steps(chance, 35, 90, int(chance.integers(5, 9)), 4 * HOUR)


def upload_and_model(chance: Chance) -> Story:
    """The case that was seen: an upload, the first use of the chat model, then flat."""
    story = begin(chance, HOUR, 1.0)
    add_step(story, chance, EPOCH + 10 * MINUTE, 98 * MB, cause="upload", lasts=15.0)
    add_step(story, chance, EPOCH + 18 * MINUTE, 53 * MB, cause="library")
    return story


def gentle_ramp(chance: Chance) -> Story:
    story = begin(chance, 6 * HOUR, 8.0)
    age = story.times - EPOCH
    story.rss = story.rss + chance.uniform(5, 60) * MB * age / (6 * HOUR)
    return story


def leak(chance: Chance) -> Story:
    """It grows from a time on; a step that has a cause lies within the growth in half of them."""
    length = 50 * MINUTE
    story = begin(chance, length, 2.0)
    since = chance.uniform(3, 10) * MINUTE
    grown = chance.uniform(12, 40) * MB * np.maximum(0, story.times - EPOCH - since) / MINUTE
    live = 300 * MB + grown + noise(chance, len(grown))
    story.rss = story.rss + grown
    if chance.random() < 0.5:
        before = story.rss.copy()
        add_step(story, chance, EPOCH + 25 * MINUTE, 260 * MB, cause="upload")
        live = live + (story.rss - before)
    story.live = live
    story.judged = (EPOCH + np.arange(6 * MINUTE, length, 100.0)).tolist()
    return story


def leak_that_ends(chance: Chance) -> Story:
    story = begin(chance, 70 * MINUTE, 2.0)
    until = chance.uniform(20, 30) * MINUTE
    grown = chance.uniform(15, 35) * MB * np.clip(story.times - EPOCH - 180, 0, until) / MINUTE
    story.rss, story.live = story.rss + grown, 300 * MB + grown + noise(chance, len(grown))
    story.judged = (EPOCH + np.arange(6 * MINUTE, 70 * MINUTE, 120.0)).tolist()
    return story


def sawtooth(chance: Chance) -> Story:
    story = begin(chance, 2 * HOUR, 2.0)
    period = chance.uniform(90, 600)
    story.rss = story.rss + chance.uniform(20, 120) * MB * ((story.times - EPOCH) % period) / period
    return story


def long_teeth(chance: Chance) -> Story:
    story = begin(chance, DAY, 20.0)
    period = chance.uniform(1, 4) * HOUR
    story.rss = story.rss + chance.uniform(40, 120) * MB * ((story.times - EPOCH) % period) / period
    return story


def daily_swing(chance: Chance) -> Story:
    story = begin(chance, 3 * DAY, 60.0)
    phase = chance.uniform(0, 2 * np.pi)
    story.rss = story.rss + chance.uniform(40, 300) * MB * (1 + np.cos((story.times - EPOCH) / DAY * 2 * np.pi + phase))
    return story


def hourly_jobs(chance: Chance) -> Story:
    story = begin(chance, 8 * HOUR, 8.0)
    into = (story.times - EPOCH + chance.uniform(0, HOUR)) % HOUR
    lasts = chance.uniform(3, 15) * MINUTE
    story.rss = story.rss + chance.uniform(60, 300) * MB * np.clip(np.minimum(into, lasts - into) / 30, 0, 1)
    return story


def hill(chance: Chance) -> Story:
    """A big job takes much for a while and gives it back."""
    story = begin(chance, 3 * HOUR, 4.0)
    first = EPOCH + chance.uniform(20, 60) * MINUTE
    amount = chance.uniform(60, 700) * MB
    add_step(story, chance, first, amount, cause="upload", lasts=20.0)
    add_step(story, chance, first + chance.uniform(3, 50) * MINUTE, -amount, cause="trim")
    return story


def filling_cache(chance: Chance) -> Story:
    story = begin(chance, 5 * HOUR, 6.0)
    age = np.maximum(0, story.times - EPOCH - chance.uniform(2, 60) * MINUTE)
    story.rss = story.rss + chance.uniform(30, 250) * MB * (1 - np.exp(-age / chance.uniform(300, 6000)))
    return story


def restarted(chance: Chance) -> Story:
    story = _steps(chance, 40, 120, 2)
    count = len(story.times)
    cut = int(chance.uniform(0.4, 0.6) * count)
    after = story.times[cut:] + chance.uniform(5, 900)
    story.times = np.concatenate([story.times[:cut], after])
    story.runs = np.concatenate([np.zeros(cut), np.ones(count - cut)])
    story.rss[cut:] = warm_up(after, 420 * MB) + noise(chance, count - cut)
    story.steps = [step for step in story.steps if step.time < story.times[cut - 1]]
    story.line.add(float(after[0]), EventKind.START, "the last run was killed")
    return story


def clock_set_back(chance: Chance) -> Story:
    """The clock was ahead; the next process begins before the end of the last one."""
    story = restarted(chance)
    assert story.runs is not None
    second = story.runs == 1
    shift = float(story.times[second][0] - story.times[~second][-1]) + chance.uniform(0.2, 0.9) * HOUR
    story.times = np.where(second, story.times - shift, story.times)
    story.line.events = [one for one in story.line.events if one.detail != "the last run was killed"]
    story.line.add(float(story.times[second][0]), EventKind.START, "the last run was killed")
    story.judged = []
    return story


def gap(chance: Chance) -> Story:
    """The machine slept, or the clock was set forward: nothing was measured for a while."""
    story = begin(chance, 3 * HOUR, 4.0)
    cut = EPOCH + chance.uniform(0.3, 0.7) * 3 * HOUR
    away = chance.uniform(3 * MINUTE, 10 * HOUR)
    if chance.random() < 0.5:
        add_step(story, chance, cut, chance.choice([-60.0, 90.0]) * MB)
    story.times = np.where(story.times >= cut, story.times + away, story.times)
    story.steps = [Planted(step.time, step.bytes, -1) for step in story.steps]
    story.judged = [float(moment) for moment in story.times[[len(story.times) // 4, -200]]]
    return story


def sudden_drop(chance: Chance) -> Story:
    story = begin(chance, 2 * HOUR, 2.0)
    age = story.times - EPOCH
    kept = chance.uniform(1.0, 2.5) * MB * age / MINUTE
    when = chance.uniform(60, 110) * MINUTE
    story.rss = story.rss + np.where(age < when, kept, 10 * MB)
    lost = float(kept[np.searchsorted(age, when)]) - 10 * MB
    event = story.line.add(EPOCH + when, EventKind.TRIM, "trimmed", rss_before=lost * 2, rss_after=lost)
    story.steps.append(Planted(EPOCH + when, -lost, event))
    return story


def spikes(chance: Chance) -> Story:
    story = begin(chance, 2 * HOUR, 2.0)
    for at in chance.uniform(2 * MINUTE, 2 * HOUR, int(chance.integers(3, 14))):
        inside = (story.times >= EPOCH + at) & (story.times < EPOCH + at + chance.uniform(2, 45))
        story.rss = story.rss + np.where(inside, chance.uniform(30, 300) * MB, 0)
    return story


def lowered_limit(chance: Chance) -> Story:
    story = leak(chance)
    story.limit = np.where(story.times > EPOCH + 30 * MINUTE, 4096 * MB, 16_384 * MB)
    return story


def short(chance: Chance) -> Story:
    length = chance.uniform(1, 16) * MINUTE
    story = begin(chance, length, 1.0)
    if length > 6 * MINUTE:
        add_step(story, chance, EPOCH + length / 2, chance.uniform(40, 120) * MB, cause="upload")
    return story


def still(chance: Chance) -> Story:
    return begin(chance, chance.uniform(0.3, 8) * HOUR, 5.0)


SHAPES: tuple[Callable[[Chance], Story], ...] = (
    steps_up,
    steps_down,
    steps_both,
    staircase,
    upload_and_model,
    gentle_ramp,
    leak,
    leak_that_ends,
    sawtooth,
    long_teeth,
    daily_swing,
    hourly_jobs,
    hill,
    filling_cache,
    restarted,
    clock_set_back,
    gap,
    sudden_drop,
    spikes,
    lowered_limit,
    short,
    still,
)


def make(number: int) -> tuple[str, Story]:
    """Return history `number` with the name of its shape; the same one each time."""
    shape = SHAPES[number % len(SHAPES)]
    return shape.__name__, shape(np.random.default_rng([7, number]))
