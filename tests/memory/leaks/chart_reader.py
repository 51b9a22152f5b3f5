"""A reader of the chart: holds a verdict's sentence against the samples, with simple means of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

import numpy as np

from services.memory.leaks.course import Course, CourseShape, Step
from services.memory.leaks.headline import headline, told_steps
from services.memory.leaks.types import LeakKind, Verdict, VerdictState
from services.memory.types import Floats
from tests.memory.leaks.detectors import MB
from tests.memory.leaks.histories import Planted, Story

HOUR = 3600.0
_READINGS = (-2.0, 0.5), (0.0, 0.5), (0.0, 1.0)


def resolution(age: float) -> float:
    """Seconds between two points of a chart that reaches so far back."""
    return 15.0 if age <= HOUR else 150.0 if age <= 28 * HOUR else 2000.0


@dataclass
class Chart:
    """The samples of one process up to a verdict."""

    times: Floats
    rss: Floats
    live: Floats
    limit: Floats

    @classmethod
    def of(cls, story: Story, begin: float, now: float) -> Chart:
        live = story.rss - 150 * MB if story.live is None else story.live
        limit = np.full(len(story.times), 16_384 * MB) if story.limit is None else story.limit
        first = int(np.flatnonzero(story.times == begin)[-1])  # the same moment may be there twice: the clock went back
        times = story.times[first:]
        run = np.zeros(len(times)) if story.runs is None else story.runs[first:]
        seen = (run == run[0]) & (times <= now)
        return cls(times[seen], story.rss[first:][seen], live[first:][seen], limit[first:][seen])

    def level(self, start: float, end: float) -> float | None:
        """The median between two moments, None where there is nothing."""
        inside = self.rss[(self.times >= start) & (self.times <= end)]
        return float(np.median(inside)) if len(inside) else None

    def curve(self, start: float, end: float, width: float) -> tuple[Floats, Floats]:
        """Medians of stretches of a width: how the line looks to somebody who overlooks single points."""
        inside = (self.times >= start) & (self.times <= end)
        times, values = self.times[inside], self.rss[inside]
        if not len(times):
            return times, values
        _keys, first = np.unique(np.floor(times / width), return_index=True)
        return times[first], np.array([np.median(part) for part in np.split(values, first[1:])])


def complaints(verdict: Verdict, story: Story, begin: float, zone: tzinfo = UTC) -> list[str]:
    """Return what somebody who has the chart before them would call wrong about the sentence."""
    chart = Chart.of(story, begin, verdict.time)
    said = headline(verdict, zone)
    course = verdict.course
    if verdict.state is VerdictState.UNKNOWN:
        return _unknown(said, chart)
    if course is None:
        return ["nothing is said about the course"]
    found = [*_level(verdict, said, chart), *_sum(verdict, said, course, chart), *_gaps(course, chart)]
    slope = 0.0 if verdict.state is VerdictState.FLAT else verdict.slope_per_hour or 0.0
    for step in told_steps(verdict):
        found += _step(step, course, chart, story.steps, slope)
    if verdict.state is VerdictState.FLAT:
        found += _since(verdict, said, course, zone)
        found += _flat(course, said, chart) if course.shape is CourseShape.FLAT else _moving(course, said, chart)
        found += _missed(course, chart)
        found += _rate(verdict, course, chart)
    else:
        found += _growth(verdict, said, chart)
    return [f"{one} | {said}" for one in found]


def _unknown(said: str, chart: Chart) -> list[str]:
    steps = np.diff(chart.times)
    measured = float(steps[steps < 60].sum())
    (done,) = re.findall(r"(\d+) of 10 min", said)
    if abs(int(done) * 60 - (measured - 60)) > 90 and int(done):
        return [f"measured for {measured:.0f} s | {said}"]
    return [f"{measured:.0f} s were enough | {said}"] if measured > 13 * 60 else []


def _level(verdict: Verdict, said: str, chart: Chart) -> list[str]:
    now = chart.level(chart.times[-1] - 9.9, chart.times[-1])
    assert now is not None
    found = []
    if abs(now - verdict.level_bytes) > 3 * MB:
        found.append(f"the chart is at {now / MB:.0f} MB")
    if f"{verdict.level_bytes / MB:.0f} MB" not in said:
        found.append("the level is not in the sentence")
    return found


def _since(verdict: Verdict, said: str, course: Course, zone: tzinfo) -> list[str]:
    moment = datetime.fromtimestamp(course.since, zone)
    if f"since {moment:%H:%M}" not in said and f"since {moment:%Y-%m-%d %H:%M}" not in said:
        return ["the sentence names another beginning"]
    return [] if course.begin <= course.since <= verdict.time else ["it begins outside of the history"]


def _sum(verdict: Verdict, said: str, course: Course, chart: Chart) -> list[str]:
    found = []
    total = course.begin_bytes + sum(step.bytes for step in course.steps) + course.drift_bytes + course.change_bytes
    if abs(total - verdict.level_bytes) > 0.1 * MB:
        found.append(f"it adds up to {total / MB:.0f} MB")
    width = resolution(course.time - course.begin)
    at_first = chart.level(course.begin, course.begin + width)
    if (
        at_first is not None
        and abs(course.begin_bytes - at_first) > 1.2 * abs(_span(chart, course.begin - width, 2 * width)) + MB
    ):
        found.append(f"the chart begins at {at_first / MB:.0f}, not {course.begin_bytes / MB:.0f} MB")
    if verdict.state is VerdictState.FLAT:
        if abs(course.drift_bytes) > course.tolerance_bytes and "gradually before" not in said:
            found.append("a drift is not said")
        told = re.search(r"; (\d+) steps? before", said)
        if int(told[1] if told else 0) != len(course.steps):
            found.append("steps are left out")
    moves = np.abs(np.diff(chart.curve(course.begin, course.time, 10.0)[1]))
    noise = float(np.median(moves)) if len(moves) else 0.0
    if course.tolerance_bytes > max(12 * MB, 0.02 * float(chart.rss.max()), min(8 * noise, 45 * MB)):
        found.append(f"a tolerance of {course.tolerance_bytes / MB:.0f} MB")
    return found


def _span(chart: Chart, start: float, width: float) -> float:
    inside = chart.rss[(chart.times >= start) & (chart.times <= start + width)]
    return float(inside.max() - inside.min()) if len(inside) else 0.0


def _gaps(course: Course, chart: Chart) -> list[str]:
    usual = float(np.median(np.diff(chart.times)))
    at = np.flatnonzero(np.diff(chart.times) > max(170.0, 5 * usual))
    holes = [(float(chart.times[place]), float(chart.times[place + 1])) for place in at]
    found = [
        f"nothing was measured at {start:.0f}"
        for start, end in holes
        if end - start > 3 * resolution(course.time - start)
        and not any(low <= start + 200 and high >= end - 200 for low, high in course.gaps)
    ]
    return found + [
        f"there is no gap at {low:.0f}"
        for low, high in course.gaps
        if chart.level(low + resolution(course.time - low), high - resolution(course.time - high)) is not None
    ]


def _step(step: Step, course: Course, chart: Chart, planted: list[Planted], slope: float) -> list[str]:
    width = resolution(course.time - step.begin)
    # Whoever looks at a curve reads its levels right before and right after a step, give or take a point.
    readings = (-0.8, 0.3), (0.0, 0.3), (-0.3, 1.0)
    befores = [chart.level(step.begin + low * width, step.begin + high * width) for low, high in readings]
    afters = [chart.level(step.end - high * width, step.end - low * width) for low, high in readings]
    if step.gradual:  # it may turn at its end
        extreme = np.max if step.bytes > 0 else np.min
        _times, late = chart.curve(step.end - 1.5 * width, step.end + 0.5 * width, width / 4)
        afters += [float(extreme(late))] if len(late) else []
    grown = slope * (step.end - step.begin) / HOUR  # a step within growth comes on top of it, or is read with it
    pairs = [(before, after) for before in befores for after in afters if before is not None and after is not None]
    seen = [after - before - part for before, after in pairs for part in {0.0, grown}]
    if not seen:
        return ["a step lies where nothing is"]
    found = []
    slack = 0.75 * course.tolerance_bytes + 0.1 * abs(step.bytes)
    if min(abs(one - step.bytes) for one in seen) > slack:
        found.append(
            f"{min(seen) / MB:+.0f} to {max(seen) / MB:+.0f} MB is no {step.bytes / MB:+.0f} MB,"
            f" {step.time - course.begin:.0f} s"
        )
    if not step.begin - 1 <= step.time <= step.end + 1:
        found.append("a step's moment lies outside of it")
    ours = [one for one in planted if step.begin - width <= one.time <= step.end + width]
    if len(ours) == 1 and abs(ours[0].bytes - step.bytes) < 0.3 * abs(step.bytes):
        ids = [cause.event_id for cause in step.causes]
        if ours[0].event > 0 and ours[0].event not in ids:
            found.append(f"event {ours[0].event} caused {step.bytes / MB:+.0f} MB, not {ids}")
        if ours[0].event == 0 and ids:
            found.append(f"nothing explains {step.bytes / MB:+.0f} MB, named is {step.causes}")
    return found


def _flat(course: Course, said: str, chart: Chart) -> list[str]:
    width = resolution(course.time - course.since)
    _times, values = chart.curve(course.since, course.time, width)
    slack = 0.3 * course.tolerance_bytes
    values = values[1:] if len(values) > 1 else values  # the first point holds how it got there
    inside = (values >= course.low_bytes - slack) & (values <= course.high_bytes + slack)
    found = []
    share = float(inside.mean())
    if share < (0.9 if not course.excursions else 0.55) and len(values) > 3:
        found.append(f"flat for {share:.0%} of that time only")
    if course.high_bytes - course.low_bytes > 2.05 * course.tolerance_bytes:
        found.append(f"its band is {(course.high_bytes - course.low_bytes) / MB:.0f} MB wide")
    # The point at which it became flat may still show how it got there.
    wide, narrow = (chart.rss[chart.times >= course.since + shift] for shift in (-width, width))
    narrow = narrow if len(narrow) else wide
    high = narrow.max() - 2 * MB <= course.peak_bytes <= wide.max() + 2 * MB
    low = wide.min() - 2 * MB - slack <= course.dip_bytes <= narrow.min() + 2 * MB + slack
    if not (high and low):
        found.append(f"it went from {narrow.min() / MB:.0f} to {narrow.max() / MB:.0f} MB")
    if course.peak_bytes > course.high_bytes + 1.6 * course.tolerance_bytes and not re.search(
        rf"{course.peak_bytes / MB:.0f} MB", said
    ):
        found.append("a peak is not said")
    middle = (course.low_bytes + course.high_bytes) / 2
    for one in course.excursions:
        sign, near = np.sign(one.bytes), resolution(course.time - one.time)
        inside = (chart.times >= one.begin) & (chart.times <= one.end)
        around = (chart.times >= one.begin - near) & (chart.times <= one.end + near)  # a point of the chart is so wide
        furthest = max(sign * (chart.rss[inside] - middle), default=0.0)
        met = min(np.abs(chart.rss[around] - middle - one.bytes), default=np.inf)
        if furthest > abs(one.bytes) + course.tolerance_bytes or met > course.tolerance_bytes:
            found.append(f"it went {furthest / MB:.0f} MB away at {one.time - course.begin:.0f} s")
    # Would it have been flat for longer?
    longer = max(300.0, 5 * width, 0.12 * (course.time - course.since))
    if course.since - course.begin > longer:
        _times, earlier = chart.curve(course.since - longer, course.since - 1, width)
        if len(earlier) and not course.gaps_since(course.since - longer):
            together = max(values.max(), earlier.max()) - min(values.min(), earlier.min())
            if together < 0.8 * course.tolerance_bytes:
                found.append("it was flat before already")
    return found


def _moving(course: Course, said: str, chart: Chart) -> list[str]:
    width = resolution(course.time - course.since)
    _times, values = chart.curve(course.since, course.time, width)
    if course.shape is CourseShape.SWING:
        recent = max(course.since, course.time - HOUR)
        early, older = chart.curve(course.since, recent, width)
        late, newer = chart.curve(recent, course.time, resolution(HOUR))
        times, values = np.concatenate([early, late]), np.concatenate([older, newer])
        high, low = float(values.max()), float(values.min())
        near = 0.2 * (high - low) + 3 * MB
        thirds = np.linspace(course.since, course.time, 4)[1:-1]
        parts = np.split(values, np.searchsorted(times, thirds))
        met = all(part.max() > high - 2 * near and part.min() < low + 2 * near for part in parts)
        told = abs(course.high_bytes - high) <= near and abs(course.low_bytes - low) <= near
        return [] if met and told else ["that is no swing between these"]
    # Whoever looks at a curve reads its level right before and right after a moment, give or take a point.
    readings = [chart.level(course.since + low * width, course.since + high * width) for low, high in _READINGS]
    changes = [course.level_bytes - one for one in readings if one is not None]
    found = []
    if all(abs(one - course.change_bytes) > course.tolerance_bytes + 0.15 * abs(one) for one in changes):
        found.append(f"since then it changed by {changes[0] / MB:+.0f} MB")
    sign = "+" if course.shape is CourseShape.RISING else "−"
    if not re.search(rf", {re.escape(sign)}[\d,.]+ MB since", said) and abs(course.change_bytes) > 0.05 * MB:
        found.append("the words say another direction")
    return found


def _missed(course: Course, chart: Chart) -> list[str]:
    """Steps that anybody would see, and that the sentence is silent about."""
    found = []
    width = max(60.0, resolution(course.time - course.begin))
    until = course.time - 4 * width if course.shape is CourseShape.FLAT else course.since
    for moment in np.arange(course.begin + 120 + 4 * width, until - 4 * width, width):
        before = chart.level(moment - 4 * width, moment)
        after = chart.level(moment + width, moment + 5 * width)
        if before is None or after is None or abs(after - before) < 2.5 * course.tolerance_bytes:
            continue
        near, then = chart.level(moment - width, moment), chart.level(moment + width, moment + 2 * width)
        if near is None or then is None or abs(then - near) < 0.67 * abs(after - before):
            continue  # that was gradual
        told = any(step.begin - 6 * width <= moment <= step.end + 6 * width for step in course.steps)
        away = (*course.excursions, *course.earlier_excursions)
        if not told and not any(one.begin - 3 * width <= moment <= one.end + 3 * width for one in away):
            found.append(f"{(after - before) / MB:+.0f} MB at {moment - course.begin:.0f} s")
            break
    return found


def _rate(verdict: Verdict, course: Course, chart: Chart) -> list[str]:
    if verdict.slope_per_hour is None or verdict.interval is None or course.seconds < HOUR:
        return []
    times, values = chart.curve(course.since, course.time, course.seconds / 40)
    slope = _slope(times, values)
    low, high = verdict.interval
    slack = 0.3 * course.tolerance_bytes / (course.seconds / HOUR)
    return [] if low - slack <= slope <= high + slack else [f"it goes by {slope / MB:.1f} MB an hour"]


def _growth(verdict: Verdict, said: str, chart: Chart) -> list[str]:
    if verdict.kind in {LeakKind.THREADS, LeakKind.DESCRIPTORS, LeakKind.GPU}:
        return []
    end = verdict.window_end or verdict.time
    start = end - verdict.window_seconds
    inside = (chart.times >= start) & (chart.times <= end)
    values = chart.live if verdict.kind is not LeakKind.RETENTION else chart.rss - chart.live
    times, values = chart.times[inside], values[inside].copy()
    for step in told_steps(verdict):
        values[times >= step.time] -= step.bytes
    keys = np.floor((times - start) / (verdict.window_seconds / 32))
    _unique, first = np.unique(keys, return_index=True)
    floor = np.minimum.reduceat(values, first)
    slope, told = _slope(times[first], floor), verdict.slope_per_hour or 0.0
    low, high = verdict.interval or (told, told)
    found = []
    slack = 0.15 * abs(told) + 4 * MB / (verdict.window_seconds / HOUR)
    if not low - slack <= slope <= high + slack:
        found.append(f"it grew by {slope / MB:.0f} MB an hour")
    if told <= 0:
        found.append("that is no growth")
    after = chart.times > end
    if "until" not in said and after.sum() > 5:
        seconds = float(chart.times[-1] - end)
        if seconds > max(90.0, 0.05 * verdict.window_seconds) + 1:
            found.append(f"that was {seconds:.0f} s ago")
    if verdict.seconds_to_limit is not None:
        expected = (float(chart.limit[-1]) - verdict.level_bytes) / told * HOUR
        if abs(expected - verdict.seconds_to_limit) > 0.05 * abs(expected) + 120:
            found.append(f"the limit comes in {expected:.0f} s, not {verdict.seconds_to_limit:.0f}")
    return found


def _slope(times: Floats, values: Floats) -> float:
    first, second = np.triu_indices(len(times), 1)
    return float(np.median((values[second] - values[first]) / (times[second] - times[first])) * HOUR)
