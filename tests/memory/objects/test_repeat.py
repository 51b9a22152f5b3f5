from __future__ import annotations

import pytest

from services.core.actor import SERVICE
from services.core.errors import BadInputError, ConflictError, NotFoundError, UnavailableError
from services.memory.objects.inspector import Inspector
from services.memory.objects.repeat_report import RepeatReport, RepeatState
from tests.memory.objects import planted
from tests.servers import eventually

KIND = "tests.memory.objects.planted.InModule"
kept: list[object] = []


def run(inspector: Inspector, times: int = 10) -> RepeatReport:
    inspector.repeats.start(SERVICE, "it", times)
    eventually(lambda: inspector.repeats.progress is None, seconds=180.0, what="the end of the series")
    return inspector.repeats.reports[0]


def test_what_each_repetition_leaves_behind_is_counted(inspector: Inspector) -> None:
    """The point of the method: three objects left each time must be told apart from those that come and go."""

    def leak() -> None:
        kept.extend(planted.InModule(number) for number in range(3))
        _gone = [planted.InClass(number) for number in range(100)]

    inspector.add_action("it", leak)
    try:
        report = run(inspector)
    finally:
        kept.clear()
    assert report.state is RepeatState.DONE
    grown = {growth.type: growth for growth in report.types}
    assert grown[KIND].each == 3
    assert grown[KIND].added.count == 30
    assert grown[KIND].left.count == 15
    assert "tests.memory.objects.planted.InClass" not in grown
    container = next(growth for growth in report.containers if growth.name.endswith("test_repeat.kept"))
    assert (container.each, container.after) == (3, 36)
    assert len(report.blocks) == len(report.heap) == len(report.rss) == 11
    assert (report.per_repetition(report.blocks) or 0) > 2


def test_an_action_that_leaves_nothing_is_not_accused(inspector: Inspector) -> None:
    """A false alarm costs a person a day."""
    inspector.add_action("it", lambda: [planted.InModule(number) for number in range(100)])
    report = run(inspector)
    assert report.state is RepeatState.DONE
    assert KIND not in {growth.type for growth in report.types}
    assert report.containers == ()


def test_a_failing_action_ends_the_series_with_its_reason(inspector: Inspector) -> None:
    """A failure must be told, and the thread must not die without a report."""

    def fail() -> None:
        raise UnavailableError("The model is not there.", "Connect one.")

    inspector.add_action("it", fail)
    report = run(inspector)
    assert report.state is RepeatState.FAILED
    assert report.error == "The model is not there. Connect one."


def test_one_series_at_a_time_marked_by_hand_and_cancelled(inspector: Inspector) -> None:
    """By hand the series waits for the person; a second one beside it would spoil the figures of both."""
    inspector.repeats.start_by_hand(SERVICE, 4, "clicking")
    eventually(lambda: (found := inspector.repeats.progress) and found.waits, what="waiting for the person")
    with pytest.raises(ConflictError):
        inspector.repeats.start_by_hand(SERVICE, 4)
    inspector.repeats.mark(SERVICE)
    eventually(lambda: (found := inspector.repeats.progress) and found.done == 1, what="the first repetition")
    inspector.repeats.cancel(SERVICE)
    eventually(lambda: inspector.repeats.progress is None, what="the end")
    assert inspector.repeats.reports[0].state is RepeatState.CANCELLED
    with pytest.raises(ConflictError):
        inspector.repeats.mark(SERVICE)


def test_wrong_requests_are_refused(inspector: Inspector) -> None:
    """An unknown action or a silly number must not start a thread."""
    inspector.add_action("it", list)
    with pytest.raises(NotFoundError):
        inspector.repeats.start(SERVICE, "other", 10)
    with pytest.raises(BadInputError):
        inspector.repeats.start(SERVICE, "it", 1)
    assert inspector.repeats.progress is None
