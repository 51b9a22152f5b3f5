"""Secrets are planted wherever they can be entered, then searched for wherever something leaves the process.

The server's embedding model is a signed one of its own: a start takes long, and this needs one, too.
"""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.core.database import Database
from services.core.migrations.backup import backups_of
from services.core.model_signatures.private_copy import FOLDER
from services.core.preferences import Preferences
from services.core.secret_box import KEY_FILE
from services.knowledge.bundled_models import MINILM
from services.knowledge.embedding.model_files import find_model
from tests.chat.model_server import ModelServer, model_server
from tests.core.model_signatures.keys import key_pair, sign_folder
from tests.servers import Server, eventually, run, serving

RELEASED = Path(__file__).resolve().parents[1] / "fixtures"
MARK = "zqMARKER"
NAMES = ("plain", "openai", "webhook", "signature", "admin", "database", "basekey", "boxkey", "stored")
SECRETS = {name: f"sk-{MARK}{number}{name}-0123456789abcdef0123{name[-4:]}" for number, name in enumerate(NAMES)}
FORMS = [MARK, MARK.lower()]
# They measure for a minute, and tell types and bytes alone.
SLOW = {"/api/objects/summary", "/api/objects/sizes/{owner}"}


@dataclass(frozen=True)
class Planted:
    """A server with secrets in its settings and in the database of the version before; a chat server; its own model."""

    server: Server
    models: ModelServer
    embedding: Path


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    folder = tmp_path_factory.mktemp("secrets")
    data = folder / "data"
    key_file = folder / "key"
    key_file.write_text(SECRETS["boxkey"] + "\n")
    key_file.chmod(0o600)
    keys = key_pair(folder)
    embedding = shutil.copytree(find_model(MINILM, "").folder, folder / "own model")
    sign_folder(embedding, keys)
    with model_server() as models:
        old = {
            "kind": "openai",
            "url": models.openai("good"),
            "model": "tiny",
            "api_key": SECRETS["plain"],
            "path": "",
        }
        with tarfile.open(RELEASED / "data-0.1.0.tar.xz") as archive:
            archive.extractall(data, filter="data")
        database = Database(f"sqlite:///{data / 'millpond.db'}")
        Preferences(database).set("chat model", old)
        database.close()
        assert holders(data) == ["millpond.db"]
        settings = {
            "openai_base_url": f"http://me:{SECRETS['basekey']}@127.0.0.1:9/v1",
            "openai_api_key": SECRETS["openai"],
            "webhook_url": f"http://127.0.0.1:9/services/{SECRETS['webhook']}?t={SECRETS['webhook']}",
            "webhook_secret": SECRETS["signature"],
            "admin_token": SECRETS["admin"],
            "secret_key_file": key_file,
            "log_level": "debug",
            "embedding_model": embedding,
            "model_key": keys.public,
        }
        with serving(data, **settings) as server:
            yield Planted(server, models, embedding)
        assert list((data / FOLDER).iterdir()) == []


def holders(folder: Path) -> list[str]:
    """Return the files that hold one of the secrets; some come and go meanwhile."""
    found = []
    for path in sorted(folder.rglob("*")):
        with suppress(FileNotFoundError, IsADirectoryError):
            content = path.read_bytes()
            if any(form.encode() in content for form in FORMS):
                found.append(str(path.relative_to(folder)))
    return found


def has_secret(text: str) -> str:
    """Return what stands around a secret in a text, "" without one."""
    found = next((text.find(form) for form in FORMS if form in text), -1)
    return text[max(0, found - 150) : found + 50] if found >= 0 else ""


def test_a_plain_key_of_the_version_before_is_gone_from_every_file(planted: Planted) -> None:
    """It was stored as it was typed; now it is encrypted and works, and neither log nor copies have it."""
    eventually(lambda: holders(planted.server.data_dir) == [], seconds=30, what="erasure")
    assert backups_of(planted.server.data_dir / "millpond.db")
    status = planted.server.client.get("/api/status").json()["chat_model"]
    assert status["state"] == "ready", status
    sent = [headers.get("authorization") for _path, headers, *_rest in planted.models.requests]
    assert f"Bearer {SECRETS['plain']}" in sent
    assert not (planted.server.data_dir / KEY_FILE).exists()


