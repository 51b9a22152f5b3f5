"""A backup of a real server, while people upload and ask, and what is restored from it."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from tests.servers import Server, eventually, run, serving
from tests.team import serving_team

QUESTION = "How long are pump seals covered?"


def upload(server: Server, number: int) -> int:
    text = f"Report {number}.\n\nSluice {number} was opened at {number} o'clock. " + f"Part {number} is sound. " * 200
    return server.add(f"report {number}.txt", text.encode())


class People:
    """Upload and ask until they are stopped; `failures` are what should not happen to them."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._upload, self._ask)]
        self.uploaded = self.asked = 0
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_of: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)

    def _upload(self) -> None:
        while not self._stopping.wait(0.2):
            with_failure(self.failures, lambda: upload(self._server, 1000 + self.uploaded))
            self.uploaded += 1

    def _ask(self) -> None:
        with httpx.Client(base_url=self._server.url, timeout=60, trust_env=False) as client:
            while not self._stopping.wait(0.05):
                found = client.post("/api/search", json={"query": QUESTION})
                if found.status_code != 200 or not found.json()["hits"]:
                    self.failures.append(found.text)
                self.asked += 1


def with_failure(failures: list[str], call: Any) -> None:
    try:
        call()
    except (AssertionError, httpx.HTTPError) as error:
        failures.append(str(error))


def counted(output: str) -> dict[str, int]:
    """Return the counts that a command printed."""
    line = next(line for line in output.splitlines() if line.strip().startswith("Documents:"))
    return {
        name.strip().lower(): int(number.replace(",", ""))
        for name, number in (part.split(":") for part in line.replace(", ", "\n").split("\n"))
    }


def documents(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        server.client.get("/api/documents", params={"limit": 1000}).raise_for_status().json()["documents"]
    )
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Backups of a server at work: their folder, and what the two commands said."""
    folder = tmp_path_factory.mktemp("backup")
    destination = folder / "backups"
    with serving(folder / "data") as server:
        server.wait_finished(server.add("pump.txt", b"Pump seals are covered for 12 months."))
        for number in range(6):
            server.wait_finished(upload(server, number))
        talk = server.client.post(
            "/v1/chat/completions", json={"model": "millpond", "messages": [{"role": "user", "content": QUESTION}]}
        )
        assert "12 months" in talk.text
        with People(server) as people:
            eventually(lambda: people.uploaded > 2 and people.asked > 2, what="work")
            first = run("backup", str(destination), "--data-dir", str(folder / "data"))
            between = people.uploaded
            eventually(lambda: people.uploaded > between + 2, what="work after the backup")
            second = run("backup", str(destination), "--data-dir", str(folder / "data"))
        assert people.failures == []
        assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
        assert server.client.get("/readyz").json()["status"] == "ready"
    return destination, first.stdout, second.stdout


def test_backups_of_a_server_at_work_are_whole(made: tuple[Path, str, str]) -> None:
    """A state in the middle of a transaction would be copied, or an upload without its original."""
    destination, first, second = made
    found = run("verify", str(destination), "--public-key", str(destination.parent / "data" / "audit.pub"))
    assert found.returncode == 0, found.stdout
    assert found.stdout.count("is whole") == 2
    assert counted(second)["documents"] > counted(first)["documents"] >= 7


def test_a_restored_folder_answers_and_has_what_the_manifest_says(made: tuple[Path, str, str], tmp_path: Path) -> None:
    """What is restored would not start, or lack documents, conversations or originals."""
    destination, _first, second = made
    target = tmp_path / "restored"
    done = run("restore", str(destination), "--data-dir", str(target))
    assert done.returncode == 0, done.stderr
    assert counted(done.stdout) == counted(second)
    assert "secret.key" in done.stdout
    again = run("restore", str(destination), "--data-dir", str(target))
    assert again.returncode == 1
    assert "not empty" in again.stderr
    with serving(target) as server:
        assert server.client.get("/api/status").json()["counts"]["documents"] == counted(second)["documents"]
        assert len(server.client.get("/api/conversations").json()["conversations"]) == counted(second)["conversations"]
        unfinished = lambda: server.client.get("/api/status").json()["counts"]["jobs_unfinished"]  # noqa: E731
        eventually(lambda: not unfinished(), seconds=180, what="the jobs")
        for document in documents(server):
            assert document["status"] == "ready", document
            original = server.client.get(f"/api/documents/{document['id']}/original")
            assert hashlib.sha256(original.content).hexdigest() == document["sha256"]
        hits = server.client.post("/api/search", json={"query": QUESTION}).json()["hits"]
        assert hits[0]["document"] == "pump.txt"


def test_a_server_makes_backups_and_says_how_old_they_are(tmp_path: Path) -> None:
    """The schedule would do nothing, or nobody but administrators would be kept from the button."""
    destination = tmp_path / "backups"
    settings = {"backup_destination": destination, "backup_hours": 12}
    with serving_team(tmp_path / "data", **settings) as team, team.browser("ada") as admin:
        eventually(lambda: admin.get("/api/backups").json()["generations"], what="the backup by the clock")
        made = admin.get("/api/backups").json()
        assert made["generations"][0]["counts"]["people"] == len(team.members)
        assert made["due_at"] == pytest.approx(made["last_at"] + 12 * 3600)
        eventually(lambda: admin.get("/api/backups").json()["stage"] == "idle", what="the end")
        for name in ("ole", "aud", "uma"):
            with team.browser(name) as other:
                assert other.post("/api/backups").status_code == 403
                assert other.post("/api/backups/verification").status_code == 403
        assert admin.post("/api/backups/verification").status_code == 202
        eventually(lambda: admin.get("/api/backups").json()["generations"][0]["verified_at"], what="verified")
        assert admin.post("/api/backups").status_code == 202
        eventually(lambda: len(admin.get("/api/backups").json()["generations"]) == 2, what="one more")
        checks = admin.get("/readyz").json()["checks"]
        assert checks["backup"] == {"ok": True, "detail": "as planned", "warning": False}
        told = admin.get("/metrics").text
        age = next(line for line in told.splitlines() if line.startswith("millpond_backup_age_seconds "))
        assert 0 <= float(age.split()[1]) < 120
        actions = [one["action"] for one in admin.get("/api/audit").json()["records"]]
        assert {"backup_started", "backup_verified"} <= set(actions)
    assert run("verify", str(destination)).returncode == 0
    target = tmp_path / "restored"
    assert run("restore", str(destination), "--data-dir", str(target)).returncode == 0
    key = ("--public-key", str(tmp_path / "data" / "audit.pub"))
    audit = run("audit", "verify", "--data-dir", str(target), *key)
    assert audit.returncode == 0, audit.stdout
    assert "not signed yet" not in audit.stdout
