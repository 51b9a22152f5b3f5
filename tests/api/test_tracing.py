from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.memory.tracing.pprof_reader import read_profile
from tests.servers import Server

API = "/api/tracing"


@pytest.fixture
def off(server: Server) -> Iterator[Server]:
    """The shared server with tracing off and no snapshots, before and after."""

    def clean() -> None:
        server.client.post(f"{API}/stop").raise_for_status()
        for found in server.client.get(f"{API}/snapshots").json()["snapshots"]:
            server.client.delete(f"{API}/snapshots/{found['id']}").raise_for_status()

    clean()
    yield server
    clean()


def check_profiles(client: httpx.Client, info: dict[str, Any]) -> None:
    """Both forms for other programs hold the snapshot's bytes, and are saved under names that these programs know."""
    profile = f"{API}/snapshots/{info['id']}/profile"
    speedscope = client.get(profile, params={"format": "speedscope"}).raise_for_status()
    assert re.search(
        r'filename="millpond-allocations-\w+\.speedscope\.json"', speedscope.headers["content-disposition"]
    )
    (sampled,) = speedscope.json()["profiles"]
    assert sum(sampled["weights"]) == info["bytes"]
    assert max(map(len, sampled["samples"])) == 10
    pprof = client.get(profile, params={"format": "pprof"}).raise_for_status()
    assert pprof.headers["content-disposition"].count(".pb.gz") == 2
    assert sum(sample.value[1] for sample in read_profile(pprof.content).sample) == info["bytes"]


def test_a_stretch_of_tracing(off: Server) -> None:
    """Start, two snapshots around real work, the comparison names our lines, exports carry it, delete, stop."""
    client = off.client
    assert client.get(API).json()["on"] is False
    cost = client.get(f"{API}/cost", params={"frames": 10}).json()
    assert cost["slowdown"] > 1
    assert cost["bytes_per_block"] > 20

    started = client.post(f"{API}/start", json={"frames": 10, "minutes": 5}).json()
    assert (started["on"], started["frames"], started["foreign"]) == (True, 10, False)
    assert 290 < started["remaining"] <= 300
    assert client.post(f"{API}/start", json={}).status_code == 409
    old = client.post(f"{API}/snapshots", json={"name": "before"})
    assert old.status_code == 201, old.text
    document = off.add("traced.txt", b"A mill pond holds water for the wheel. " * 50)
    off.wait_finished(document)
    new = client.post(f"{API}/snapshots").json()
    assert new["blocks"] > 0
    assert 0 < new["paused"] < new["took"]

    params = {"old": old.json()["id"], "new": new["id"], "by": "line", "ours": "true"}
    found = client.get(f"{API}/compare", params=params).raise_for_status().json()
    assert found["same_run"]
    assert found["rows"]
    assert all(row["where"].startswith(("services/", "console/", "pages/")) for row in found["rows"])
    assert any(row["bytes_diff"] > 0 and row["source"] for row in found["rows"])
    ways = client.get(f"{API}/compare", params={**params, "by": "traceback", "limit": 5}).json()
    assert max(len(row["traceback"]) for row in ways["rows"]) > 3

    top = client.get(f"{API}/snapshots/{new['id']}", params={"by": "file", "limit": 3}).json()
    assert len(top["rows"]) == 3
    assert top["old"] is None
    table = client.get(f"{API}/export", params=params)
    assert table.headers["content-disposition"].startswith("attachment")
    assert next(csv.DictReader(io.StringIO(table.text)))["where"] == found["rows"][0]["where"]
    assert client.get(f"{API}/export", params={**params, "format": "json"}).json()["rows"]
    file = client.get(f"{API}/snapshots/{new['id']}/file")
    assert file.content[:2] == b"PK"
    assert len(file.content) == new["size"]
    check_profiles(client, new)

    named = client.patch(f"{API}/snapshots/{new['id']}", json={"name": "after", "note": "one document"}).json()
    assert (named["name"], named["note"]) == ("after", "one document")
    assert client.delete(f"{API}/snapshots/{new['id']}").status_code == 204
    assert client.delete(f"{API}/snapshots/{new['id']}").status_code == 404
    assert client.post(f"{API}/stop").json()["on"] is False
    refused = client.post(f"{API}/snapshots")
    assert refused.status_code == 409
    assert "off" in refused.json()["detail"]
    client.delete(f"/api/documents/{document}")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/start", {"frames": 0}, 422),
        ("POST", "/start", {"frames": 26}, 422),
        ("POST", "/start", {"minutes": 0}, 422),
        ("POST", "/start", {"minutes": 1e9}, 422),
        ("GET", "/cost?frames=99", None, 422),
        ("GET", "/compare?old=a&new=b", None, 404),
        ("GET", "/compare?old=../../etc&new=/etc/passwd", None, 404),
        ("GET", "/compare?new=b", None, 422),
        ("GET", "/export?new=..%2Fmillpond.db", None, 404),
        ("GET", "/export?new=b&format=pickle", None, 422),
        ("GET", "/snapshots/millpond.db/file", None, 404),
        ("GET", "/snapshots/0123456789abcdef/file", None, 404),
        ("GET", "/snapshots/0123456789abcdef/profile?format=pprof", None, 404),
        ("GET", "/snapshots/millpond.db/profile?format=speedscope", None, 404),
        ("GET", "/snapshots/0123456789abcdef/profile?format=pickle", None, 422),
        ("GET", "/snapshots/0123456789abcdef/profile", None, 422),
        ("PATCH", "/snapshots/0123456789abcdef", {"name": "x"}, 404),
        ("PATCH", "/snapshots/0123456789abcdef", {"name": "x" * 81}, 422),
        ("DELETE", "/snapshots/0123456789abcdef", None, 404),
    ],
)
def test_what_does_not_fit_is_explained(off: Server, method: str, path: str, body: object, status: int) -> None:
    """Numbers out of range, unknown ids and paths in place of ids are problems, and nothing is switched on."""
    answer = off.client.request(method, API + path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert off.client.get(API).json()["on"] is False
