"""A data folder of the version before migrations, opened by a real server of today: everything is there, and found.

It was written by that version's own server, except for what is derived (index, memory history, checksums): documents in
English and Chinese, a mail with a file, an import, two conversations, settings, and a document that was deleted.
"""

from __future__ import annotations

import sqlite3
import stat
import tarfile
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from services.core.schema_version import HEAD, REVISIONS
from tests.servers import ROOT, Server, serving

NAMES = {"weir.md", "磨坊.txt", "tolls.csv", "Offer.eml", "Offer.eml › ropes.txt", "handbook.pdf"}
COPY = f"millpond.db.before-{REVISIONS[0]}"


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of today over the folder."""
    folder = tmp_path_factory.mktemp("upgraded") / "data"
    with tarfile.open(ROOT / "tests" / "fixtures" / "data-before-migrations.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    with serving(folder, budget="off") as server:
        yield server


def read(server: Server, path: str, **query: object) -> Any:
    return server.client.get(path, params=query).raise_for_status().json()


def test_documents_are_there_and_found(upgraded: Server) -> None:
    """Fails if rows, vectors or terms are lost: each document is found by a question for it, in its language."""
    listed = {each["name"]: each for each in read(upgraded, "/api/documents")["documents"]}
    assert listed.keys() == NAMES
    assert {each["status"] for each in listed.values()} == {"ready"}
    assert listed["tolls.csv"]["enabled"] is False
    for question, name in (
        ("How often is the weir cleared of driftwood?", "weir.md"),
        ("磨坊的石磨多久重新凿纹？", "磨坊.txt"),
        ("hemp rope crowns", "Offer.eml › ropes.txt"),
        ("Who greases the pit wheel?", "handbook.pdf"),
    ):
        answer = upgraded.client.post("/api/search", json={"query": question, "k": 1}).raise_for_status()
        assert answer.json()["hits"][0]["document"] == name
    content = upgraded.client.get(f"/api/documents/{listed['tolls.csv']['id']}/original").content
    assert content == b"boat,toll\npunt,3\nbarge,45\n"


def test_conversations_and_settings_are_kept(upgraded: Server) -> None:
    """Fails if messages, citations or what somebody has set are lost."""
    talks = {each["title"]: each for each in read(upgraded, "/api/conversations")["conversations"]}
    assert talks["Ropes"]["history_turns"] == 2
    other = next(each["id"] for title, each in talks.items() if title != "Ropes")
    messages = read(upgraded, f"/api/conversations/{other}/messages")["messages"]
    assert [each["role"] for each in messages] == ["user", "assistant"] * 2
    assert "nineteen days" in messages[1]["text"]
    assert "每十一天" in messages[3]["text"]
    assert [each["citations"][0]["document"] for each in messages[1::2]] == ["weir.md", "磨坊.txt"]
    assert read(upgraded, "/api/collector")["kept"]["thresholds"] == [850, 12, 13]


def test_what_was_deleted_stays_so(upgraded: Server) -> None:
    """Fails if an upgrade brings back what somebody has deleted."""
    found = upgraded.client.post("/api/search", json={"query": "zanzibarine carp", "k": 5}).raise_for_status().json()
    assert "gone.txt" not in {each["document"] for each in found["hits"]}
    assert not any(b"zanzibarine" in path.read_bytes() for path in upgraded.data_dir.rglob("*") if path.is_file())


def test_the_upgrade_is_said_and_the_copy_named(upgraded: Server) -> None:
    """Fails if nobody learns that there is a copy which has what is deleted from now on, and until when."""
    said = [each["detail"] for each in read(upgraded, "/api/memory/events")["events"] if each["kind"] == "upgrade"]
    assert len(said) == 1
    done, kept = said[0].split("; ")
    assert done == f"database brought from a schema before there were revisions to the schema {HEAD}"
    assert kept.startswith(f"the copy from before it, {COPY}, is kept until 20")
    assert read(upgraded, "/api/deletions")["erasure"]["upgrade_copies"] == [COPY]
    copy = upgraded.data_dir / COPY
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with closing(sqlite3.connect(f"file:{copy}?mode=ro", uri=True)) as connection:
        assert {name for (name,) in connection.execute("SELECT name FROM documents")} == NAMES
        assert not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'alembic_version'").fetchall()


def test_the_next_start_upgrades_nothing(upgraded: Server) -> None:
    """Fails if the folder is upgraded at each start; and the copy goes when its time is up. The last test here."""
    assert upgraded.stop() == 0
    with serving(upgraded.data_dir, budget="off", upgrade_copy_days=0) as server:
        said = [each["detail"] for each in read(server, "/api/memory/events")["events"] if each["kind"] == "upgrade"]
        assert said[1:] == [f"copy from before an upgrade removed: {COPY}"]
        assert read(server, "/api/deletions")["erasure"]["upgrade_copies"] == []
        assert not (server.data_dir / COPY).exists()
