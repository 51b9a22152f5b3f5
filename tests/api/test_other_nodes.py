"""Two real nodes, of which one is asked for the memory and the restart of the other: by each role, over TLS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import pytest

from services.operations.restarts import EXIT_CODE
from tests.certificates import make_pair
from tests.servers import STOP_SECONDS, Server, eventually
from tests.shared_pond import shared_pond
from tests.team import PASSWORD, Team, join_people

LIMIT_MB = 3333


@dataclass
class Pair:
    """The team at node one; node two has TLS, its own limit, and is started again by a service manager."""

    team: Team
    start_two: Callable[[], Server]
    two: Server
    number: int

    def asked(self, path: str, name: str = "ole", **parameters: str) -> httpx.Response:
        """What node one answers about node two."""
        with self.team.browser(name) as browser:
            return browser.get(f"/api/nodes/{self.number}/{path}", params=parameters)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pond")
    certificate, key = make_pair(name="pond.example").write(folder / "tls")
    apart = {"tls_cert": certificate, "tls_key": key, "memory_limit_mb": LIMIT_MB}
    with shared_pond(folder) as pond:
        one = pond.node("one")
        start_two = partial(pond.node, "two", restarted_by="service", drain_seconds=5, **apart)
        two = start_two()
        made = one.client.post("/api/people", json={"name": "ada", "password": PASSWORD, "role": "admin"})
        team = join_people(one, made.raise_for_status().json()["id"])
        eventually(lambda: two.client.get("/api/nodes").status_code == 401, what="the closed door of the other node")
        yield Pair(team, start_two, two, numbers(team)["two"])


def numbers(team: Team) -> dict[str, int]:
    with team.browser("ole") as browser:
        listed = browser.get("/api/nodes").raise_for_status().json()["nodes"]
    return {each["name"]: each["number"] for each in listed}


def test_the_memory_of_another_node_is_its_own(pair: Pair) -> None:
    """An operator would look for a leak in the wrong process."""
    with pair.team.browser("ole") as browser:
        own = browser.get("/api/memory").raise_for_status().json()
    eventually(lambda: pair.asked("memory").json().get("owners"), what="the first ledger of node two")
    other = pair.asked("memory").raise_for_status().json()
    assert other["limit_bytes"] == LIMIT_MB * 1024 * 1024 != own["limit_bytes"]
    assert other["rss_bytes"] > 50_000_000
    assert other["verdict"]["state"] == "too_little_data"
    assert set(own) == set(other)


def test_the_other_views_take_their_parameters(pair: Pair) -> None:
    """A chart over a day would show the last hour, or a list all kinds of events."""
    history = pair.asked("memory/history", columns="rss", range="5m", extremes="true").raise_for_status().json()
    assert set(history["columns"]) == set(history["maxima"]) == {"rss"}
    assert history["end"] - history["start"] == pytest.approx(300, abs=5)
    events = pair.asked("memory/events", kind="node").raise_for_status().json()["events"]
    assert {event["kind"] for event in events} <= {"node"}
    assert pair.asked("memory/history", columns="nonsense").status_code == 400
    assert pair.asked("budget").raise_for_status().json()["limit_bytes"] == LIMIT_MB * 1024 * 1024
    assert len(pair.asked("collector").raise_for_status().json()["settings"]["thresholds"]) == 3


def test_it_speaks_the_readers_language(pair: Pair) -> None:
    """Whoever reads Chinese at one node would get the verdict of the other one in English."""
    with pair.team.browser("ole", **{"Accept-Language": "zh-CN"}) as browser:
        told = browser.get(f"/api/nodes/{pair.number}/memory").raise_for_status().json()
        assert told["verdict"]["headline"] != pair.asked("memory").json()["verdict"]["headline"]
        assert any("\u4e00" <= letter <= "\u9fff" for letter in told["verdict"]["headline"])


@pytest.mark.parametrize(
    ("name", "status"), [("ada", 200), ("ole", 200), ("aud", 403), ("uma", 403), ("", 401)], ids=str
)
def test_who_may_not_see_memory_does_not_see_another_node(pair: Pair, name: str, status: int) -> None:
    """By way of another node everybody could see what only operators may."""
    assert pair.asked("memory", name).status_code == status
    with pair.team.browser(name) as browser:
        if status != 200:
            assert browser.post(f"/api/nodes/{pair.number}/restart").status_code == status
    if name:
        with pair.team.program(name, "read") as program:
            assert program.get(f"/api/nodes/{pair.number}/memory").status_code == 403


def test_nothing_else_is_taken_from_who_comes_as_a_node(pair: Pair) -> None:
    """Where only the front and the nodes may come past it, a wrong token beside a cookie would be a way in."""
    for scheme in ("Millpond-Node", "millpond-node"):
        with pair.team.browser("ada", Authorization=f"{scheme} e30.00") as browser:
            for path in ("/api/memory", "/api/people"):
                refused = browser.get(path)
                assert refused.status_code == 401, path
                assert "not signed" in refused.json()["detail"]
            for path in ("/metrics", "/", "/_stcore/host-config"):
                assert browser.get(path).status_code == 404, path


def test_a_node_is_not_asked_for_itself(pair: Pair) -> None:
    """A number that is wrong would be answered with the memory of this node."""
    with pair.team.browser("ole") as browser:
        assert browser.get(f"/api/nodes/{numbers(pair.team)['one']}/memory").status_code == 409
        assert browser.get("/api/nodes/999/memory").status_code == 404
        refused = browser.post("/api/nodes/999/restart")
        assert refused.status_code == 404
        assert refused.headers["content-type"] == "application/problem+json"


def test_a_node_that_nobody_starts_again_refuses_its_restart(pair: Pair) -> None:
    """It would be gone until somebody comes to its machine. It is node two that asks here: over plain HTTP."""
    with pair.team.program("ole", "operate") as program:
        token = {"Authorization": program.headers["authorization"]}
    address = f"{pair.two.url}/api/nodes/{numbers(pair.team)['one']}/restart"
    refused = httpx.post(address, headers=token, verify=pair.two.trusted or True, trust_env=False)
    assert refused.status_code == 409, refused.text
    assert "not stopped" in refused.json()["detail"]


def test_a_node_is_drained_and_resumed_from_another_one(pair: Pair) -> None:
    """A machine could not be serviced without somebody at it, and nobody could tell who took the node out."""

    def listed() -> dict[str, Any]:
        found = browser.get("/api/nodes").raise_for_status().json()["nodes"]
        return next(each for each in found if each["number"] == pair.number)

    with pair.team.browser("ole") as browser, pair.team.browser("ada") as admin:
        assert browser.post(f"/api/nodes/{pair.number}/drain").raise_for_status().json() == {"drained": True}
        answer = pair.two.client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "draining")
        eventually(lambda: listed()["state"] == "draining" and listed()["drained"], what="the state in the list")
        last = browser.post(f"/api/nodes/{numbers(pair.team)['one']}/drain")
        assert last.status_code == 409
        assert "No other node is ready" in last.json()["detail"]
        assert browser.delete(f"/api/nodes/{pair.number}/drain").raise_for_status().json() == {"drained": False}
        assert pair.two.client.get("/readyz").status_code == 200
        eventually(lambda: listed()["state"] == "ready" and not listed()["drained"], what="ready in the list")
        for action in ("node_drained", "node_resumed"):
            found = admin.get("/api/audit", params={"action": action}).raise_for_status().json()["records"]
            assert [(each["actor"], each["way"], each["target_id"]) for each in found] == [("ole", "node", "two")]


def test_a_node_is_restarted_from_another_one(pair: Pair) -> None:
    """Somebody has to reach each machine for it, and the audit log would not say who it was."""
    with pair.team.browser("ole") as browser:
        accepted = browser.post(f"/api/nodes/{pair.number}/restart", json={"reason": "more memory"})
        assert accepted.status_code == 202, accepted.text
        assert accepted.json()["reason"] == "more memory"
    assert pair.two.process.wait(STOP_SECONDS) == EXIT_CODE
    with pair.team.browser("ada") as browser:
        found = browser.get("/api/audit", params={"action": "restart_requested"}).raise_for_status().json()["records"]
        assert [(each["actor"], each["way"], each["detail"]) for each in found] == [("ole", "node", "more memory")]
        # Until it has signed off, or was taken over, it cannot be reached.
        path = f"/api/nodes/{pair.number}/memory"
        eventually(lambda: browser.get(path).status_code == 409, what="the end of the node")
        assert "has ended" in browser.get(path).json()["detail"]
    pair.two = pair.start_two()
    assert pair.asked("memory").status_code == 200
