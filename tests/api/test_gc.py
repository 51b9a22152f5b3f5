from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from services.core.memory_report import Owner
from tests.servers import Server


@pytest.fixture
def collector(server: Server) -> Iterator[httpx.Client]:
    """A client of a server whose collector is as it was afterwards."""
    yield server.client
    server.client.post("/api/collector/revert")
    server.client.post("/api/collector/unfreeze")


def state(client: httpx.Client) -> dict[str, Any]:
    return dict(client.get("/api/collector").raise_for_status().json())


def test_the_state_has_what_is_promised(collector: httpx.Client) -> None:
    """Programs that watch the collector find this Python's defaults, the counts, and the rules in words."""
    found = state(collector)
    assert len(found["defaults"]) == len(found["counts"]) == len(found["collections"]) == 3
    assert found["settings"]["automatic"] is True
    assert found["tracked"] > 10_000
    assert found["policy"]
    assert {"title", "text"} == set(found["explanations"][0])


def test_a_change_on_trial_and_back(collector: httpx.Client) -> None:
    """A trial would not be in use, could not be ended, or would drop what it was not asked about."""
    before = state(collector)["settings"]
    answer = collector.put("/api/collector", json={"thresholds": [1234, 11, 12], "trial_seconds": 600})
    tried = answer.raise_for_status().json()
    assert tried["settings"] == {**before, "thresholds": [1234, 11, 12]}
    assert tried["trial"]["until"] - tried["trial"]["began"] == pytest.approx(600)
    assert tried["trial"]["before"] == before
    back = collector.post("/api/collector/revert").raise_for_status().json()
    assert (back["settings"], back["trial"]) == (before, None)
    assert back["last_trial"]["verdict"]
    again = collector.post("/api/collector/keep")
    assert again.status_code == 409
    assert "nothing was changed" in again.json()["detail"]


@pytest.mark.parametrize("generation", [0, 2])
def test_collecting_tells_what_it_did(collector: httpx.Client, generation: int) -> None:
    """Pause, objects, RSS and each owner before and after: what every action owes to whoever asked for it."""
    found = collector.post("/api/collector/collect", json={"generation": generation}).raise_for_status().json()
    assert found["seconds"] > 0
    assert found["found"] >= 0
    assert found["uncollectable"] == 0
    assert found["rss_before_bytes"] > 50_000_000
    assert {owner["owner"] for owner in found["owners"]} <= set(Owner)
    assert sum(owner["bytes_after"] for owner in found["owners"]) == pytest.approx(found["rss_after_bytes"], rel=0.2)
    assert collector.get("/api/collector/effects").json()["effects"][0] == found
    events = collector.get("/api/memory/events", params={"kind": "collection", "range": "5m"}).json()["events"]
    assert events[-1]["detail"].startswith("Collect: generation")


def test_freezing_hides_and_shows(collector: httpx.Client) -> None:
    """Objects would not be hidden, or for good."""
    assert collector.post("/api/collector/freeze").raise_for_status().json()["action"] == "freeze"
    assert state(collector)["frozen"] > 10_000
    collector.post("/api/collector/unfreeze").raise_for_status()
    assert state(collector)["frozen"] == 0


def test_pauses_with_who_waited(collector: httpx.Client) -> None:
    """The longest pauses come with the requests that stood still; this test's own is among them."""
    for _time in range(3):
        collector.post("/api/collector/collect").raise_for_status()
    found = collector.get("/api/collector/pauses").raise_for_status().json()
    assert len(found["histogram"]["2"]) == len(found["bounds"]) + 1
    assert found["recent"][0]["time"] <= found["recent"][-1]["time"]
    lengths = [one["pause"]["seconds"] for one in found["longest"]]
    assert lengths == sorted(lengths, reverse=True)
    assert any(one["waiting"].get("API") for one in found["longest"] if one["pause"]["asked"])


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/api/collector", {"thresholds": [1, 10, 10]}, 400),
        ("PUT", "/api/collector", {"thresholds": [700, 10]}, 422),
        ("PUT", "/api/collector", {"thresholds": [700, 10, -1]}, 422),
        ("PUT", "/api/collector", {"trial_seconds": 0}, 422),
        ("PUT", "/api/collector", {"trial_seconds": 1e9}, 422),
        ("POST", "/api/collector/collect", {"generation": 3}, 422),
        ("POST", "/api/reclaim/nothing", None, 404),
    ],
)
def test_nonsense_is_refused(server: Server, method: str, path: str, body: object, status: int) -> None:
    """Values that would bring the process to a standstill would be put to use."""
    before = state(server.client)["settings"]
    answer = server.client.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]
    assert state(server.client)["settings"] == before


def test_giving_memory_back(server: Server) -> None:
    """Each offer says what it would free and what is lost; each can be taken, and says what it did."""
    offers = {offer["name"]: offer for offer in server.client.get("/api/reclaim").raise_for_status().json()["offers"]}
    assert {"heap", "windows", "search_caches", "database", "uploads", "sessions"} <= set(offers)
    assert all(offer["label"] and offer["cost"] for offer in offers.values())
    assert offers["database"]["bytes"] is None
    assert isinstance(offers["search_caches"]["bytes"], int)
    assert "cuda" not in offers or offers["cuda"]["bytes"] is not None
    server.client.get("/api/search", params={"q": "What is new?"})
    for name in ("heap", "windows", "search_caches", "database"):
        done = server.client.post(f"/api/reclaim/{name}").raise_for_status().json()
        assert (done["action"], bool(done["detail"]), len(done["owners"]) > 3) == (name, True, True)
    left = {offer["name"]: offer["bytes"] for offer in server.client.get("/api/reclaim").json()["offers"]}
    assert left["search_caches"] == 0
