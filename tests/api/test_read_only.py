from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.servers import Server, eventually, serving
from tests.siege.connections import stalled_uploads

TOKEN = "let-me-act-please"
ACTS = [
    ("PUT", "/api/collector", {"thresholds": [5000, 10, 10]}),
    ("POST", "/api/collector/keep", None),
    ("POST", "/api/collector/revert", None),
    ("POST", "/api/collector/freeze", None),
    ("POST", "/api/collector/unfreeze", None),
    ("POST", "/api/collector/collect", {"generation": 0}),
    ("POST", "/api/reclaim/heap", None),
    ("POST", "/api/memory/trim", None),
    ("POST", "/api/tracing/start", {"frames": 1, "minutes": 1}),
    ("POST", "/api/tracing/stop", None),
    ("POST", "/api/tracing/snapshots", None),
    ("DELETE", "/api/tracing/snapshots/x", None),
    ("POST", "/api/objects/repeats", {"action": "collect", "times": 4}),
    ("POST", "/api/objects/repeats/mark", None),
    ("DELETE", "/api/objects/repeats", None),
    ("POST", "/api/restart", None),
]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose visitors may only look."""
    folder = tmp_path_factory.mktemp("guarded") / "data"
    with serving(folder, visitors="user", admin_token=TOKEN) as server:
        yield server


def state(server: Server) -> dict[str, Any]:
    return dict(server.client.get("/api/collector").raise_for_status().json())


@pytest.mark.parametrize(("method", "path", "body"), ACTS)
def test_who_may_only_look_cannot_act(guarded: Server, method: str, path: str, body: object) -> None:
    """An acting route would not ask who calls it."""
    answer = guarded.client.request(method, path, json=body)
    assert answer.status_code == 403, answer.text
    problem = answer.json()
    assert problem["type"] == "urn:millpond:problem:forbidden"
    assert "administrator" in problem["detail"]
    assert problem["hint"]


def test_nothing_was_changed_and_refusals_are_on_the_time_line(guarded: Server) -> None:
    """A refused action would have its effect all the same, or leave no trace."""
    guarded.client.put("/api/collector", json={"thresholds": [5000, 10, 10]})
    found = state(guarded)
    assert found["settings"]["thresholds"] == found["defaults"]
    assert (found["frozen"], found["trial"]) == (0, None)
    events = guarded.client.get("/api/memory/events", params={"kind": "access"}).json()["events"]
    assert any(event["detail"].startswith("refused: ") and "collector" in event["detail"] for event in events)
    assert {event["actor"] for event in events} == {"api"}


def test_they_may_look_and_ask(guarded: Server) -> None:
    """Whoever may only look would see nothing, or could not use the documents any more."""
    for path in ("/api/collector", "/api/collector/pauses", "/api/reclaim", "/api/memory", "/api/tracing"):
        assert guarded.client.get(path).status_code in {200, 503}, path
    added = guarded.client.post("/api/documents", files={"file": ("a.txt", b"Seals are inspected every year.")})
    assert added.status_code == 202


def test_the_token_lets_act(guarded: Server) -> None:
    """The administrator could not act over the API."""
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    done = guarded.client.post("/api/collector/collect", json={"generation": 0}, headers=bearer).raise_for_status()
    assert done.json()["actor"] == "administrator"
    trimmed = guarded.client.post("/api/memory/trim", headers=bearer)
    assert trimmed.status_code == 200


def test_nobody_else_cancels_a_request(guarded: Server) -> None:
    """Whoever calls himself by another's address could end that one's work."""
    (upload,) = stalled_uploads(guarded, 1)  # from 127.0.0.2
    bearer = {"Authorization": f"Bearer {TOKEN}"}

    def running() -> list[str]:
        listed = guarded.client.get("/api/requests", headers=bearer).raise_for_status().json()["running"]
        return [str(one["id"]) for one in listed if one["kind"] == "upload"]

    with upload:
        eventually(running, what="the upload")
        address = f"/api/requests/{running()[0]}"
        claims = {"X-Forwarded-For": "127.0.0.2", "X-Real-IP": "127.0.0.2", "Forwarded": "for=127.0.0.2"}
        assert guarded.client.delete(address, headers=claims).status_code == 403
        assert running()
        with httpx.Client(base_url=guarded.url, transport=httpx.HTTPTransport(local_address="127.0.0.2")) as same:
            assert same.delete(address).status_code == 202
        eventually(lambda: not running(), what="its end")


def test_wrong_tokens_are_slowed_down_and_lock_nobody_out(guarded: Server) -> None:
    """A wrong token would do what none does, could be tried as often as one likes, or would lock out who is right.

    Another address in every request changes nothing: nobody has said that this machine is a proxy.
    """
    began = time.monotonic()
    for number in range(7):
        guess = {"Authorization": f"Bearer guess{number}", "X-Forwarded-For": f"198.51.100.{number}"}
        assert guarded.client.post("/api/collector/collect", headers=guess).status_code == 403
    assert time.monotonic() - began >= 1.5  # 0.5 s for the sixth, 1 s for the seventh
    began = time.monotonic()
    done = guarded.client.post(
        "/api/collector/collect", json={"generation": 0}, headers={"Authorization": f"Bearer {TOKEN}"}
    )
    assert done.status_code == 200
    assert time.monotonic() - began < 1.5
    assert guarded.client.get("/api/collector").status_code == 200
