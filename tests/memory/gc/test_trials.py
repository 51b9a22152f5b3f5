"""Trials and kept settings, with Python's real collector, a real database and real garbage."""

from __future__ import annotations

from pathlib import Path

from tests.memory.gc.child import run


def test_a_trial_goes_back_by_itself(tmp_path: Path) -> None:
    """Fails when a change that nobody kept stays, or its end leaves no event."""
    told = run("scenes:trial_runs_out", str(tmp_path))
    assert told["during"][:3] == [300, 5, 5]
    assert told["after"] == told["before"]
    assert "nobody kept it" in told["verdict"]
    actors = [(actor, kind) for actor, kind, _detail in told["heard"]]
    assert actors == [("Ada", "settings"), ("millpond", "settings")]


def test_a_trial_ends_early_when_pauses_get_worse() -> None:
    """Fails when a change that makes everybody wait longer is left in place until its time is over."""
    told = run("scenes:trial_gets_worse")
    assert "too few" in told["early"]
    assert "worse" in told["verdict"]
    before, now = told["p95"]
    assert now > 1.5 * before
    assert told["after"] == told["before"]
    assert told["heard"][-1][0] == "millpond"


def test_collections_on_demand_do_not_count_against_a_trial() -> None:
    """Fails when pressing "collect" during a trial ends it."""
    told = run("scenes:trial_stays")
    assert told["running"]
    assert "not clearly worse" in told["verdict"]


def test_a_change_during_a_trial_takes_its_place() -> None:
    """Fails when a second trial goes back to the first one, or a kept change leaves a trial that undoes it."""
    told = run("scenes:trial_is_replaced")
    assert told["goes_back_to"] == told["before"][:3]
    assert told["reverted"] == told["before"]
    assert told["kept"][:3] == [900, 10, 10]
    assert not told["trial"]


def test_kept_settings_outlive_the_process_and_trials_do_not(tmp_path: Path) -> None:
    """Fails when a crash during a trial comes up with what was tried, or without what was kept."""
    first = run("scenes:first_life", str(tmp_path))
    assert first["gc"][:3] == [5000, 50, 50]
    assert first["kept"] == [900, 9, 9, True]
    second = run("scenes:second_life", str(tmp_path))
    assert second["built"] == second["closed"]
    assert second["started"][:3] == [900, 9, 9]
    assert second["kept"] == [900, 9, 9, True]
    assert "kept settings" in second["heard"][0][2]


def test_spoilt_preferences_are_not_used(tmp_path: Path) -> None:
    """Fails when a database that somebody edited switches the collector off or stops the start."""
    told = run("scenes:spoilt_preferences", str(tmp_path))
    assert told["outcomes"] == [told["outcomes"][0]] * 4
    assert told["outcomes"][0][0] >= 700
