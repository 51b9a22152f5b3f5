"""When the policy collects and when it does not, with Python's real collector and real garbage."""

from __future__ import annotations

from typing import Any

import pytest

from tests.memory.gc.child import run


@pytest.fixture(scope="module")
def played() -> dict[str, Any]:
    """What came of each scene, all in one process of their own."""
    return run("policy_scenes:everything")


def test_a_quiet_moment_is_used_once(played: dict[str, Any]) -> None:
    """Fails when garbage stays although nobody is there, or an idle service collects again and again."""
    told = played["quiet"]
    assert told["first"]["reason"] == "idle"
    assert told["first"]["found"] >= 30_000
    assert "quiet moment" in told["first"]["told"]
    assert [kind for _actor, kind, _detail in told["first"]["heard"]] == ["policy"]
    assert told["later"]["runs"] == 1


def test_a_long_quiet_after_work_is_used_once(played: dict[str, Any]) -> None:
    """Fails when garbage that was in use at the last full collection is never looked at again."""
    told = played["long_quiet"]
    assert told["first"]["found"] >= 30_000
    assert told["later"]["runs"] == 1


def test_a_little_garbage_is_not_worth_a_pause(played: dict[str, Any]) -> None:
    """Fails when everybody is stopped for next to nothing."""
    assert played["little"]["runs"] == 0


def test_under_load_it_takes_much(played: dict[str, Any]) -> None:
    """Fails when requests are stopped for little, or garbage grows without a bound as long as there is load."""
    told = played["load"]
    assert told["some"]["runs"] == 0
    assert told["much"]["reason"] == "allocation"
    assert told["much"]["found"] >= 150_000


def test_requests_that_end_between_two_looks_are_no_quiet_moment(played: dict[str, Any]) -> None:
    """Fails when a service that answers in milliseconds counts as idle."""
    assert played["requests_in_between"]["runs"] == 0


def test_it_keeps_to_its_share_of_the_time(played: dict[str, Any]) -> None:
    """Fails when heavy allocation makes the policy stop everybody for more than its share."""
    told = played["heavy_load"]
    assert told["runs"] >= 1
    assert told["earlier"] <= told["bound"]


def test_what_a_person_switched_off_stays_off(played: dict[str, Any]) -> None:
    """Fails when the policy collects although somebody switched collecting off, or does not say that it is off."""
    for name, told in played["switched_off"].items():
        assert told["runs"] == 0, name
        assert not told["active"]
        assert told["state"].startswith("off"), name


def test_big_work_is_followed_by_a_collection(played: dict[str, Any]) -> None:
    """Fails when what an ingestion left waits for long, or a collection follows work that left nothing."""
    told = played["big_work"]
    assert told["nothing"]["runs"] == 0
    assert told["certain"]["runs"] == 1
    assert told["waiting"]["runs"] == 1
    assert told["done"]["reason"] == "big_work"
    assert "ingestion" in told["done"]["told"]


def test_a_collection_by_somebody_else_counts(played: dict[str, Any]) -> None:
    """Fails when the policy collects again what Python, a person or the leak detector has just looked at."""
    assert played["somebody_else"]["runs"] == 0


def test_collections_in_vain_make_it_more_patient(played: dict[str, Any]) -> None:
    """Fails when a service that really needs more memory is stopped at each step of its growth."""
    told = played["in_vain"]
    needed = told["needed"]
    assert needed[0] < needed[-1]
    assert told["runs"] < 4
