"""Backups of two real nodes over PostgreSQL and S3, while people upload, and a server on what is restored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.backup.test_server_backup import QUESTION, People, counted, documents
from tests.databases import Engine, database_url, engine_in_use
from tests.s3_server import s3_server
from tests.servers import Server, eventually, run, serving
from tests.shared_pond import shared_pond


@dataclass
class BackedUp:
    """What was made, and what was seen meanwhile."""

    destination: Path
    acknowledged: set[str]  # names of documents that were acknowledged before the last backup began
    first: dict[str, Any]  # what each node said of the backup by the clock
    second: dict[str, Any]
    without: dict[str, Any]  # and a node that has no folder for them
    metrics: list[float]  # the ages that the three told
    generations: list[dict[str, Any]]
    said: str  # by the command


def told(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = server.client.get("/api/backups").raise_for_status().json()
    return found


def age(server: Server) -> float:
    lines = server.client.get("/metrics").text.splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith("millpond_backup_age_seconds ")), -1.0)


def names(server: Server) -> set[str]:
    return {each["name"] for each in documents(server)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackedUp]:
    folder = tmp_path_factory.mktemp("two")
    destination = folder / "backups"
    settings = {"backup_destination": destination, "backup_hours": 12, **s3_server().settings()}
    with shared_pond(folder) as pond:
        one = pond.node("one", **settings)
        one.wait_finished(one.add("pump.txt", b"Pump seals are covered for 12 months."))
        two = pond.node("two", **settings)
        three = pond.node("three", **{**settings, "backup_destination": ""})
        eventually(lambda: told(one)["generations"] and told(two)["last_at"], what="the backup by the clock")
        eventually(lambda: told(two)["stage"] == "idle" and told(two)["generations"], what="the list at the other node")
        with People(two) as people:
            eventually(lambda: people.uploaded > 3, what="uploads")
            assert two.client.post("/api/backups").status_code == 202
            eventually(lambda: len(told(two)["generations"]) == 2, what="the backup that was asked for")
            eventually(lambda: told(one)["made_by"] == "two", what="the other node has heard")
            eventually(lambda: told(two)["stage"] == "idle", what="the end")
            at_one, at_two, at_three = told(one), told(two), told(three)
            ages = [age(each) for each in (one, two, three)]
            acknowledged = names(one)
            command = {**pond.settings("two"), **settings}
            done = run("backup", str(destination), "--data-dir", str(folder / "two"), **command)
            assert done.returncode == 0, done.stderr
        assert people.failures == []
        yield BackedUp(
            destination,
            acknowledged,
            at_one,
            at_two,
            at_three,
            ages,
            at_two["generations"],
            done.stdout,
        )


def test_one_node_makes_them_and_all_tell_the_same(made: BackedUp) -> None:
    """Each node would make one by its clock, or tell another age; one without the folder would tell of none."""
    assert [each["engine"] for each in made.generations] == ["postgresql"] * 2, (
        "by the clock, and one that was asked for"
    )
    assert made.first["last_at"] == made.second["last_at"] == made.without["last_at"]
    assert made.first["due_at"] == made.second["due_at"]
    assert (made.first["made_by"], made.second["made_by"], made.without["made_by"]) == ("two", "", "two")
    assert made.without["destination"] == ""
    assert min(made.metrics) >= 0.0
    assert max(made.metrics) - min(made.metrics) < 5.0


def test_what_was_acknowledged_is_there_and_answers_on_one_machine(made: BackedUp, tmp_path: Path) -> None:
    """A document that somebody relies on would not be in the backup, or not be found in what is restored."""
    assert run("verify", str(made.destination)).stdout.count("is whole") == 3
    target = tmp_path / "restored"
    done = run("restore", str(made.destination), "--data-dir", str(target))
    assert done.returncode == 0, done.stderr
    assert counted(done.stdout) == counted(made.said)
    with serving(target) as server:
        require_whole(server, made)


def test_it_is_restored_into_another_database_and_bucket(made: BackedUp, tmp_path: Path) -> None:
    """The way back into PostgreSQL and S3 would take more than one command, or lose something."""
    target = tmp_path / "restored"
    with engine_in_use(Engine.POSTGRESQL):
        url = database_url(target)
    storage = s3_server().settings()
    done = run("restore", str(made.destination), "--data-dir", str(target), "--database-url", url, **storage)
    assert done.returncode == 0, done.stderr
    again = run("restore", str(made.destination), "--data-dir", str(tmp_path / "b"), "--database-url", url, **storage)
    assert again.returncode == 1
    assert "data of its own" in again.stderr
    with serving(target, database_url=url, **storage) as server:
        require_whole(server, made)


def require_whole(server: Server, made: BackedUp) -> None:
    assert made.acknowledged <= names(server)
    assert server.client.get("/api/status").json()["counts"]["documents"] == counted(made.said)["documents"]
    for document in documents(server)[:20]:
        original = server.client.get(f"/api/documents/{document['id']}/original").raise_for_status()
        assert hashlib.sha256(original.content).hexdigest() == document["sha256"]
    hits = server.client.post("/api/search", json={"query": QUESTION}).json()["hits"]
    assert hits[0]["document"] == "pump.txt"
