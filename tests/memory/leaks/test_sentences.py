from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from services.core.events import EventKind
from services.memory.leaks.types import VerdictState
from tests.memory.leaks.chart_reader import complaints
from tests.memory.leaks.detectors import MB
from tests.memory.leaks.histories import SHAPES, make, replay

ZONES = UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize("number", range(2 * len(SHAPES)))
def test_no_sentence_argues_with_its_chart(number: int) -> None:
    """Fails if somebody who has the chart before them would call a verdict's sentence wrong (`make siege` has 220)."""
    _name, story = make(number)
    judged = list(replay(story))
    assert judged
    zone = ZONES[number % len(ZONES)]
    assert [one for verdict, begin in judged for one in complaints(verdict, story, begin, zone)] == []


def test_an_upload_and_the_first_use_of_a_model_are_both_named() -> None:
    """Fails if the case that was seen comes back: flat beside a climb whose steps are left out."""
    name, story = make(4)
    assert name == "upload_and_model"
    *_others, (verdict, _begin) = replay(story)
    assert verdict.state is VerdictState.FLAT
    assert verdict.course is not None
    told = [(step.causes[0].kind, round(step.bytes / MB)) for step in verdict.course.steps]
    assert told == [(EventKind.UPLOAD, pytest.approx(98, abs=4)), (EventKind.LIBRARY, pytest.approx(53, abs=4))]


def test_the_reader_complains() -> None:
    """Fails if the reader of the chart takes everything: one step less, another level, another beginning are wrong."""
    _name, story = make(4)
    *_others, (verdict, begin) = replay(story)
    course = verdict.course
    assert course is not None
    wrong = [
        replace(verdict, level_bytes=verdict.level_bytes + 9 * MB),
        replace(verdict, course=replace(course, steps=course.steps[1:])),
        replace(verdict, course=replace(course, since=course.since + 1200)),
        replace(verdict, course=replace(course, since=course.since - 1200)),
        replace(verdict, course=replace(course, steps=(replace(course.steps[0], causes=()), course.steps[1]))),
    ]
    for one in wrong:
        assert complaints(one, story, begin)
    assert complaints(verdict, story, begin) == []