def test_no_answer_of_the_api_has_a_secret(planted: Planted) -> None:
    """Each GET route as it stands, with its tables as CSV, metrics and problems; tests of model and webhook."""
    client = planted.server.client
    client.post("/api/objects/census").raise_for_status()
    for path in ("/api/status/chat-model/test", "/api/budget/webhook/test"):
        assert has_secret(client.post(path).text) == ""
    client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "Who are you?"}]})
    document = client.get("/openapi.json").json()
    routes = {path: methods["get"] for path, methods in document["paths"].items() if "get" in methods}
    assert len(routes) > 30
    asked = 0
    for path, route in routes.items():
        if path in SLOW or "text/event-stream" in str(route["responses"]):
            continue
        plain = re.sub(r"\{[^}]*\}", "1", path)
        formats = ["", "?format=csv"] if any(one["name"] == "format" for one in route.get("parameters", ())) else [""]
        for query in formats:
            answer = client.get(plain + query)
            asked += answer.status_code == 200
            assert has_secret(answer.text + str(answer.headers)) == "", plain
    assert asked > 20


def test_no_object_shows_a_secret(planted: Planted) -> None:
    """Objects that hold keys are listed with previews: settings, and what dictionaries hold."""
    client = planted.server.client
    for kind in ("services.core.settings.Settings", "dict"):
        answer = client.get("/api/objects/objects", params={"type": kind, "limit": 20}).raise_for_status()
        assert answer.json()["total"] > 0, kind
        assert has_secret(answer.text) == "", kind


def test_a_server_that_repeats_the_key_does_not_have_it_shown(planted: Planted) -> None:
    """Some servers quote the key that they refuse."""
    planted.models.manner = "401"
    try:
        answer = planted.server.client.post("/api/status/chat-model/test")
        assert answer.json()["state"] == "down"
        assert has_secret(answer.text) == ""
    finally:
        planted.models.manner = ""


def test_the_status_command_shows_no_secret(planted: Planted) -> None:
    """It prints what the running console tells."""
    done = run("status", "--data-dir", str(planted.server.data_dir), "--json")
    assert done.returncode == 0, done.stderr
    assert has_secret(done.stdout + done.stderr) == ""


def test_log_and_files_have_no_secret(planted: Planted) -> None:
    """After all of the above, at the level debug, censuses and events included."""
    eventually(lambda: holders(planted.server.data_dir) == [], seconds=30, what="erasure")
    assert has_secret(planted.server.log.read_text() + "".join(planted.server.output)) == ""
    with httpx.Client(base_url=planted.server.url) as client:
        events = client.get("/api/memory/events").json()
    assert has_secret(json.dumps(events)) == ""


def test_a_signed_embedding_model_is_loaded_from_its_copy(planted: Planted) -> None:
    """By its own name, and with answers; what is written to the original does not reach it."""
    client = planted.server.client

    def resources() -> list[dict[str, Any]]:
        found = client.get("/api/status").json()["resources"]
        return [one for one in found if one["detail"].startswith("own model")]

    # The documents of the version before are embedded with it beside; then it serves.
    eventually(resources, what="the change")
    (copy,) = (planted.server.data_dir / FOLDER).glob("*/own model")
    assert not (copy / "model.sig").exists()
    (weights,) = resources()
    assert weights["loads"] == 2  # the one before it, and itself
    (planted.embedding / "tokenizer.json").write_text("{}")
    document = planted.server.add("pump.txt", b"The seals of the pump are covered for twelve months.")
    assert planted.server.wait_finished(document)["status"] == "ready"
    found = client.post("/api/search", json={"query": "How long are seals covered?"}).raise_for_status().json()
    assert found["hits"], found


def test_a_server_whose_embedding_model_is_refused_ends_with_the_reason(planted: Planted, tmp_path: Path) -> None:
    """What happened, what was kept, what to do; the exit code tells a service manager."""
    key = planted.server.data_dir.parent / "owner.pem"
    (planted.embedding / "config.json").write_text("{}")
    settings = {"embedding_model": planted.embedding, "model_key": key}
    done = run("serve", "--port", "0", "--data-dir", str(tmp_path / "data"), **settings)
    assert done.returncode == 1
    assert "The model own model is refused: changed since it was signed: config.json" in done.stderr
    assert "It was not loaded, nothing of it was changed." in done.stderr
    assert "millpond models sign" in done.stderr
    assert list((tmp_path / "data" / FOLDER).iterdir()) == []
