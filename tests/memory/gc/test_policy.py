"""When the policy collects and when it does not, with Python's real collector and real garbage."""

from __future__ import annotations

from typing import Any

import pytest

from tests.memory.gc.child import run


@pytest.fixture(scope="module")
def played() -> dict[str, Any]:
    """The result of each scenario, all in one child process."""
    return run("policy_scenarios:everything")


def test_a_quiet_moment_is_used_once(played: dict[str, Any]) -> None:
    """Fails when garbage stays although nobody is there, or an idle service collects again and again."""
    result = played["quiet"]
    assert result["first"]["reason"] == "idle"
    assert result["first"]["found"] >= 20_000
    assert "when idle" in result["first"]["description"]
    assert [kind for _actor, kind, _detail in result["first"]["events"]] == ["policy"]
    assert result["later"]["runs"] == 1


def test_a_long_quiet_after_work_is_used_once(played: dict[str, Any]) -> None:
    """Fails when garbage that was in use at the last full collection is never looked at again."""
    result = played["long_quiet"]
    assert result["first"]["found"] >= 30_000
    assert result["later"]["runs"] == 1


def test_a_little_garbage_is_not_worth_a_pause(played: dict[str, Any]) -> None:
    """Fails when everybody is stopped for next to nothing."""
    assert played["little"]["runs"] == 0


def test_under_load_it_takes_much(played: dict[str, Any]) -> None:
    """Fails when requests are stopped for little, or garbage grows without a bound as long as there is load."""
    result = played["load"]
    assert result["some"]["runs"] == 0
    assert result["much"]["reason"] == "allocation"
    assert result["much"]["found"] >= 150_000


def test_requests_that_end_between_two_checks_are_no_quiet_moment(played: dict[str, Any]) -> None:
    """Fails when a service that answers in milliseconds counts as idle."""
    assert played["requests_in_between"]["runs"] == 0


def test_it_keeps_to_its_share_of_the_time(played: dict[str, Any]) -> None:
    """Fails when heavy allocation makes the policy stop everybody for more than its share."""
    result = played["heavy_load"]
    assert result["runs"] >= 1
    assert result["earlier"] <= result["bound"]


def test_what_a_person_switched_off_stays_off(played: dict[str, Any]) -> None:
    """Fails when the policy collects although somebody switched collecting off, or does not say that it is off."""
    for name, result in played["switched_off"].items():
        assert result["runs"] == 0, name
        assert not result["active"]
        assert result["state"].startswith("off"), name


def test_big_work_is_followed_by_a_collection(played: dict[str, Any]) -> None:
    """Fails when what an ingestion left waits for long, or a collection follows work that left nothing."""
    result = played["big_work"]
    assert result["nothing"]["runs"] == 0
    assert result["certain"]["runs"] == 1
    assert result["waiting"]["runs"] == 1
    assert result["done"]["reason"] == "big_work"
    assert "ingestion" in result["done"]["description"]


def test_a_collection_by_somebody_else_counts(played: dict[str, Any]) -> None:
    """Fails when the policy collects again what Python, a person or the leak detector has just collected."""
    assert played["somebody_else"]["runs"] == 0


def test_collections_in_vain_make_it_more_patient(played: dict[str, Any]) -> None:
    """Fails when a service that really needs more memory is stopped at each step of its growth."""
    result = played["in_vain"]
    needed = result["needed"]
    assert needed[0] < needed[-1]
    assert result["runs"] < 4
