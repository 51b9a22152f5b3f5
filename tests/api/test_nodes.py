"""Nodes over HTTP: a process alone, and two that share a database."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.nodes.types import SILENT_SECONDS
from tests.servers import Server, eventually, serving
from tests.shared_pond import SharedPond, nodes_by_name, shared_pond


@dataclass
class Pair:
    """Two nodes; the second one may be killed and started again."""

    pond: SharedPond
    one: Server
    two: Server


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with shared_pond(tmp_path_factory.mktemp("pond")) as pond:
        yield Pair(pond, pond.node("one"), pond.node("two"))


def figures(server: Server) -> dict[tuple[str, str], float]:
    """The metrics of nodes, by name and state."""
    families = text_string_to_metric_families(server.client.get("/metrics").text)
    return {
        (sample.name, sample.labels.get("state", "")): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("millpond_node")
    }


def audited(server: Server, action: str) -> list[str]:
    """The names of the nodes to which that was done."""
    answer = server.client.get("/api/audit", params={"action": action}).raise_for_status().json()
    return [record["target_id"] for record in answer["records"]]


def test_a_process_alone_is_its_only_node(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A script that goes through the nodes would find none and take the service for dead."""
    with serving(tmp_path_factory.mktemp("alone") / "data", node_name="mill", database_url="") as server:
        answer = server.client.get("/api/nodes").raise_for_status().json()
        assert answer["shared"] is False
        (own,) = answer["nodes"]
        assert (own["number"], own["name"], own["own"], own["state"], own["alive"]) == (0, "mill", True, "ready", True)
        assert own["rss_bytes"] > 50_000_000
        assert own["verdict"] == "too_little_data"
        assert own["budget_level"] == "calm"
        for method, path in (("POST", "/api/nodes/0/take-over"), ("DELETE", "/api/nodes/7")):
            refused = server.client.request(method, path)
            assert refused.status_code == 409
            assert "alone" in refused.json()["detail"]
        assert figures(server) == {("millpond_node_info", ""): 1}


def test_each_node_lists_both(pair: Pair) -> None:
    """Whoever asks one node would not learn of the other, or take the wrong one for the one that answers."""
    for asked, name in ((pair.one, "one"), (pair.two, "two")):
        found = nodes_by_name(asked)
        assert set(found) == {"one", "two"}
        assert [each for each in found if found[each]["own"]] == [name]
        assert found[name]["url"] == asked.url
        eventually(
            lambda asked=asked: all(
                each["state"] == "ready" and not each["leases"] for each in nodes_by_name(asked).values()
            ),
            what="both are ready, and what is done once after a start",
        )
        for each in nodes_by_name(asked).values():
            assert each["alive"]
            assert each["silent_seconds"] < SILENT_SECONDS
            assert each["started_at"] == pytest.approx(time.time(), abs=600)
            assert each["rss_bytes"] > 50_000_000
    assert nodes_by_name(pair.one)["two"]["number"] != nodes_by_name(pair.one)["one"]["number"]


def test_metrics_count_the_nodes(pair: Pair) -> None:
    """An alert on nodes that are gone, or on an index that stays behind, would never come."""
    eventually(lambda: figures(pair.one)["millpond_nodes", "ready"] == 2, what="both are counted")
    for server, name in ((pair.one, "one"), (pair.two, "two")):
        assert f'millpond_node_info{{node="{name}"}} 1.0' in server.client.get("/metrics").text
    assert {state for name, state in figures(pair.one) if name == "millpond_nodes"} == {
        "starting",
        "ready",
        "draining",
        "stopped",
        "taken_over",
    }
    pair.two.add("heron.txt", b"The heron of the pond eats eels at the weir.")
    eventually(lambda: figures(pair.one)["millpond_node_lag_changes", ""] == 0, what="everything is followed")


def test_what_cannot_be_done_is_refused(pair: Pair) -> None:
    """A node that works could be forgotten, or this one would shut itself out."""
    found = nodes_by_name(pair.one)
    own, other = found["one"]["number"], found["two"]["number"]
    assert pair.one.client.delete(f"/api/nodes/{other}").status_code == 409
    assert pair.one.client.post(f"/api/nodes/{own}/take-over").status_code == 409
    assert pair.one.client.delete("/api/nodes/999").status_code == 404
    assert pair.one.client.post("/api/nodes/999/take-over").status_code == 404
    assert pair.one.client.delete("/api/nodes/two").status_code == 422
    assert set(nodes_by_name(pair.one)) == {"one", "two"}


def test_a_node_that_works_is_taken_over_and_joins_again(pair: Pair) -> None:
    """A node that hangs in its work but still beats could not be shut out, or would stay out for good."""
    before = nodes_by_name(pair.one)["two"]
    taken = pair.one.client.post(f"/api/nodes/{before['number']}/take-over").raise_for_status().json()
    assert taken["name"] == "two"
    assert taken["epoch"] > before["epoch"]  # it may have joined again already
    assert audited(pair.one, "node_taken_over") == ["two"]

    def again() -> bool:
        found = nodes_by_name(pair.one)["two"]
        return bool(found["alive"]) and found["epoch"] == before["epoch"] + 2

    eventually(again, seconds=15, what="it is a node again")
    pair.two.wait_finished(pair.two.add("eel.txt", b"Eels leave the pond in the autumn."))


def test_a_node_that_hangs_is_taken_over_and_joins_again(pair: Pair) -> None:
    """A machine that slept would wake up and write as if nothing had happened, or never be a node again."""
    before = nodes_by_name(pair.one)
    pair.two.process.send_signal(signal.SIGSTOP)
    try:
        eventually(lambda: not nodes_by_name(pair.one)["two"]["alive"], seconds=10, what="it is taken over")
        longer = 3 * SILENT_SECONDS
        eventually(lambda: nodes_by_name(pair.one)["two"]["silent_seconds"] > longer, what="some time has passed")
        # Whoever takes over has more to do, and may not fall silent itself.
        assert nodes_by_name(pair.one)["one"]["silent_seconds"] < SILENT_SECONDS
    finally:
        pair.two.process.send_signal(signal.SIGCONT)
    eventually(lambda: nodes_by_name(pair.one)["two"]["state"] == "ready", seconds=15, what="it has joined again")
    after = nodes_by_name(pair.one)
    assert after["two"]["epoch"] == before["two"]["epoch"] + 2
    assert after["one"]["epoch"] == before["one"]["epoch"]
    pair.two.wait_finished(pair.two.add("otter.txt", b"Otters live at the weir."))


def test_a_node_that_was_killed_is_taken_over_and_can_be_forgotten(pair: Pair) -> None:
    """A dead node would be listed as working, or for ever."""
    number = nodes_by_name(pair.one)["two"]["number"]
    pair.two.stop(signal.SIGKILL)
    eventually(lambda: nodes_by_name(pair.one)["two"]["state"] == "taken over", seconds=8, what="it is taken over")
    gone = nodes_by_name(pair.one)["two"]
    assert not gone["alive"]
    assert figures(pair.one)["millpond_nodes", "taken_over"] == 1
    assert pair.one.client.post(f"/api/nodes/{number}/take-over").status_code == 409
    assert pair.one.client.delete(f"/api/nodes/{number}").status_code == 204
    assert set(nodes_by_name(pair.one)) == {"one"}
    assert audited(pair.one, "node_forgotten") == ["two"]
