"""The memory budget and planned restarts as programs see them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Server, serving

TOKEN = "a token for this test"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server where visitors may only look."""
    with serving(
        tmp_path_factory.mktemp("guarded") / "data", visitors="user", admin_token=TOKEN, memory_limit_mb=4000
    ) as server:
        yield server


def budget(server: Server) -> dict[str, Any]:
    """Return the budget's state."""
    return dict(server.client.get("/api/budget").raise_for_status().json())


def test_the_state_is_whole(guarded: Server) -> None:
    """Watermarks rise below the limit, steps come in the order of their levels, and each says how it stands."""
    found = budget(guarded)
    assert found["level"] == "calm"
    assert found["limit_source"] == "configured"
    assert found["limit_bytes"] == 4000 * 2**20
    marks = [mark["reached_bytes"] for mark in found["watermarks"]]
    assert marks == sorted(marks)
    assert all(0 < mark["left_bytes"] < mark["reached_bytes"] < found["limit_bytes"] for mark in found["watermarks"])
    ranks = [["soft", "high", "hard"].index(step["level"]) for step in found["steps"]]
    assert ranks == sorted(ranks)
    assert len(ranks) >= 5
    assert found["doors"] == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/api/budget", {"dry_run": True}),
        ("PUT", "/api/budget", {"paused": True}),
        ("POST", "/api/budget/steps/collect", {}),
        ("POST", "/api/budget/steps/refuse", {"undo": True}),
        ("POST", "/api/budget/undo", {}),
        ("POST", "/api/restart", {}),
    ],
)
def test_who_may_only_look_changes_nothing(guarded: Server, method: str, path: str, body: dict[str, Any]) -> None:
    """Every call that acts is refused without the token, and the budget stays as it was."""
    before = budget(guarded)
    answer = guarded.client.request(method, path, json=body)
    assert answer.status_code == 403, answer.text
    after = budget(guarded)
    for name in ("dry_run", "paused", "doors"):
        assert after[name] == before[name]
    assert after["restart"]["phase"] == "running"


def test_the_switches(guarded: Server) -> None:
    """Dry run and pause are switched each for itself, and both are in the journal with who it was."""
    client = guarded.client
    changed = client.put("/api/budget", json={"dry_run": True}, headers=ADMIN).raise_for_status().json()
    assert (changed["dry_run"], changed["paused"]) == (True, False)
    changed = client.put("/api/budget", json={"dry_run": False, "paused": True}, headers=ADMIN).json()
    assert (changed["dry_run"], changed["paused"]) == (False, True)
    client.put("/api/budget", json={"paused": False}, headers=ADMIN).raise_for_status()
    found = budget(guarded)
    assert not found["paused"]
    told = [decision for decision in found["decisions"] if decision["kind"] == "mode"]
    assert len(told) >= 4
    assert all(decision["actor"] == "administrator" for decision in told)


def test_a_step_by_hand_closes_doors_until_it_is_undone(guarded: Server) -> None:
    """Taken by hand, the refusing step makes uploads answer 503: a person has closed them, not memory; undone, they are
    taken in again."""
    client = guarded.client
    taken = client.post("/api/budget/steps/refuse", headers=ADMIN).raise_for_status().json()
    assert (taken["kind"], taken["actor"]) == ("taken", "administrator")
    try:
        found = budget(guarded)
        assert {door["door"] for door in found["doors"]} == {"uploads", "long_questions"}
        step = next(step for step in found["steps"] if step["name"] == "refuse")
        assert step["active"]
        refused = client.post("/api/documents", files={"file": ("note.txt", b"some text")})
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.json()["detail"] == found["doors"][0]["reason"]
        assert refused.json()["detail"].startswith("An administrator has stopped new files since 20")
        assert "memory is not the reason" in refused.json()["detail"]
        door = found["doors"][0]
        assert (door["by"], door["person"]) == ("person", "an administrator")
        assert door["since"] >= taken["time"] - 1
        assert 'millpond_door_closed_by{by="person",door="uploads"} 1.0' in client.get("/metrics").text
        events = client.get("/api/memory/events", params={"kind": "budget"}).json()["events"]
        assert events[-1]["actor"] == "administrator"
        assert "at the request of an administrator" in events[-1]["detail"]
        again = client.post("/api/budget/steps/refuse", headers=ADMIN)
        assert again.status_code == 409
    finally:
        undone = client.post("/api/budget/undo", headers=ADMIN).raise_for_status().json()
    assert [decision["step"] for decision in undone] == ["refuse"]
    assert budget(guarded)["doors"] == []
    guarded.add("note.txt", b"some text")


def test_an_effect_is_measured(guarded: Server) -> None:
    """A collection by hand tells RSS before and after."""
    taken = guarded.client.post("/api/budget/steps/collect", headers=ADMIN).raise_for_status().json()
    assert taken["rss_before"] > 50_000_000
    assert taken["rss_after"] > 50_000_000
    assert taken["outcome"]


def test_unknown_steps_and_fields_are_refused(guarded: Server) -> None:
    """A misspelt name does nothing instead of something else."""
    assert guarded.client.post("/api/budget/steps/tidy", headers=ADMIN).status_code == 404
    assert guarded.client.put("/api/budget", json={"dryrun": True}, headers=ADMIN).status_code == 422


def test_no_restart_where_nobody_would_start_it_again(guarded: Server) -> None:
    """A restart that would only be an end is refused, and said so."""
    answer = guarded.client.post("/api/restart", headers=ADMIN)
    assert answer.status_code == 409
    assert "Nothing would start Millpond again" in answer.json()["detail"]
    assert budget(guarded)["restart"]["successor"] == ""
    assert guarded.client.get("/readyz").status_code == 200


def test_a_service_manager_sees_the_drain_and_the_exit_code(tmp_path: Path) -> None:
    """Without a supervisor a restart shows in /readyz while /healthz stays alive. Until whoever asks there has seen it,
    work is taken: refused, it would be lost although another process might do it. It ends with 75."""
    with serving(tmp_path / "data", restarted_by="service", drain_seconds=8) as server:
        asked = server.client.post("/api/restart", json={"reason": "for the test"})
        assert asked.status_code == 202
        ready = server.client.get("/readyz")
        while ready.status_code == 200:
            ready = server.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "draining")
        assert not ready.json()["checks"]["accepting"]["ok"]
        assert server.client.get("/healthz").status_code == 200
        assert server.client.post("/api/documents", files={"file": ("a.txt", b"text")}).status_code == 202
        assert server.process.wait(30) == 75
