from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.servers import Server

TEXT = "The {name} seal is covered for {months} months. Check the oil of the {name} weekly."


@pytest.fixture
def shelf(server: Server) -> int:
    """A collection of its own."""
    return int(server.client.post("/api/collections", json={"name": uuid4().hex}).json()["id"])


def ask(server: Server, shelf: int, question: str, **headers: str) -> dict[str, Any]:
    """Ask, and return the message."""
    body = {"messages": [{"role": "user", "content": question}], "collections": [shelf], "user": uuid4().hex}
    answer = server.client.post("/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    message: dict[str, Any] = answer.json()["choices"][0]["message"]
    return message


def add(server: Server, shelf: int, name: str, months: int) -> int:
    number = server.add(f"{name}.txt", TEXT.format(name=name, months=months).encode(), collection=str(shelf))
    assert server.wait_finished(number)["status"] == "ready"
    return number


def test_a_repeated_question_is_a_hit_until_the_documents_change(server: Server, shelf: int) -> None:
    """The second answer comes from the cache with the same sources, which open; `no-cache` refuses it."""
    add(server, shelf, "gondola", 12)
    question = "How long is the gondola seal covered?"
    first, second = ask(server, shelf, question), ask(server, shelf, question)
    assert (first["cost"]["cached"], second["cost"]["cached"]) == (False, True)
    assert (second["content"], second["citations"]) == (first["content"], first["citations"])
    assert "12 months" in second["content"]
    assert server.client.get(second["citations"][0]["url"]).status_code == 200
    assert not ask(server, shelf, question, **{"Cache-Control": "no-cache"})["cost"]["cached"]
    add(server, shelf, "gondola", 24)
    third = ask(server, shelf, question)
    assert not third["cost"]["cached"]
    assert "24 months" in third["content"]


def test_a_deleted_or_disabled_document_is_never_cited(server: Server, shelf: int) -> None:
    """Whatever was remembered, an answer after the deletion cites what is there, and searches find what is there."""
    kept, gone, off = (add(server, shelf, name, months) for name, months in (("oak", 3), ("elm", 6), ("ash", 9)))
    question = "How long are the seals of oak, elm and ash covered?"
    body = {"query": question, "collections": [shelf], "k": 10}

    def cited() -> set[int]:
        return {citation["document_id"] for citation in ask(server, shelf, question)["citations"]}

    def found() -> set[int]:
        return {hit["document_id"] for hit in server.client.post("/api/search", json=body).json()["hits"]}

    for _turn in range(2):
        assert gone in cited()
        assert found() == {kept, gone, off}
    server.client.delete(f"/api/documents/{gone}").raise_for_status()
    assert gone not in cited()
    assert found() == {kept, off}
    server.client.post(f"/api/documents/{off}/disable").raise_for_status()
    assert not cited() & {gone, off}
    assert found() == {kept}
    server.client.post(f"/api/documents/{off}/enable").raise_for_status()
    assert found() == {kept, off}


def test_hits_are_counted_where_people_look(server: Server, shelf: int) -> None:
    """The API and the metrics tell hits, misses and bytes of each cache."""

    def figures() -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in server.client.get("/api/caches").json()}

    add(server, shelf, "yew", 5)
    before = figures()
    assert set(before) == {"embedding_cache", "answer_cache", "search_cache"}
    for _turn in range(3):
        ask(server, shelf, "How long is the yew seal covered?")
    after = figures()
    assert after["answer_cache"]["hits"] - before["answer_cache"]["hits"] == 2
    assert after["answer_cache"]["misses"] - before["answer_cache"]["misses"] == 1
    assert 0 < after["answer_cache"]["bytes"] <= after["answer_cache"]["budget"]
    assert 0 < after["answer_cache"]["hit_rate"] < 1
    metrics = server.client.get("/metrics").text
    assert 'millpond_cache_hits_total{cache="answer_cache"}' in metrics
    assert 'millpond_cache_bytes{cache="embedding_cache"}' in metrics
    assert 'millpond_cache_hits_total{cache="search_cache"}' in metrics
