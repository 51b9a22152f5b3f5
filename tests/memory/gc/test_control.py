"""The collector's settings and actions, each in a process of its own, with Python's real collector."""

from __future__ import annotations

from pathlib import Path

from services.core.events import NullEventSink
from services.memory.clock import Clock
from services.memory.monitor import MemoryMonitor
from tests.memory.gc.child import run
from tests.memory.gc.scenarios import own_gc


def test_collections_say_what_they_found_and_what_they_cost() -> None:
    """Fails when a collection's yield, pause or owners are not those of the real one."""
    result = run("scenarios:actions")
    assert result["young"] < 20_000
    found, uncollectable, seconds, before, after = result["full"]
    assert found >= 20_000
    assert uncollectable == 0
    assert 0 < seconds < 60
    assert before == after > 10
    assert all(result["asked"])
    assert [kind for _actor, kind, _detail in result["events"]] == ["collection"] * 5
    assert {actor for actor, _kind, _detail in result["events"]} == {"Ada"}


def test_frozen_objects_are_hidden_until_they_are_shown_again() -> None:
    """Fails when freezing hides nothing, or what was garbage meanwhile is never found."""
    result = run("scenarios:actions")
    frozen, tracked, hidden, detail = result["frozen"]
    assert frozen > 30_000
    assert tracked < 5000
    assert hidden < 5000
    assert "hidden" in detail
    assert result["blind"] < 30_000
    found, detail, left = result["shown"]
    assert found >= 30_000
    assert "visible again" in detail
    assert left == 0


def test_closing_puts_the_process_back() -> None:
    """Fails when a closed collector leaves thresholds, freezing or a switched-off collector behind, or building one
    changes something."""
    result = run("scenarios:close_puts_back")
    assert result["built"] == result["before"]
    assert result["changed"][:4] == [300, 5, 5, False]
    assert result["changed"][4] > 1000
    assert result["after"] == result["before"]


def test_building_a_monitor_changes_nothing(tmp_path: Path) -> None:
    """Fails when the monitors of other tests would change the collector under pytest."""
    before = own_gc()
    monitor = MemoryMonitor(tmp_path, Clock(), NullEventSink())
    monitor.start()
    assert own_gc() == before
    monitor.close()
    assert own_gc() == before


def test_who_may_only_look_changes_nothing_and_is_recorded() -> None:
    """Fails when an action forgets to ask who it is, or a refusal leaves no event."""
    result = run("scenarios:refusals")
    assert result["refused"] == 7
    assert result["after"] == result["before"]
    assert [(actor, kind) for actor, kind, _detail in result["events"]] == [("guest", "access")] * 7


def test_bad_input_is_refused_with_what_would_do() -> None:
    """Fails when Python gets numbers that it misunderstands, or that would stop the process."""
    result = run("scenarios:bad_input")
    assert result["outcomes"] == ["refused"] * 12
    assert result["after"] == result["before"]
    assert len(result["events"]) == 12


def test_many_at_once_leave_it_as_it_was() -> None:
    """Fails when changes from several threads mix up what a trial goes back to."""
    result = run("scenarios:many_at_once")
    assert result["errors"] == []
    assert result["after"] == result["before"]
