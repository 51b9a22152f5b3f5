from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from services.core.memory_report import Owner
from services.memory.types import COLUMNS
from tests.servers import Server, eventually


@pytest.fixture
def memory(server: Server) -> dict[str, Any]:
    """The answer once a ledger has been taken."""

    def taken() -> bool:
        return bool(server.client.get("/api/memory").raise_for_status().json()["owners"])

    eventually(taken, what="the first ledger")
    return dict(server.client.get("/api/memory").json())


def test_the_owners_add_up(memory: dict[str, Any]) -> None:
    """Every byte of RSS when the ledger was taken is under one owner, the biggest first."""
    owners = memory["owners"]
    assert isinstance(owners, list)
    sizes = [owner["bytes"] for owner in owners]
    assert sum(sizes) == memory["ledger_rss_bytes"]
    assert sizes == sorted(sizes, reverse=True)
    assert {owner["name"] for owner in owners} <= set(Owner)
    assert memory["unattributed_bytes"] == sum(owner["bytes"] for owner in owners if owner["name"] == Owner.UNNAMED)
    assert isinstance(memory["rss_bytes"], int)
    assert memory["rss_bytes"] > 50_000_000


def test_the_verdict_has_its_promised_shape(memory: dict[str, Any]) -> None:
    """Programs that watch the verdict find the fields that are documented, also while it is too early to say."""
    verdict = memory["verdict"]
    assert isinstance(verdict, dict)
    assert verdict["state"] in {"too_little_data", "flat", "watch", "leak"}
    assert set(verdict) >= {"kind", "slope_bytes_per_hour", "interval", "suspects", "evidence", "headline"}
    assert verdict["headline"]
    assert isinstance(verdict["suspects"], list)


def test_an_event_can_be_opened_by_its_number(server: Server) -> None:
    """What a step of the verdict names as its cause can be looked up, and one that is not there is not found."""
    first = server.client.get("/api/memory/events", params={"kind": "start"}).raise_for_status().json()["events"][0]
    assert server.client.get(f"/api/memory/events/{first['id']}").raise_for_status().json() == first
    assert server.client.get("/api/memory/events/999999999").status_code == 404


def test_the_status_says_the_same_as_the_verdict(server: Server) -> None:
    """The command line and the API tell one sentence."""

    def alike() -> bool:
        said = server.client.get("/api/status").raise_for_status().json()["verdict"]
        return bool(said == server.client.get("/api/memory").raise_for_status().json()["verdict"]["headline"])

    eventually(alike, what="one sentence")


def test_the_history_as_columns(server: Server) -> None:
    """The columns asked for come back as long as the times, no more points than asked for, unknown values as null."""
    eventually(lambda: len(_history(server, columns="rss")["times"]) >= 2, what="two samples")
    found = _history(server, columns="rss, gpu_used", points=2, extremes=True)
    assert set(found["columns"]) == set(found["minima"]) == {"rss", "gpu_used"}
    assert 1 <= len(found["times"]) <= 2
    assert len(found["columns"]["rss"]) == len(found["times"]) == len(found["runs"])
    assert all(
        low <= mean <= high
        for low, mean, high in zip(found["minima"]["rss"], found["columns"]["rss"], found["maxima"]["rss"], strict=True)
    )
    assert set(_history(server)["columns"]) == set(COLUMNS)


def test_the_history_as_csv(server: Server) -> None:
    """A spreadsheet gets one row per point under a heading, as a file if it wants one."""
    eventually(lambda: _history(server, columns="rss")["times"], what="a sample")
    answer = server.client.get("/api/memory/history", params={"format": "csv", "columns": "rss", "download": True})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.headers["content-type"].startswith("text/csv")
    assert "millpond-memory.csv" in answer.headers["content-disposition"]
    assert float(rows[-1]["rss"]) > 50_000_000
    assert set(rows[0]) == {"moment", "time", "run", "rss"}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("range=2y", 422),
        ("points=2001", 422),
        ("points=0", 422),
        ("format=xml", 422),
        ("columns=rss,secret", 400),
        ("start=10&end=5", 400),
        ("start=nan", 422),
        ("end=-5", 422),
    ],
)
def test_bad_questions_are_explained(server: Server, query: str, status: int) -> None:
    """What the history cannot answer is refused with a problem document, not answered with something else."""
    answer = server.client.get(f"/api/memory/history?{query}")
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]


def test_a_stretch_before_all_history_is_empty(server: Server) -> None:
    """Where nothing was recorded there are no points, and no error."""
    assert _history(server, start=1000.0, end=2000.0)["times"] == []


def test_events_can_be_filtered(server: Server) -> None:
    """The start is on the time line; asking for kinds leaves out the others."""
    events = server.client.get("/api/memory/events", params={"kind": "start"}).raise_for_status().json()["events"]
    assert {event["kind"] for event in events} == {"start"}
    assert server.client.get("/api/memory/events?kind=party").status_code == 422


def test_trimming_says_what_it_brought(server: Server) -> None:
    """A trim reports RSS before and after, and is on the time line."""
    found = server.client.post("/api/memory/trim").raise_for_status().json()
    assert found["freed_bytes"] == max(0, found["rss_before_bytes"] - found["rss_after_bytes"])
    assert found["words"]
    events = server.client.get("/api/memory/events", params={"kind": "trim", "range": "5m"}).json()["events"]
    assert events


def _history(server: Server, **query: object) -> dict[str, Any]:
    answer = server.client.get("/api/memory/history", params={name: str(value) for name, value in query.items()})
    return dict(answer.raise_for_status().json())
