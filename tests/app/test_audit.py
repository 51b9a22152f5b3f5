from __future__ import annotations

import csv
import io
import json
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Server, eventually, run, serving, spawn

TOKEN = "the administrator's token of this test"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on which visitors are users, and who has the token is an administrator."""
    with serving(tmp_path_factory.mktemp("audited") / "data", visitors="user", admin_token=TOKEN) as server:
        yield server


def records(server: Server, **filters: Any) -> list[dict[str, Any]]:
    """Return the records that match, the newest first."""
    answer = server.client.get("/api/audit", params={"limit": 1000, **filters}, headers=HEADERS)
    found: list[dict[str, Any]] = answer.raise_for_status().json()["records"]
    return found


def newest(server: Server, action: str) -> dict[str, Any]:
    found = records(server, action=action)
    assert found, f"no {action} was recorded"
    return found[0]


def test_what_people_do_over_the_api_is_recorded(server: Server) -> None:
    """Somebody changes documents, settings or memory, and nobody can say later who it was."""
    client = server.client

    def act(method: str, path: str, **more: Any) -> Any:
        headers = {**HEADERS, "X-Request-ID": f"{method}-{path.replace('/', '.')[-50:]}"}
        return client.request(method, path, headers=headers, **more).raise_for_status()

    act("POST", "/api/documents", files={"file": ("plan.txt", b"The valve opens at 4 bar.")})
    document = int(newest(server, "document_uploaded")["target_id"])
    server.wait_finished(document)
    act("POST", f"/api/documents/{document}/disable")
    act("POST", "/api/imports", json={"name": "chunks.txt", "chunks": [{"text": "One text."}]})
    collection = act("POST", "/api/collections", json={"name": "Contracts"}).json()["id"]
    act("PATCH", f"/api/collections/{collection}", json={"name": "Old contracts"})
    act("DELETE", f"/api/collections/{collection}")
    act("DELETE", f"/api/documents/{document}")
    conversation = act("POST", "/api/conversations").json()["id"]
    act("DELETE", f"/api/conversations/{conversation}")
    act("DELETE", "/api/status/chat-model/capabilities")
    act("POST", "/api/collector/collect")
    act("POST", "/api/memory/trim")
    act("POST", "/api/tracing/start", json={"minutes": 5})
    act("POST", "/api/tracing/stop")
    census = act("POST", "/api/objects/census").json()["snapshot"]["name"]
    act("GET", "/api/objects/objects", params={"type": "dict", "limit": 1})
    act("DELETE", f"/api/objects/census/{census}")
    act("PUT", "/api/budget", json={"dry_run": True})
    act("PUT", "/api/budget", json={"dry_run": False})
    done = {(each["action"], each["target_kind"]): each for each in records(server)}
    expected = {
        ("document_uploaded", "document"),
        ("document_imported", "document"),
        ("document_changed", "document"),
        ("document_deleted", "document"),
        ("collection_created", "collection"),
        ("collection_changed", "collection"),
        ("collection_deleted", "collection"),
        ("conversation_deleted", "conversation"),
        ("settings_changed", "setting"),
        ("collector_run", "collector"),
        ("memory_released", "memory"),
        ("tracing_changed", "tracing"),
        ("objects_looked_at", "snapshot"),
        ("objects_looked_at", "objects"),
        ("snapshot_deleted", "snapshot"),
        ("budget_changed", "budget"),
    }
    assert expected - done.keys() == set()
    wrong = {
        key: (each["actor"], each["role"], each["way"], each["address"], each["request_id"], each["outcome"])
        for key in expected
        if (each := done[key])["actor"] != "administrator"
        or (each["role"], each["way"], each["address"], each["outcome"]) != ("admin", "api", "127.0.0.1", "done")
        or not each["request_id"]
    }
    assert wrong == {}


def test_wrong_tokens_and_refusals_are_recorded(server: Server) -> None:
    """Somebody tries tokens, or what they may not do, and nobody notices."""
    assert server.client.get("/api/audit", headers={"Authorization": "Bearer wrong"}).status_code == 403
    assert server.client.post("/api/collector/collect").status_code == 403
    assert server.client.get("/api/audit").status_code == 403
    assert server.client.get("/api/audit/verify").status_code == 403
    assert server.client.get("/api/audit/export").status_code == 403
    failed = newest(server, "sign_in_failed")
    assert (failed["outcome"], failed["address"]) == ("refused", "127.0.0.1")
    assert failed["request_id"]
    refused = {each["detail"] for each in records(server, action="permission_refused", outcome="refused")}
    assert len(refused) >= 4
    assert any("audit" in detail.lower() for detail in refused)


def test_pages_of_records_have_each_once(server: Server) -> None:
    """A record between two pages would be seen by nobody, or a reader would go round in circles."""
    for number in range(7):
        server.client.post("/api/collections", json={"name": f"page {number}"}).raise_for_status()
    everything = [each["seq"] for each in records(server, action="collection_created")]
    seen: list[int] = []
    cursor: int | None = None
    while True:
        asked = {"action": "collection_created", "limit": 3} | ({"cursor": cursor} if cursor else {})
        page = server.client.get("/api/audit", params=asked, headers=HEADERS).raise_for_status().json()
        seen += [each["seq"] for each in page["records"]]
        if (cursor := page["cursor"]) is None:
            break
    assert seen == everything == sorted(everything, reverse=True)


def test_exports_have_everything_and_are_recorded(server: Server) -> None:
    """An export that leaves something out, or of which nobody knows that it was made."""
    before = len(records(server))
    lines = server.client.get("/api/audit/export", headers=HEADERS).raise_for_status().text.splitlines()
    found = [json.loads(line) for line in lines]
    assert [each["seq"] for each in found] == list(range(1, before + 1))
    assert found[0]["time"].endswith("Z")
    table = server.client.get(
        "/api/audit/export", params={"format": "csv", "outcome": "refused"}, headers=HEADERS
    ).raise_for_status()
    assert table.headers["content-disposition"].startswith("attachment")
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert {row["outcome"] for row in rows} == {"refused"}
    exports = records(server, action="export", object="audit")
    assert [each["detail"].split()[0] for each in exports[:2]] == ["csv", "jsonl"]


def test_filters_that_make_no_sense_are_refused(server: Server) -> None:
    """A mistyped action would show an empty log, as if nothing had been done."""
    for wrong in ({"action": "no_such"}, {"outcome": "maybe"}, {"from": "yesterday"}, {"cursor": "0"}, {"limit": 0}):
        assert server.client.get("/api/audit", params=wrong, headers=HEADERS).status_code == 422
    for number in ("0.5", "1764489600", "-1e9"):  # a time in seconds, or a slip: it would be read as one of them
        answer = server.client.get("/api/audit", params={"to": number}, headers=HEADERS)
        assert (answer.status_code, "Write a date and time" in answer.text) == (422, True)
    far = {"from": "0001-01-01T00:00:00+14:00", "to": "9999-12-31T23:59:59-14:00"}
    assert server.client.get("/api/audit", params=far, headers=HEADERS).status_code == 200


def test_the_command_verifies_while_the_server_runs_after_a_kill_and_after_a_forgery(tmp_path: Path) -> None:
    """A command that needs the server stopped is not run; one that misses a forgery is worth nothing."""
    data = tmp_path / "data"
    server = spawn(data)
    try:
        server.wait_ready()
        for number in range(5):
            server.client.post("/api/collections", json={"name": f"c {number}"}).raise_for_status()
        beside = run("audit", "verify", data_dir=data)
        assert beside.returncode == 0, beside.stdout + beside.stderr
        assert "The chain of 5 records is whole" in beside.stdout
        answer = server.client.get("/api/audit/verify").raise_for_status().json()
        assert (answer["whole"], answer["records"]) == (True, 5)
    finally:
        server.stop(signal.SIGKILL)
    killed = run("audit", "verify", data_dir=data)
    assert "The chain of 5 records is whole" in killed.stdout
    with serving(data) as server:
        eventually(lambda: server.client.get("/api/audit").status_code == 200, what="the log")
    before = sorted(path.name for path in data.iterdir())
    ended = run("audit", "verify", data_dir=data)
    assert "Last signed: record 5" in ended.stdout
    assert ended.returncode == 0
    assert sorted(path.name for path in data.iterdir()) == before
    kept = tmp_path / "kept.pub"
    kept.write_bytes((data / "audit.pub").read_bytes())
    assert run("audit", "verify", "--public-key", str(kept), data_dir=data).returncode == 0
    with closing(sqlite3.connect(data / "millpond.db")) as connection:
        connection.execute("UPDATE audit SET actor = 'mallory' WHERE seq = 3")
        connection.commit()
    forged = run("audit", "verify", data_dir=data)
    assert forged.returncode == 1
    assert "Record 3 does not fit its hash" in forged.stdout
