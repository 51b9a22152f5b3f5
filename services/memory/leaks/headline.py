"""The sentence of a verdict: made of its figures and its course alone, the same wherever it is shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, tzinfo

from services.core.events import EventKind
from services.core.i18n import _, joined, listed, localized, plural
from services.core.machine import MEGABYTE
from services.memory.leaks.course import Cause, Course, CourseShape, Step
from services.memory.leaks.messages import is_counted, kind_name
from services.memory.leaks.types import Verdict, VerdictState
from services.memory.leaks.wording import change_text, duration_text, moment_text, number_text, size_text

# Seconds that a process must be watched before anything but a fast leak is reported.
LEAST_WATCHED = 600.0
HOUR_SECONDS = 3600.0
# A limit that is reached later than this is not mentioned.
FARTHEST_LIMIT_SECONDS = 100 * 86_400.0
NAMED_STEPS = 3
# Growth that was assessed so long ago is said to have been until then: seconds, and a share of its window.
UNTIL_SECONDS = 90.0
UNTIL_SHARE = 0.05
_MOST_NAME = 60


def headline(verdict: Verdict, zone: tzinfo = UTC) -> str:
    """Return the verdict in one sentence, with moments in a time zone.

    Such as "Flat since 16:04 at 791 MB, +0.5 MB since; 2 steps before: upload +98 MB (15:40), ...".
    """
    if verdict.state is VerdictState.UNKNOWN:
        return _("Too little data yet: {done} of {needed} min").format(
            done=int(min(verdict.window_seconds, LEAST_WATCHED) // 60), needed=int(LEAST_WATCHED // 60)
        )
    if verdict.state is VerdictState.FLAT:
        return _shape_text(verdict, zone) + _steps_text(verdict, zone)
    template = (
        _("Leak of {kind}: {growth} for {window}, {level}")
        if verdict.state is VerdictState.LEAK
        else _("Watch {kind}: {growth} for {window}, {level}")
    )
    window = duration_text(verdict.window_seconds)
    if past := ended(verdict):
        window = _("{window} until {moment}").format(window=window, moment=moment_text(past, verdict.time, zone))
    return (
        template.format(
            kind=kind_name(verdict.kind),
            window=window,
            level=size_text(verdict.level_bytes),
            growth=growth_text(verdict),
        )
        + _limit_text(verdict)
        + _steps_text(verdict, zone)
    )


def brief(verdict: Verdict, zone: tzinfo = UTC) -> str:
    """Return the verdict in a few words, for a narrow place."""
    course = verdict.course
    if verdict.state is VerdictState.UNKNOWN:
        return _("Too little data yet")
    if verdict.state is VerdictState.FLAT:
        if course is None:
            return _("Memory flat for {time}").format(time=duration_text(verdict.window_seconds))
        since = moment_text(course.since, verdict.time, zone)
        if course.shape is CourseShape.FLAT:
            return _("Memory flat since {moment}").format(moment=since)
        if course.shape is CourseShape.SWING:
            return _("Memory up and down since {moment}").format(moment=since)
        change = change_text(course.change_bytes)
        return _("Memory {change} since {moment}").format(change=change, moment=since)
    slope = verdict.slope_per_hour or 0.0
    per_hour = (
        number_text(slope, signed=True)
        if is_counted(verdict.kind)
        else _("{amount} MB").format(amount=number_text(slope / MEGABYTE, signed=True))
    )
    template = (
        _("Leak of {kind}, {growth} an hour")
        if verdict.state is VerdictState.LEAK
        else _("Watch {kind}, {growth} an hour")
    )
    return template.format(kind=kind_name(verdict.kind), growth=per_hour)


def growth_text(verdict: Verdict) -> str:
    """Return growth per hour with its interval, such as "+30 MB/h (28 to 32)"."""
    slope = verdict.slope_per_hour or 0.0
    low, high = verdict.interval or (slope, slope)
    if is_counted(verdict.kind):
        return _("{slope} an hour ({low} to {high})").format(
            slope=number_text(slope, signed=True), low=number_text(low), high=number_text(high)
        )
    return _("{slope} MB/h ({low} to {high})").format(
        slope=number_text(slope / MEGABYTE, signed=True),
        low=number_text(low / MEGABYTE),
        high=number_text(high / MEGABYTE),
    )


def ended(verdict: Verdict) -> float | None:
    """Return until when the growth was seen, None where that is now."""
    if verdict.window_end is None:
        return None
    ago = verdict.time - verdict.window_end
    return verdict.window_end if ago > max(UNTIL_SECONDS, UNTIL_SHARE * verdict.window_seconds) else None


def told_steps(verdict: Verdict) -> tuple[Step, ...]:
    """Return the steps that a verdict speaks of: all before it was flat, or those that a slope leaves out."""
    if verdict.state is VerdictState.FLAT:
        return verdict.course.steps if verdict.course is not None else ()
    return verdict.left_out


def named_steps(steps: Sequence[Step], most: int = NAMED_STEPS) -> tuple[Step, ...]:
    """Return the largest steps, in order of time."""
    largest = sorted(steps, key=lambda step: -abs(step.bytes))[:most]
    return tuple(sorted(largest, key=lambda step: step.time))


def step_text(step: Step, now: float, zone: tzinfo = UTC) -> str:
    """Return a step with what caused it, its amount and its moment, such as "upload +98 MB (15:40)"."""
    moment = moment_text(step.time, now, zone)
    if step.gap or step.gradual:
        begin, end = moment_text(step.begin, now, zone), moment_text(step.end, now, zone)
        moment = begin if begin == end else _("{begin} to {end}").format(begin=begin, end=end)
    return _("{cause} {change} ({moment})").format(
        cause=causes_text(step), change=change_text(step.bytes), moment=moment
    )


def causes_text(step: Step) -> str:
    """Return what caused a step, or that nothing on the time line explains it."""
    names = list(dict.fromkeys(_cause_name(cause) for cause in step.causes))
    if names:
        return joined(names, _(" and "))
    if step.gap:
        return _("not measured")
    return _("unexplained, gradually") if step.gradual else _("unexplained")


def _cause_name(cause: Cause) -> str:
    known = {
        EventKind.START: _("start"),
        EventKind.UPLOAD: _("upload"),
        EventKind.INGESTION: _("ingestion"),
        EventKind.TRACING: _("tracing"),
        EventKind.SNAPSHOT: _("index snapshot"),
        EventKind.TRIM: _("trim"),
        EventKind.RELEASE: _("release"),
        EventKind.DELETION: _("deletion"),
        EventKind.BUDGET: _("budget"),
        EventKind.COLLECTION: _("garbage collection"),
        EventKind.EXPERIMENT: _("experiment"),
        EventKind.RESTART: _("restart"),
    }
    if name := known.get(cause.kind):
        return name
    # What was loaded or set is said in the event itself.
    detail = re.split(r" \(|（", localized(cause.detail))[0]
    return detail if len(detail) <= _MOST_NAME else f"{detail[: _MOST_NAME - 1]}…"


def _shape_text(verdict: Verdict, zone: tzinfo) -> str:
    level, course = size_text(verdict.level_bytes), verdict.course
    if course is None:
        return _("Flat for {window}: {level}, {growth}").format(
            window=duration_text(verdict.window_seconds), level=level, growth=growth_text(verdict)
        )
    since = moment_text(course.since, verdict.time, zone)
    change = change_text(course.change_bytes)
    if course.shape is CourseShape.FLAT:
        text = _("Flat since {since} at {level}").format(since=since, level=level)
        if verdict.slope_per_hour is not None and course.seconds >= HOUR_SECONDS:
            text += _(", {text}").format(text=growth_text(verdict))
        else:
            text += _(", {change} since").format(change=change)
        text += _excursions_text(verdict, course, zone)
    elif course.shape is CourseShape.SWING:
        text = _("Up and down since {since} between {low} and {high}, now {level}").format(
            since=since, low=size_text(course.low_bytes), high=size_text(course.high_bytes), level=level
        )
    else:
        text = _("No leak seen: {level}, {change} since {since}").format(level=level, change=change, since=since)
        if course.current is not None and course.current.causes:
            text += _(" ({cause})").format(cause=causes_text(course.current))
    if missing := sum(end - max(begin, course.since) for begin, end in course.gaps_since(course.since)):
        text += _(", not measured for {time} of it").format(time=duration_text(missing))
    return text


def _excursions_text(verdict: Verdict, course: Course, zone: tzinfo) -> str:
    found = course.excursions
    if not found:
        return ""
    high, low = size_text(course.peak_bytes), size_text(course.dip_bytes)
    if all(step.bytes > 0 for step in found):
        text = plural("{count} peak of {high}", "{count} peaks up to {high}", len(found), high=high)
    elif all(step.bytes < 0 for step in found):
        text = plural("{count} dip to {low}", "{count} dips down to {low}", len(found), low=low)
    else:
        text = plural(
            "{count} excursion, from {low} to {high}",
            "{count} excursions, from {low} to {high}",
            len(found),
            low=low,
            high=high,
        )
    return _(", {text}").format(text=text) + _why_text(verdict, found, zone)


def _why_text(verdict: Verdict, found: Sequence[Step], zone: tzinfo) -> str:
    """Return what caused excursions, and when where it was one."""
    names = list(dict.fromkeys(causes_text(step) for step in named_steps(found)))
    if len(found) == 1:
        names.append(moment_text(found[0].time, verdict.time, zone))
    return _(" ({cause})").format(cause=listed(names))


def _steps_text(verdict: Verdict, zone: tzinfo) -> str:
    steps, course = told_steps(verdict), verdict.course
    text = ""
    if steps:
        texts = listed(step_text(step, verdict.time, zone) for step in named_steps(steps))
        if verdict.state is not VerdictState.FLAT:
            head = plural("; {count} step in that time: ", "; {count} steps in that time: ", len(steps))
        elif len(steps) <= NAMED_STEPS:
            head = plural("; {count} step before: ", "; {count} steps before: ", len(steps))
        else:
            total = change_text(sum(step.bytes for step in steps))
            head = plural(
                "; {count} step before, {total} in all, the largest: ",
                "; {count} steps before, {total} in all, the largest: ",
                len(steps),
                total=total,
            )
        text = head + texts
    if verdict.state is not VerdictState.FLAT or course is None:
        return text
    if abs(course.drift_bytes) > course.tolerance_bytes:
        text += _("; {change} gradually before").format(change=change_text(course.drift_bytes))
    if found := course.earlier_excursions:
        # Beside which level they were is not known any more: what is told is how far they went from it.
        text += plural(
            "; before that it went away and came back once, by {change}",
            "; before that it went away and came back {count} times, by {change} at most",
            len(found),
            change=change_text(max((step.bytes for step in found), key=abs)),
        ) + _why_text(verdict, found, zone)
    return text


def _limit_text(verdict: Verdict) -> str:
    if verdict.seconds_to_limit is None or verdict.seconds_to_limit > FARTHEST_LIMIT_SECONDS:
        return ""
    return _("; limit in {time}").format(time=duration_text(verdict.seconds_to_limit))
