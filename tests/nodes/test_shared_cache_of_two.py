"""Two real nodes over one PostgreSQL database, and a Redis server in which they keep answers for each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from services.knowledge.bundled_models import MINILM
from tests.core.shared_cache.sharing import entries
from tests.redis_server import RedisServer, redis_server
from tests.servers import Server, eventually
from tests.shared_pond import shared_pond

QUESTION = "How long is the gondola seal covered?"


@dataclass(frozen=True)
class Both:
    """The nodes, and what they share."""

    one: Server
    two: Server
    redis: RedisServer


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("pond")
    with redis_server() as redis, shared_pond(folder) as pond:
        settings = {"cache_url": redis.url, "embedding_model": MINILM}
        yield Both(pond.node("one", **settings), pond.node("two", **settings), redis)


def ask(server: Server, question: str) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": question}]}
    answer = server.client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    message: dict[str, Any] = answer.json()["choices"][0]["message"]
    return message


def add(server: Server, name: str, months: int) -> int:
    text = f"The {name} seal is covered for {months} months. Check the oil of the {name} weekly."
    number = server.add(f"{name}.txt", text.encode())
    assert server.wait_finished(number)["status"] == "ready"
    return number


def followed(server: Server) -> None:
    """Wait until a node knows what the other one has changed."""

    def level() -> bool:
        nodes = server.client.get("/api/nodes").raise_for_status().json()["nodes"]
        return all(node["lag"] == 0 for node in nodes)

    eventually(level, seconds=20.0, what="following")


def shelf(server: Server, cache: str = "answer_cache") -> dict[str, int]:
    caches = server.client.get("/api/caches").raise_for_status().json()
    (found,) = (each["shared"] for each in caches if each["name"] == cache)
    assert isinstance(found, dict)
    return found


def answers_kept(redis: RedisServer) -> int:
    return len([name for name in entries(redis) if b"answer_cache" in name])


def settled(server: Server) -> None:
    """Wait until what was deleted is removed, and is searched for no more."""
    eventually(
        lambda: server.client.get("/api/caches/shared").raise_for_status().json()["owed_seconds"] == 0, seconds=20.0
    )


def test_the_second_node_answers_from_what_the_first_computed(both: Both) -> None:
    """Each node would compute each answer itself: two nodes would be no faster than one for what many ask."""
    add(both.one, "gondola", 12)
    followed(both.two)
    first = ask(both.one, QUESTION)
    assert not first["cost"]["cached"]
    eventually(lambda: answers_kept(both.redis), seconds=10.0, what="the answer in Redis")
    hits = shelf(both.two)["hits"]
    second = ask(both.two, QUESTION)
    assert second["cost"]["cached"]
    assert (second["content"], second["citations"]) == (first["content"], first["citations"])
    assert shelf(both.two)["hits"] == hits + 1
    metrics = both.two.client.get("/metrics").text
    assert 'millpond_shared_cache_hits_total{cache="answer_cache"} 1' in metrics
    assert "millpond_shared_cache_state 0" in metrics
    vectors = shelf(both.two, "embedding_cache")
    assert vectors["budget"] == 8 * 1_048_576
    answer = ask(both.two, "How long is the gondola seal covered, please?")
    assert not answer["cost"]["cached"]
    assert shelf(both.two, "embedding_cache")["hits"] > vectors["hits"], "the sentences were embedded by the first"


def test_what_one_node_deletes_the_other_does_not_answer_from_redis(both: Both) -> None:
    """An answer would cite what was deleted, or stay in the server although nobody may find it."""
    number = add(both.one, "abacus", 3)
    followed(both.two)
    question = "How long is the abacus seal covered?"
    settled(both.one)
    assert ask(both.one, question)["citations"]
    eventually(lambda: answers_kept(both.redis), seconds=10.0, what="the answer in Redis")
    assert both.one.client.delete(f"/api/documents/{number}").status_code == 204
    for server in (both.two, both.one):
        cited = {citation["document_id"] for citation in ask(server, question)["citations"]}
        assert number not in cited
    with both.redis.client() as client:
        before = {name: client.get(name) for name in entries(both.redis)}
    eventually(
        lambda: not answers_kept(both.redis) or not before.keys() & entries(both.redis),
        seconds=10.0,
        what="the removal from Redis",
    )


def test_without_redis_both_go_on(both: Both) -> None:
    """A node would not be ready, or questions would fail or wait, because of a cache."""
    both.redis.stop()
    for server in (both.one, both.two):
        for number in range(4):
            assert ask(server, f"What is checked weekly, for the {number}th time?")["content"]
        assert server.client.get("/readyz").status_code == 200
    eventually(
        lambda: both.one.client.get("/api/caches/shared").json()["state"] == "open", seconds=20.0, what="the breaker"
    )
    said = both.one.client.get("/api/caches/shared").json()
    assert "@127.0.0.1" in said["address"]
    assert "password" not in said["address"]
    assert said["reason"]
    both.redis.start()
    eventually(
        lambda: both.one.client.get("/api/caches/shared").json()["state"] == "closed", seconds=40.0, what="its return"
    )
    events = [each["detail"] for each in both.one.client.get("/api/memory/events").json()["events"]]
    assert any("The shared cache answers again." in each for each in events)
    log = both.one.log.read_text()
    assert log.count("shared cache left alone") == 1
    assert "a password of the tests" not in log
    assert "a%20password" not in log
