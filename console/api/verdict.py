"""The verdict on memory over HTTP: its sentence, figures, and how RSS went until then, step by step."""

from __future__ import annotations

from pydantic import BaseModel, Field

from console.api.problems import Projection
from services.core.events import EventKind
from services.memory.leaks.course import Course, CourseShape, Step
from services.memory.leaks.headline import headline, step_text
from services.memory.leaks.types import LeakKind, Suspect, Verdict, VerdictState


class CauseOut(Projection):
    """An event on the time line that can have caused a step."""

    event_id: int = Field(description="See `/api/memory/events/{event_id}`")
    kind: EventKind
    time: float
    detail: str


class StepOut(Projection):
    """RSS went from one level to another; half of it by `time`."""

    words: str
    begin: float
    end: float
    time: float
    bytes: float = Field(description="The change, negative where it fell")
    gradual: bool = Field(description="It took minutes")
    gap: bool = Field(description="Nothing was measured meanwhile")
    causes: list[CauseOut] = Field(description="The likeliest first; empty: unexplained")


class CourseOut(Projection):
    """How RSS has gone in this run.

    `begin_bytes`, the steps, `drift_bytes` and `change_bytes` add up to the verdict's `level_bytes`.
    """

    begin: float
    begin_bytes: float
    shape: CourseShape
    since: float = Field(description="Since when it has had this shape")
    change_bytes: float = Field(description="Since then")
    low_bytes: float = Field(description="Lower end of its band since then")
    high_bytes: float
    excursions: list[StepOut] = Field(description="How far it left a flat level since then, and came back")
    earlier_excursions: list[StepOut] = Field(description="The same, before that")
    peak_bytes: float = Field(description="The highest sample since then")
    dip_bytes: float = Field(description="The lowest sample since then")
    drift_bytes: float = Field(description="What was too gradual for a step, before that")
    tolerance_bytes: float = Field(description="Levels that differ by less are the same")
    steps: list[StepOut] = Field(description="Before that, oldest first")
    current: StepOut | None = Field(description="What goes on while it rises or falls")
    gaps: list[tuple[float, float]] = Field(description="Times for which nothing was measured")


class VerdictOut(Projection):
    """The detector's verdict. Slopes are bytes per hour, counts per hour for threads and file descriptors."""

    state: VerdictState
    kind: LeakKind | None
    headline: str
    time: float
    since: float | None = Field(description="When this state began")
    window_seconds: float = Field(description="The period that the verdict is based on")
    window_end: float | None = Field(description="Its end, where that is not the verdict's time")
    level_bytes: float = Field(description="RSS at the verdict's time")
    slope_bytes_per_hour: float | None
    interval: tuple[float, float] | None = Field(description="Of the slope")
    bytes_per_request: float | None
    bytes_per_request_interval: tuple[float, float] | None
    seconds_to_limit: float | None
    evidence: list[str]
    suspects: list[Suspect] = Field(description="The likeliest first")
    left_out: list[StepOut] = Field(description="Steps in that period that the slope leaves out")
    course: CourseOut | None = Field(description="How RSS went; null while too little is known")


class EventOut(Projection):
    """An event; `figures` by name: bytes, seconds or counts as the name says."""

    id: int
    time: float
    kind: EventKind
    detail: str
    figures: dict[str, float]
    actor: str


class EventsOut(BaseModel):
    """The newest events of a range, oldest first."""

    events: list[EventOut]


def verdict_out(verdict: Verdict) -> VerdictOut:
    """Return the body for a verdict."""
    course = verdict.course
    return VerdictOut.of(
        verdict,
        headline=headline(verdict),
        slope_bytes_per_hour=verdict.slope_per_hour,
        bytes_per_request=verdict.per_request,
        bytes_per_request_interval=verdict.per_request_interval,
        left_out=[_step_out(step, verdict.time) for step in verdict.left_out],
        course=None if course is None else _course_out(course, verdict.time),
    )


def _course_out(course: Course, now: float) -> CourseOut:
    return CourseOut.of(
        course,
        steps=[_step_out(step, now) for step in course.steps],
        excursions=[_step_out(step, now) for step in course.excursions],
        current=None if course.current is None else _step_out(course.current, now),
        earlier_excursions=[_step_out(step, now) for step in course.earlier_excursions],
    )


def _step_out(step: Step, now: float) -> StepOut:
    return StepOut.of(step, words=step_text(step, now))
