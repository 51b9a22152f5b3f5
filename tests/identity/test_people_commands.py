"""Accounts from the command line: on a stopped data folder, and through a running server; and over HTTP."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.identity.house import OTHER_PASSWORD, PASSWORD
from tests.servers import ROOT, Server, environment, serving

STALE = "x" * 43


def millpond(data_dir: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command on a data folder, with that text as its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "console", *arguments, "--data-dir", str(data_dir)],
        cwd=ROOT,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def done(data_dir: Path, *arguments: str, text: str = "") -> str:
    completed = millpond(data_dir, *arguments, text=text)
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose first account was made while it was stopped."""
    data_dir = tmp_path_factory.mktemp("people") / "data"
    told = done(data_dir, "users", "add", "root", "--password-stdin", text=f"{PASSWORD}\n")
    assert "admin" in told
    (data_dir / "local.token").write_text(STALE)  # as a server leaves it that was killed
    with serving(data_dir) as server:
        yield server
    assert not (data_dir / "local.token").exists()


def client(server: Server, token: str) -> httpx.Client:
    return httpx.Client(
        base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=60.0, trust_env=False
    )


def get(server: Server, token: str, path: str) -> httpx.Response:
    with client(server, token) as asking:
        return asking.get(path)


def local_client(server: Server) -> httpx.Client:
    return client(server, (server.data_dir / "local.token").read_text())


def test_a_stopped_folder(tmp_path: Path) -> None:
    """Fails if accounts cannot be made, listed and changed before Millpond runs, or a wrong use changes something."""
    data = tmp_path / "data"
    assert millpond(data, "users", "add", "ann", "--role", "user").returncode == 1
    weak = millpond(data, "users", "add", "root", "--password-stdin", text="password1234\n")
    assert weak.returncode == 1
    assert "guessed first" in weak.stderr
    assert "Traceback" not in weak.stderr
    assert "no accounts" in done(data, "users", "list")
    done(data, "users", "add", "root", "--role", "admin", "--password-stdin", text=f"{PASSWORD}\n")
    token = done(data, "tokens", "create", "root", "--scope", "read", "--scope", "ask", "--days", "7").splitlines()[-1]
    assert token.startswith("mp_")
    listed = done(data, "tokens", "list")
    assert token[-4:] in listed
    assert token not in listed
    assert "root  admin" in done(data, "users", "list")
    assert not (data / "local.token").exists()


def test_through_a_running_server(server: Server) -> None:
    """Fails if a command that is used beside a server with accounts does not act on it, or its changes do not count."""
    data = server.data_dir
    assert stat.S_IMODE((data / "local.token").stat().st_mode) == 0o600
    assert server.client.get("/api/people").status_code == 401
    done(data, "users", "add", "carla", "--role", "operator", "--password-stdin", text=f"{OTHER_PASSWORD}\n")
    token = done(data, "tokens", "create", "Carla", "--scope", "operate").splitlines()[-1]
    with client(server, token) as carla:
        assert carla.get("/api/account").json()["person"]["name"] == "carla"
        assert carla.get("/api/people").status_code == 403
        done(data, "users", "disable", "carla")
        assert carla.get("/api/account").status_code == 401
        done(data, "users", "enable", "carla")
        assert carla.get("/api/account").status_code == 200
    last = millpond(data, "users", "set-role", "root", "user")
    assert last.returncode == 1
    assert "last administrator" in last.stderr
    assert millpond(data, "users", "disable", "nobody").returncode == 1


