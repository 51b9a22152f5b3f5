"""Trials and kept settings, with Python's real collector, a real database and real garbage."""

from __future__ import annotations

from pathlib import Path

from tests.memory.gc.child import run


def test_a_trial_goes_back_by_itself(tmp_path: Path) -> None:
    """Fails when a change that nobody kept stays, or its end leaves no event."""
    result = run("scenarios:trial_runs_out", str(tmp_path))
    assert result["during"][:3] == [300, 5, 5]
    assert result["after"] == result["before"]
    assert "was not kept" in result["verdict"]
    actors = [(actor, kind) for actor, kind, _detail in result["events"]]
    assert actors == [("Ada", "settings"), ("millpond", "settings")]


def test_a_trial_ends_early_when_pauses_get_worse() -> None:
    """Fails when a change that makes everybody wait longer is left in place until its time is over."""
    result = run("scenarios:trial_gets_worse")
    assert "too few" in result["early"]
    assert "worse" in result["verdict"]
    before, now = result["p95"]
    assert now > 1.5 * before
    assert result["after"] == result["before"]
    assert result["events"][-1][0] == "millpond"


def test_collections_on_demand_do_not_count_against_a_trial() -> None:
    """Fails when pressing "collect" during a trial ends it."""
    result = run("scenarios:trial_stays")
    assert result["running"]
    assert "not clearly worse" in result["verdict"]


def test_a_change_during_a_trial_takes_its_place() -> None:
    """Fails when a second trial goes back to the first one, or a kept change leaves a trial that undoes it."""
    result = run("scenarios:trial_is_replaced")
    assert result["goes_back_to"] == result["before"][:3]
    assert result["reverted"] == result["before"]
    assert result["kept"][:3] == [900, 10, 10]
    assert not result["trial"]


def test_kept_settings_outlive_the_process_and_trials_do_not(tmp_path: Path) -> None:
    """Fails when a crash during a trial comes up with what was tried, or without what was kept."""
    first = run("scenarios:first_life", str(tmp_path))
    assert first["gc"][:3] == [5000, 50, 50]
    assert first["kept"] == [900, 9, 9, True]
    second = run("scenarios:second_life", str(tmp_path))
    assert second["built"] == second["closed"]
    assert second["started"][:3] == [900, 9, 9]
    assert second["kept"] == [900, 9, 9, True]
    assert "saved garbage collector settings" in second["events"][0][2]


def test_spoilt_preferences_are_not_used(tmp_path: Path) -> None:
    """Fails when a database that somebody edited switches the collector off or stops the start."""
    result = run("scenarios:spoilt_preferences", str(tmp_path))
    assert result["outcomes"] == [result["outcomes"][0]] * 4
    assert result["outcomes"][0][0] >= 700
