"""Data folders of released versions open: each was written by that version's own server and is kept as it was."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Server, serving

RELEASED = Path(__file__).resolve().parents[1] / "fixtures"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of today over what 0.1.0 left: three documents, an answered question, kept thresholds."""
    folder = tmp_path_factory.mktemp("released") / "data"
    with tarfile.open(RELEASED / "data-0.1.0.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    with serving(folder, budget="off") as server:
        yield server


def test_documents_are_there_and_found(opened: Server) -> None:
    """Fails if rows, vectors or terms of 0.1.0 are not read: each document is found by a question for it."""
    listed = opened.client.get("/api/documents").raise_for_status().json()["documents"]
    assert {(each["name"], each["status"], each["searchable"]) for each in listed} == {
        ("mill.md", "ready", True),
        ("水车.txt", "ready", True),
        ("parts.csv", "ready", True),
    }
    for question, name in (
        ("How often is the sluice gate inspected?", "mill.md"),
        ("水车的保修期是多久？", "水车.txt"),
        ("quantity of bolt", "parts.csv"),
        # By terms that 0.1.0 did not make: those of the other Chinese style.
        ("水車的保修期", "水车.txt"),
    ):
        found = opened.client.post("/api/search", json={"query": question, "k": 1}).raise_for_status().json()
        assert found["hits"][0]["document"] == name


def test_originals_are_there(opened: Server) -> None:
    """Fails if the file store looks elsewhere: the original comes back byte by byte."""
    listed = opened.client.get("/api/documents").json()["documents"]
    csv = next(each["id"] for each in listed if each["name"] == "parts.csv")
    assert opened.client.get(f"/api/documents/{csv}/original").content == b"name,quantity\nseal,12\nbolt,400\n"


def test_conversations_and_settings_are_kept(opened: Server) -> None:
    """Fails if messages, citations or preferences of 0.1.0 are lost."""
    [conversation] = opened.client.get("/api/conversations").raise_for_status().json()["conversations"]
    read = opened.client.get(f"/api/conversations/{conversation['id']}/messages").raise_for_status().json()
    question, answer = read["messages"]
    assert (question["role"], answer["role"]) == ("user", "assistant")
    assert "fourteen weeks" in answer["text"]
    assert answer["citations"]
    assert opened.client.get("/api/collector").json()["kept"]["thresholds"] == [900, 11, 12]
    names = {each["name"] for each in opened.client.get("/api/collections").json()["collections"]}
    assert {"General", "Kept"} <= names


def test_nothing_is_worked_on_anew(opened: Server) -> None:
    """Fails if the model's fingerprint or the chunks' format is taken for another: no job is queued by the upgrade."""
    jobs = opened.client.get("/api/jobs").raise_for_status().json()["jobs"]
    assert len(jobs) == 3
    assert {job["status"] for job in jobs} == {"ready"}


def test_the_history_goes_on(opened: Server) -> None:
    """Fails if the time line is begun anew: the old process's start stands on it, before this one's."""
    began = opened.client.get("/api/status").json()["started_at"]
    events = opened.client.get("/api/memory/events", params={"start": 0}).raise_for_status().json()["events"]
    assert any(each["time"] < began and each["kind"] == "start" for each in events)