def test_groups_and_grants_over_http(server: Server) -> None:
    """Fails if people and groups cannot be made and a collection be shared, or rights do not count at once."""
    with local_client(server) as admin:
        person = admin.post("/api/people", json={"name": "dora", "password": PASSWORD}).json()
        assert (person["role"], person["has_password"]) == ("user", True)
        assert "password" not in person
        token = admin.post(f"/api/people/{person['id']}/tokens", json={"name": "t", "scopes": ["read", "write"]}).json()
        group = admin.post("/api/groups", json={"name": "kiln team"}).json()
        collection = admin.post("/api/collections", json={"name": "kilns"}).json()["id"]
        grants = f"/api/collections/{collection}/grants"
        with client(server, token["token"]) as dora:

            def names() -> list[str]:
                found = dora.get("/api/collections").raise_for_status().json()["collections"]
                return [each["name"] for each in found]

            assert "kilns" not in names()
            assert dora.get(grants).status_code == 404
            shared = admin.put(grants, json={"kind": "group", "name": "Kiln Team", "level": "manage"})
            assert [grant["level"] for grant in shared.json()["grants"]] == ["manage"]
            assert "kilns" not in names()
            admin.put(f"/api/groups/{group['id']}/members/{person['id']}").raise_for_status()
            assert "kilns" in names()
            assert dora.put(grants, json={"kind": "everyone", "level": "read"}).status_code == 200
            admin.delete(f"/api/groups/{group['id']}/members/{person['id']}").raise_for_status()
            assert dora.put(grants, json={"kind": "everyone", "level": "write"}).status_code == 403
            admin.put(grants, json={"kind": "everyone", "level": "none"}).raise_for_status()
            assert "kilns" not in names()
            assert dora.post("/api/account/tokens", json={"name": "more", "scopes": ["operate"]}).status_code == 403
            assert dora.get("/api/account/tokens").status_code == 403  # with a session alone
            listed = admin.get(f"/api/people/{person['id']}/tokens").json()["tokens"]
            assert [each["id"] for each in listed] == [token["info"]["id"]]
            admin.delete(f"/api/people/{person['id']}").raise_for_status()
            assert dora.get("/api/account").status_code == 401


HOSTILE_IDS = ["0", "-1", "999999", "9" * 30, "x", "1%00", "%F0%9F%98%80"]


def test_wrong_requests_are_refused_in_words(server: Server) -> None:
    """Fails if a request with wrong values ends in a defect, or changes something."""
    bodies = [
        {},
        {"name": ""},
        {"name": "x", "role": "king"},
        {"name": "x", "password": "short"},
        {"name": "x\x00"},
        {"name": "\u202e"},
        {"name": 5},
        {"name": "x" * 201},
        {"name": "ＲＯＯＴ"},
        {"name": "x", "password": "\ud800" * 20},
        {"name": "x", "password": PASSWORD * 100},
    ]
    with local_client(server) as admin:
        before = admin.get("/api/people").json()
        for body in bodies:
            headers = {"Content-Type": "application/json"}
            status = admin.post("/api/people", content=json.dumps(body), headers=headers).status_code
            assert status in {400, 409, 422}, (body, status)
        for each in HOSTILE_IDS:
            for method, path in (
                ("GET", f"/api/people/{each}"),
                ("DELETE", f"/api/people/{each}"),
                ("DELETE", f"/api/people/{each}/second-factor"),
                ("DELETE", f"/api/people/1/sessions/{each}"),
                ("DELETE", f"/api/people/1/tokens/{each}"),
                ("DELETE", f"/api/groups/{each}"),
                ("GET", f"/api/groups/{each}/members"),
                ("PUT", f"/api/groups/1/members/{each}"),
                ("GET", f"/api/collections/{each}/grants"),
            ):
                status = admin.request(method, path).status_code
                assert status in {404, 422}, (method, path, status)
        assert admin.put("/api/collections/1/grants", json={"kind": "person", "name": "x", "level": "read"}).is_error
        assert admin.patch("/api/people/1", json={"role": "user"}).status_code == 409
        assert admin.get("/api/account").status_code == 403  # the command line has no account
        assert admin.get("/api/people").json() == before


def test_the_token_of_the_folder_is_new_at_each_start(server: Server) -> None:
    """Fails if the token that a killed server left behind is accepted by the next one, or stays in the folder."""
    now = (server.data_dir / "local.token").read_text()
    assert now != STALE
    assert get(server, STALE, "/api/people").status_code == 401
    assert "root" in [person["name"] for person in get(server, now, "/api/people").json()["people"]]
