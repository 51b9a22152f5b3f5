"""Two real servers over one PostgreSQL: a conversation that outlives its node, and a node that must not join."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from tests.chat.model_server import ModelServer, model_server
from tests.knowledge.model_change.small_model import make_small_model
from tests.postgres_server import postgres_server
from tests.servers import Server, eventually, run, serving

TEXT = b"The sluice gate is inspected every ninety days. The heron of the mill pond eats eels at the weir."


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What all nodes have alike."""
    folder = tmp_path / "shared"
    folder.mkdir()
    with postgres_server() as postgres:
        yield {"database_url": postgres.url, "files_url": folder / "files", "audit_key": folder / "audit.key"}


@pytest.fixture
def one(tmp_path: Path, shared: dict[str, Any], model: ModelServer) -> Iterator[Server]:
    """A node whose answers stop in the middle."""
    chosen = {"openai_base_url": model.openai("midhang"), "openai_model": "tiny", "openai_api_key": "k"}
    with serving(tmp_path / "one", node_name="one", **shared, **chosen) as server:
        server.wait_ready()
        yield server


@pytest.fixture
def two(tmp_path: Path, shared: dict[str, Any], one: Server) -> Iterator[Server]:
    """A node without a chat model: it quotes."""
    with serving(tmp_path / "two", node_name="two", **shared) as server:
        server.wait_ready()
        one.wait_finished(one.add("mill.txt", TEXT))
        yield server


def ask(server: Server, conversation: str, question: str) -> httpx.Response:
    asked = {"question": question, "stream": False}
    return server.client.post(f"/api/conversations/{conversation}/questions", json=asked)


def roles(server: Server, conversation: str) -> list[str]:
    found = server.client.get(f"/api/conversations/{conversation}/messages").raise_for_status().json()
    return [each["role"] for each in found["messages"]]


@pytest.mark.usefixtures("one")
def test_a_node_with_another_embedding_model_is_refused(tmp_path: Path, shared: dict[str, Any]) -> None:
    """It would make vectors that the others cannot compare with theirs."""
    small = make_small_model(tmp_path / "small")
    other = run("serve", "--port", "0", data_dir=tmp_path / "two", node_name="two", embedding_model=small, **shared)
    assert other.returncode == 1, other.stdout
    assert "another embedding model than one" in other.stderr


def test_what_a_killed_node_was_deleting_goes_at_the_other(shared: dict[str, Any], one: Server, two: Server) -> None:
    """A collection would stay that takes no documents and that nobody deletes, until some node starts anew; and one
    that a node is deleting just now would be deleted by the start of another one as well.
    """
    law = one.client.post("/api/collections", json={"name": "Law"}).raise_for_status().json()["id"]
    document = one.add("torts.txt", TEXT * 2, collection=str(law))
    one.wait_finished(document)
    engine = sa.create_engine(shared["database_url"], poolclass=sa.NullPool)
    with engine.begin() as connection:
        # As node one has left it in the middle: it is marked, and claimed.
        connection.exec_driver_sql("UPDATE collections SET deleting = 'documents' WHERE id = %s", (law,))
        claim = "SELECT %s, id, 'x', 0 FROM nodes WHERE name = 'one'"
        claimed = f"deletion of collection:{law}"
        connection.exec_driver_sql(f"INSERT INTO leases (name, node, holder, since) {claim}", (claimed,))
    assert two.stop() == 0
    with serving(two.data_dir, node_name="two", **shared) as again:
        again.wait_ready()
        assert again.client.get(f"/api/documents/{document}").status_code == 200
        one.process.send_signal(signal.SIGKILL)
        eventually(lambda: again.client.get(f"/api/documents/{document}").status_code == 404, what="the deletion")
        eventually(
            lambda: law not in [each["id"] for each in again.client.get("/api/collections").json()["collections"]],
            what="the end of the collection",
        )


def test_a_conversation_outlives_the_node_that_answered(one: Server, two: Server, model: ModelServer) -> None:
    """Two answers at once would stand in a conversation, or none ever again as its node was killed in the middle."""
    conversation = one.client.post("/api/conversations", json={}).raise_for_status().json()["id"]

    def answered_never() -> None:
        with suppress(httpx.TransportError):
            ask(one, conversation, "How often is the sluice gate inspected?")

    asking = threading.Thread(target=answered_never)
    asking.start()
    assert model.wait(lambda: any(body and body.get("messages") for _path, _headers, body in model.requests))
    refused = ask(two, conversation, "What does the heron eat?")
    assert refused.status_code == 409, refused.text
    assert "the node one" in refused.json()["detail"]

    assert roles(two, conversation) == ["user"]

    one.process.send_signal(signal.SIGKILL)
    asking.join(60)
    eventually(
        lambda: ask(two, conversation, "What does the heron eat?").status_code == 200,
        what="an answer at the other node",
    )
    said = two.client.get(f"/api/conversations/{conversation}/messages").raise_for_status().json()["messages"]
    assert [each["role"] for each in said] == ["user", "assistant"] * 2
    assert "interrupted" in said[1]["error"]
    events = two.client.get("/api/memory/events").raise_for_status().json()["events"]
    assert any("took over the node one" in each["detail"] for each in events)
    assert not any("node two, which" in each["detail"] for each in events)
