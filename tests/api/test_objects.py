from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from tests.servers import Server, eventually


@pytest.fixture(scope="module")
def looks(server: Server) -> list[dict[str, Any]]:
    """Two censuses, the first one kept as a baseline."""
    bodies = ({"label": "before", "baseline": True}, None)
    answers = [server.client.post("/api/objects/census", json=body) for body in bodies]
    assert [answer.status_code for answer in answers] == [201, 201]
    return [answer.json() for answer in answers]


def test_a_census_counts_and_says_what_it_cost(server: Server, looks: list[dict[str, Any]]) -> None:
    """Figures of nothing, or a look that stops the server for long, would show here."""
    assert looks[0]["snapshot"]["label"] == "before"
    assert looks[0]["objects"] > looks[0]["tracked"] > 50_000
    assert 0 < looks[0]["paused"] < 1
    newest = server.client.get("/api/objects/census").json()
    assert newest["snapshot"]["name"] == looks[1]["snapshot"]["name"]
    assert newest["containers"][0]["length"] > 1000
    assert any(entry["name"] == "sys.modules" for entry in newest["containers"])
    kept = {entry["name"]: entry["kept"] for entry in newest["snapshots"]}
    assert kept[looks[0]["snapshot"]["name"]] is True


def test_types_are_listed_and_compared_as_json_and_csv(server: Server, looks: list[dict[str, Any]]) -> None:
    """Deltas are what the page and scripts look for; both forms must say the same."""
    first = looks[0]["snapshot"]["name"]
    plain = server.client.get("/api/objects/types").json()
    assert {"str", "dict", "services.app.startup.Application"} <= {row["type"] for row in plain["types"]}
    assert [row["bytes"] for row in plain["types"]] == sorted((row["bytes"] for row in plain["types"]), reverse=True)
    compared = server.client.get("/api/objects/types", params={"since": first}).json()
    row = next(row for row in compared["types"] if row["type"] == "dict")
    assert row["survived_count"] + row["new_count"] == row["count"]
    assert row["delta_count"] == row["new_count"] - row["gone_count"]
    answer = server.client.get("/api/objects/types", params={"since": first, "format": "csv"})
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    # What the watching itself holds is one line, and none of the others.
    assert len(rows) == len(compared["types"]) + 1
    assert rows[-1]["type"] == "Watching"
    assert int(rows[-1]["bytes"]) == compared["watching"]["bytes"] > 100_000
    assert "services.memory.objects.types.TypeCount" not in {row["type"] for row in rows}
    containers = server.client.get("/api/objects/containers", params={"format": "csv"}).text
    assert containers.startswith("address,type,length,name")


def test_an_object_and_the_path_to_it(server: Server, looks: list[dict[str, Any]]) -> None:
    """The one application is held by the shell; its address leads to the path, another type at it leads nowhere."""
    found = server.client.get("/api/objects/objects", params={"type": "services.app.startup.Application"}).json()
    assert found["total"] == 1
    assert found["objects"][0]["age"] == 2
    address = found["objects"][0]["address"]
    query = {"type": "services.app.startup.Application"}
    path = server.client.get(f"/api/objects/paths/{address}", params=query).json()
    assert path["identity"] == "unchecked"
    query["evidence"] = found["objects"][0]["evidence"]
    path = server.client.get(f"/api/objects/paths/{address}", params=query).json()
    assert path["identity"] == "same"
    assert path["root"] == "module"
    retained = path["retained"]
    assert retained["bytes"] >= path["found"]["bytes"] > 0
    assert retained["objects"] >= 1
    assert retained["complete"] in {True, False}
    assert path["path"][-1]["name"] == "services.app.startup.Application"
    assert path["found"]["name"].startswith("console.")
    gone = server.client.get(f"/api/objects/paths/{address}", params={"type": "services.core.settings.Settings"})
    assert gone.status_code == 404
    assert gone.json()["type"].endswith("not-found")


def test_secrets_in_the_process_are_not_served(server: Server) -> None:
    """The settings hold keys; looking at them must not be a way to read them."""
    text = server.client.get("/api/objects/objects", params={"type": "pydantic.types.SecretStr"}).text
    assert "••••••" in text


def test_repeating_a_search_reports_what_it_leaves(server: Server) -> None:
    """Real work through the real services: the series must come to an end with figures for every repetition."""
    begun = server.client.post("/api/objects/repeats", json={"action": "search", "times": 4})
    assert begun.status_code == 202
    assert server.client.post("/api/objects/repeats", json={"action": "collect", "times": 4}).status_code == 409

    def ended() -> bool:
        return server.client.get("/api/objects/repeats").json()["progress"] is None

    eventually(ended, seconds=180, what="the end of the series")
    found = server.client.get("/api/objects/repeats").json()
    assert set(found["actions"]) >= {"search", "answer", "document", "collect"}
    report = found["reports"][0]
    assert (report["state"], report["done"], len(report["blocks"])) == ("done", 4, 5)


def test_pymplers_sizes_and_summary(server: Server) -> None:
    """Requirement A8 names pympler at an HTTP endpoint."""
    owners = server.client.get("/api/objects/sizes").json()
    assert owners["expected_seconds"] > 0
    assert "conversations" in owners["owners"]
    size = server.client.get("/api/objects/sizes/events").json()
    assert size["bytes"] > 100
    summary = server.client.get("/api/objects/summary", timeout=180).json()["summary"]
    assert {"str", "dict"} <= {row["type"] for row in summary}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/objects/types?snapshot=../../millpond", None, 404),
        ("GET", "/api/objects/types?since=nothing", None, 404),
        ("GET", "/api/objects/paths/0?type=dict", None, 404),
        ("GET", "/api/objects/paths/99999999999999999999999?type=dict", None, 404),
        ("GET", "/api/objects/paths/here?type=dict", None, 422),
        ("GET", "/api/objects/objects", None, 422),
        ("GET", "/api/objects/sizes/nothing", None, 404),
        ("POST", "/api/objects/repeats", {"action": "nothing", "times": 5}, 404),
        ("POST", "/api/objects/repeats", {"action": "search", "times": 1}, 422),
        ("POST", "/api/objects/repeats/mark", None, 409),
        ("POST", "/api/objects/census", {"label": "x" * 100}, 422),
        ("DELETE", "/api/objects/census/nothing", None, 404),
    ],
)
def test_wrong_requests_are_problems(
    server: Server, looks: list[dict[str, Any]], method: str, path: str, body: object, status: int
) -> None:
    """Names and numbers from outside must neither reach the disk nor end in a traceback."""
    answer = server.client.request(method, path, json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
