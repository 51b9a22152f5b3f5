from __future__ import annotations

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.core.events import EventKind
from services.memory.leaks.course import Cause, Course, CourseShape, Step
from services.memory.leaks.headline import brief, headline
from services.memory.leaks.statistics import Trend
from services.memory.leaks.types import LeakKind, Verdict, VerdictState
from services.memory.leaks.wording import duration_text, number_text, size_text

MB = 2.0**20


NOON = 1_761_048_000.0  # 12:00 UTC
HOUR = 3600.0


def flat(
    hours: float, change: float = 0.5, rate: Trend | None = None, steps: tuple[Step, ...] = (), **figures: Any
) -> Verdict:
    course = Course(
        time=NOON,
        begin=NOON - 10 * HOUR,
        begin_bytes=486 * MB,
        shape=CourseShape.FLAT,
        since=NOON - hours * HOUR,
        level_bytes=641 * MB,
        change_bytes=change * MB,
        low_bytes=638 * MB,
        high_bytes=643 * MB,
        peak_bytes=644 * MB,
        dip_bytes=637 * MB,
        drift_bytes=0.0,
        tolerance_bytes=10 * MB,
        rate=rate,
        steps=steps,
    )
    slope = rate and rate.slope
    interval = None if rate is None else (rate.low, rate.high)
    return Verdict(
        VerdictState.FLAT,
        NOON,
        hours * HOUR,
        641 * MB,
        slope_per_hour=slope,
        interval=interval,
        course=replace(course, **figures),
    )


def test_flat() -> None:
    """Fails if the headline of a flat process does not say since when, how much and how sure."""
    verdict = flat(6, rate=Trend(0.2 * MB, -0.4 * MB, 0.7 * MB, 0.5))
    assert headline(verdict) == "Flat since 06:00 UTC at 641 MB, +0.2 MB/h (−0.4 to 0.7)"


def test_minutes_are_not_counted_up_to_an_hour() -> None:
    """Fails if a megabyte in ten minutes is told as six an hour of a process that is called flat."""
    verdict = flat(1 / 6, change=1.0, rate=Trend(6 * MB, 3 * MB, 12 * MB, 0.2))
    assert headline(verdict) == "Flat since 11:50 UTC at 641 MB, +1.0 MB since"


def step(minutes: float, amount: float, *causes: Cause, **more: Any) -> Step:
    time = NOON - minutes * 60
    return Step(time - 10, time + 10, time, amount * MB, causes=causes, **more)


def test_steps_are_named() -> None:
    """Fails if what RSS rose by before it was flat is left out, or nobody knows what caused it."""
    upload = Cause(7, EventKind.UPLOAD, NOON - 3600, "report.pdf")
    library = Cause(9, EventKind.LIBRARY, NOON - 1800, "chat model library loaded (langchain_core, langsmith)")
    steps = (step(60, 98, upload), step(30, 53, library), step(20, 14))
    assert headline(flat(0.3, steps=steps)) == (
        "Flat since 11:42 UTC at 641 MB, +0.5 MB since; 3 steps before: upload +98 MB (11:00 UTC), "
        "chat model library loaded +53 MB (11:30 UTC), unexplained +14 MB (11:40 UTC)"
    )


def test_many_steps_are_summed_up() -> None:
    """Fails if a sentence has no end, or leaves out how much the unnamed steps come to."""
    steps = tuple(step(60 - 5 * n, 20 + n) for n in range(6))
    assert "; 6 steps before, +135 MB in all, the largest: unexplained +23 MB" in headline(flat(0.3, steps=steps))


def test_what_else_happened_is_said() -> None:
    """Fails if peaks, drifts, or a time in which nothing was measured are left out."""
    gap = (NOON - 2 * HOUR, NOON - 1.5 * HOUR)
    upload = Cause(7, EventKind.UPLOAD, NOON - 3600, "report.pdf")
    peaks = (step(60, 260, upload), step(20, 40))
    verdict = flat(3, excursions=peaks, peak_bytes=900 * MB, drift_bytes=-25 * MB, gaps=(gap,))
    assert headline(verdict) == (
        "Flat since 09:00 UTC at 641 MB, +0.5 MB since, 2 peaks up to 900 MB (upload, unexplained), "
        "not measured for 30 min of it; −25 MB gradually before"
    )
    assert ", 1 peak of 700 MB (upload, 11:00 UTC)" in headline(flat(2, excursions=peaks[:1], peak_bytes=700 * MB))
    dip = (step(20, -140),)
    assert ", 1 dip to 500 MB (unexplained, 11:40 UTC)" in headline(flat(1, excursions=dip, dip_bytes=500 * MB))
    assert headline(flat(0.1, earlier_excursions=peaks)).endswith(
        "; before that it went away and came back 2 times, by +260 MB at most (upload, unexplained)"
    )


