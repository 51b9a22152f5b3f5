"""Which events on the time line can have caused a step of RSS: by their time, their kind and their amount."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from services.core.events import EventKind
from services.core.machine import MEGABYTE
from services.memory.leaks.course import Cause, Course, Step

# Steps are named after at most so many events, and so many steps of a course are named: the largest.
MOST_CAUSES = 2
MOST_STEPS = 12
_MOST_EVENTS = 300
# Work whose end is recorded, or that is still going on, lasts no longer, in seconds.
LONGEST_WORK = 3600.0
# An event this much less likely than the likeliest one is left out.
ALSO_SHARE = 0.6
# The part of a step that another cause is looked for, though the first one is certain.
REST_SHARE = 0.25
# Bytes that an event's own figure explains: up to so many times as much, and so many beside.
LARGEST_SHARE = 6.0
BESIDE = 16.0 * MEGABYTE
# What went gradually did so for this share of its time at least while the event had its effect.
GRADUAL_SHARE = 0.3
# A step is as long as two blocks of the history at least and lies somewhere in them: give or take a half, in seconds.
LEAST_SLACK = 5.0
# Its amount was measured: it must be about that of the step.
ALIKE = 2.0


class TimeLineEvent(Protocol):
    """An event as the time line has it."""

    @property
    def id(self) -> int: ...

    @property
    def time(self) -> float: ...

    @property
    def kind(self) -> EventKind: ...

    @property
    def detail(self) -> str: ...

    @property
    def figures(self) -> Mapping[str, float]: ...


class EventSource(Protocol):
    """Where events are read: the time line."""

    def between(
        self, start: float, end: float, limit: int = 200, kinds: Collection[EventKind] | None = None
    ) -> Sequence[TimeLineEvent]:
        """Return the newest `limit` events of some kinds from `start` to `end`."""


@dataclass(frozen=True, slots=True)
class EventEffect:
    """When memory can change because of an event, in seconds before and after it, and how likely it is the cause."""

    before: float
    after: float
    weight: float
    measured: Callable[[Mapping[str, float]], float | None] | None = None


def _risen(figures: Mapping[str, float]) -> float | None:
    before, after = figures.get("rss_before"), figures.get("rss")
    return None if before is None or after is None else after - before


def _fallen(figures: Mapping[str, float]) -> float | None:
    before, after = figures.get("rss_before"), figures.get("rss_after")
    return None if before is None or after is None else after - before


RISES: Mapping[EventKind, EventEffect] = {
    EventKind.START: EventEffect(5.0, 90.0, 0.8),
    EventKind.LIBRARY: EventEffect(5.0, 5.0, 2.0, _risen),
    EventKind.MODEL: EventEffect(5.0, 3.0, 2.0, _risen),
    EventKind.UPLOAD: EventEffect(20.0, 90.0, 1.5),
    EventKind.INGESTION: EventEffect(5.0, 60.0, 1.2),
    EventKind.SETTINGS: EventEffect(5.0, 30.0, 1.0),
    EventKind.TRACING: EventEffect(2.0, 60.0, 1.5),
    EventKind.SNAPSHOT: EventEffect(10.0, 10.0, 0.8),
    EventKind.EXPERIMENT: EventEffect(10.0, 60.0, 0.8),
    EventKind.RESTART: EventEffect(5.0, 60.0, 0.8),
}
FALLS: Mapping[EventKind, EventEffect] = {
    EventKind.TRIM: EventEffect(10.0, 20.0, 2.0, _fallen),
    EventKind.RELEASE: EventEffect(10.0, 20.0, 2.0, _fallen),
    EventKind.MODEL: EventEffect(5.0, 30.0, 1.5),
    EventKind.DELETION: EventEffect(5.0, 60.0, 1.5),
    EventKind.BUDGET: EventEffect(10.0, 30.0, 1.2),
    EventKind.TRACING: EventEffect(5.0, 30.0, 1.2),
    EventKind.COLLECTION: EventEffect(10.0, 20.0, 1.0, _fallen),
    EventKind.INGESTION: EventEffect(5.0, 90.0, 0.9),
}


class CauseFinder:
    """Names the steps of courses after the events that can have caused them.

    `speed` is that of the clock: durations among an event's figures, and the time that effects take, are real seconds.
    """

    def __init__(self, events: EventSource | None, speed: float = 1.0) -> None:
        self._events = events
        self._speed = speed

    def name_steps(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """Return steps with their causes."""
        return tuple(replace(step, causes=self._causes(step)) for step in steps)

    def name_course(self, course: Course) -> Course:
        """Return the course with the causes of its largest steps."""
        current = course.current
        if current is not None:
            current = replace(current, causes=self._causes(current))
        return replace(
            course,
            steps=self._name_largest(course.steps),
            excursions=self._name_largest(course.excursions),
            earlier_excursions=self._name_largest(course.earlier_excursions),
            current=current,
        )

    def _name_largest(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        largest = sorted(steps, key=lambda step: -abs(step.bytes))[:MOST_STEPS]
        return tuple(replace(step, causes=self._causes(step)) if step in largest else step for step in steps)

    def _causes(self, step: Step) -> tuple[Cause, ...]:
        if self._events is None:
            return ()
        effects = RISES if step.bytes > 0 else FALLS
        longest = LONGEST_WORK * self._speed
        near = self._events.between(step.begin - longest, step.end + longest, _MOST_EVENTS, frozenset(effects))
        going_on = _going_on(near, step)
        rated = []
        for event in near:
            effect = effects[event.kind]
            if event is going_on:
                effect = replace(effect, after=longest)
            if (weight := self._weight(step, event, effect)) > 0.0:
                rated.append((weight, event))
        rated.sort(key=lambda pair: (-pair[0], abs(pair[1].time - step.time)))
        chosen: list[TimeLineEvent] = []
        least, left = 0.0, abs(step.bytes)
        for weight, event in rated:
            if weight < least or len(chosen) == MOST_CAUSES:
                break
            if all(_differs(event, other) for other in chosen):
                chosen.append(event)
                measured = _measured(event, effects[event.kind])
                left -= abs(measured) if measured is not None else 0.0
                # What was measured and is a part only leaves the rest to others, though they are less certain.
                partly = measured is not None and left > max(BESIDE, REST_SHARE * abs(step.bytes))
                least = 0.0 if partly else ALSO_SHARE * weight
        return tuple(Cause(event.id, event.kind, event.time, event.detail) for event in chosen)

    def _weight(self, step: Step, event: TimeLineEvent, effect: EventEffect) -> float:
        """Return how likely an event caused a step, 0 where it cannot have."""
        speed, lasted = self._speed, event.figures.get("seconds", 0.0)
        begin = event.time - (effect.before + lasted) * speed
        end = event.time + effect.after * speed
        slack = 0.0 if step.gradual else max(LEAST_SLACK * speed, (step.end - step.begin) / 2)
        meanwhile = min(step.end + slack, end) - max(step.begin - slack, begin)
        if meanwhile < (GRADUAL_SHARE * (step.end - step.begin) if step.gradual else 0.0):
            return 0.0
        if not _same_direction(step, event):
            return 0.0
        amount = abs(step.bytes)
        measured = _measured(event, effect)
        if measured is not None:
            if (
                amount / ALIKE - BESIDE / 2 <= abs(measured) <= amount * ALIKE + BESIDE / 2
                and measured * step.bytes > 0
            ):
                return 2.0 * effect.weight
            return 0.25 * effect.weight if abs(measured) >= 0.2 * amount else 0.0
        given = event.figures.get("bytes")
        if event.kind is EventKind.UPLOAD and given is not None and given * LARGEST_SHARE + BESIDE < amount:
            return 0.0  # so small a file does not take so much
        return effect.weight


def _measured(event: TimeLineEvent, effect: EventEffect) -> float | None:
    """Return by how many bytes memory changed as the event happened, None where nobody measured."""
    return effect.measured(event.figures) if effect.measured is not None else None


def _going_on(near: Sequence[TimeLineEvent], step: Step) -> TimeLineEvent | None:
    """Return the beginning of an ingestion that had not ended by the step."""
    runs = [event for event in near if event.kind is EventKind.INGESTION]
    before = [event for event in runs if event.time <= step.end]
    if not before or "documents" in before[-1].figures:
        return None
    return before[-1]


def _same_direction(step: Step, event: TimeLineEvent) -> bool:
    """Whether an event changes memory the way that a step went, where its kind does not say that."""
    if event.kind is EventKind.MODEL:
        return bool(event.figures.get("unloaded")) == (step.bytes < 0)
    return True


def _differs(one: TimeLineEvent, other: TimeLineEvent) -> bool:
    # Upload and ingestion of the same files are one thing to say.
    taken_in = {EventKind.UPLOAD, EventKind.INGESTION}
    return not (one.kind is other.kind or {one.kind, other.kind} <= taken_in)