def test_movements() -> None:
    """Fails if what rises, falls or swings is called flat, or the direction is the wrong one."""
    going = step(3, 98, Cause(7, EventKind.UPLOAD, NOON - 180, "report.pdf"))
    rising = flat(0.05, change=98, shape=CourseShape.RISING, current=going)
    assert headline(rising) == "No leak seen: 641 MB, +98 MB since 11:57 UTC (upload)"
    falling = flat(0.05, change=-98, shape=CourseShape.FALLING)
    assert headline(falling) == "No leak seen: 641 MB, −98 MB since 11:57 UTC"
    swing = flat(5, shape=CourseShape.SWING, low_bytes=600 * MB, high_bytes=900 * MB)
    assert headline(swing) == "Up and down since 07:00 UTC between 600 MB and 900 MB, now 641 MB"


def test_moments_are_those_of_the_reader() -> None:
    """Fails if a moment is told in another zone than the page's, or one of another day without its date."""
    assert headline(flat(6), ZoneInfo("Asia/Shanghai")).startswith("Flat since 14:00 at 641 MB")
    assert headline(flat(20)).startswith("Flat since 2025-10-20 16:00 UTC at")


def test_few_words() -> None:
    """Fails if the narrow form says something else than the sentence."""
    assert brief(flat(6)) == "Memory flat since 06:00 UTC"
    assert brief(flat(1, change=-98, shape=CourseShape.FALLING)) == "Memory −98 MB since 11:00 UTC"
    assert brief(flat(1, shape=CourseShape.SWING)) == "Memory up and down since 11:00 UTC"
    assert brief(Verdict(VerdictState.UNKNOWN, 0.0)) == "Too little data yet"


def test_leak() -> None:
    """Fails if the headline of a leak leaves out the kind, the growth or the limit."""
    verdict = Verdict(
        VerdictState.LEAK,
        0.0,
        7200,
        641 * MB,
        kind=LeakKind.PYTHON,
        slope_per_hour=30 * MB,
        interval=(28 * MB, 32 * MB),
        seconds_to_limit=5 * 3600,
    )
    assert headline(verdict) == "Leak of Python objects: +30 MB/h (28 to 32) for 2 h, 641 MB; limit in 5 h"


def test_growth_that_was_seen_a_while_ago() -> None:
    """Fails if a leak that is over by now is told as going on, or a step beside it is left out unsaid."""
    verdict = Verdict(
        VerdictState.LEAK,
        NOON,
        7200,
        641 * MB,
        kind=LeakKind.NATIVE,
        slope_per_hour=30 * MB,
        interval=(28 * MB, 32 * MB),
        window_end=NOON - 720,
        left_out=(step(60, 98, Cause(7, EventKind.UPLOAD, NOON - 3600, "report.pdf")),),
    )
    assert headline(verdict) == (
        "Leak of native memory: +30 MB/h (28 to 32) for 2 h until 11:48 UTC, 641 MB; "
        "1 step in that time: upload +98 MB (11:00 UTC)"
    )


def test_watch_of_a_count() -> None:
    """Fails if threads are told in MB."""
    verdict = Verdict(
        VerdictState.WATCH, 0.0, 1800, 641 * MB, kind=LeakKind.THREADS, slope_per_hour=24, interval=(20.6, 30)
    )
    assert headline(verdict) == "Watch threads: +24 an hour (21 to 30) for 30 min, 641 MB"


def test_too_little_data() -> None:
    """Fails if a young process is called flat."""
    assert headline(Verdict(VerdictState.UNKNOWN, 0.0, 200)) == "Too little data yet: 3 of 10 min"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(45, "45 s"), (600, "10 min"), (6900, "115 min"), (7200, "2 h"), (90_000, "25 h"), (400_000, "5 days")],
)
def test_durations(seconds: float, text: str) -> None:
    """Fails if a duration is told in a unit that says nothing."""
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.0"), (-0.04, "0.0"), (-0.4, "−0.4"), (9.94, "9.9"), (9.96, "10"), (1693.2, "1,693")]
)
def test_numbers(value: float, text: str) -> None:
    """Fails if a small number loses its decimal or a rounded zero keeps its sign."""
    assert number_text(value) == text


def test_sizes() -> None:
    """Fails if big sizes are told in thousands of MB."""
    assert size_text(641 * MB) == "641 MB"
    assert size_text(20_480 * MB) == "20.0 GB"
