from __future__ import annotations

from uuid import uuid4

import pytest

from tests.knowledge.corpora import PAIRS
from tests.servers import Server, eventually


@pytest.fixture(scope="module")
def library(server: Server) -> dict[str, int]:
    """Two documents in two collections of their own; their ids by name, and the collections' by "in" and the name."""
    found: dict[str, int] = {}
    for name, content in (
        ("falcon.txt", "The peregrine falcon is the fastest bird and dives at 300 kilometres an hour."),
        ("茶.txt", "绿茶应当用八十度的水冲泡，时间不超过三分钟。"),
    ):
        shelf = server.client.post("/api/collections", json={"name": f"{name} {uuid4().hex[:6]}"}).json()["id"]
        found[f"in {name}"] = shelf
        found[name] = server.add(name, content.encode(), collection=str(shelf))
    for name in ("falcon.txt", "茶.txt"):
        assert server.wait_finished(found[name])["status"] == "ready"
    return found


@pytest.mark.parametrize(
    ("query", "name"), [("Which bird dives fastest?", "falcon.txt"), ("泡绿茶要用多少度的水？", "茶.txt")]
)
def test_hits_have_their_scores(server: Server, library: dict[str, int], query: str, name: str) -> None:
    """In both languages the right document comes first, with the fields that the API promises."""
    body = {"query": query, "k": 3, "collections": [library["in falcon.txt"], library["in 茶.txt"]]}
    answer = server.client.post("/api/search", json=body).json()
    hit = answer["hits"][0]
    assert (hit["document_id"], hit["document"]) == (library[name], name)
    assert set(hit) >= {"page", "text", "score", "dense_score", "lexical_score", "chunk_id", "heading", "sheet"}
    assert 0 <= hit["score"] <= 1
    assert hit["lexical_score"] > 0
    assert answer["relevant"]
    assert [entry["score"] for entry in answer["hits"]] == sorted((h["score"] for h in answer["hits"]), reverse=True)


def test_a_typing_error_is_forgiven_and_told(server: Server, library: dict[str, int]) -> None:
    """The answer says which word was searched for, in searches and in answers, from the cache too."""
    body = {"query": "Which brid is a falccon?", "k": 1, "collections": [library["in falcon.txt"]]}
    for _time in range(2):
        answer = server.client.post("/api/search", json=body).json()
        assert {"typed": "falccon", "read": "falcon"} in answer["corrections"]
        assert answer["hits"][0]["document_id"] == library["falcon.txt"]
    asked = {
        "model": "millpond",
        "messages": [{"role": "user", "content": "How fast does the peregrine falccon dive?"}],
    }
    for _time in range(2):
        completion = server.client.post("/v1/chat/completions", json=asked).raise_for_status().json()
        message = completion["choices"][0]["message"]
        assert message["corrections"] == [{"typed": "falccon", "read": "falcon"}]
        assert "300 kilometres" in message["content"]
    conversation = server.client.post("/api/conversations", json={}).json()["id"]
    question = {"question": "How fast does the peregrine falccon dive?", "stream": False}
    server.client.post(f"/api/conversations/{conversation}/questions", json=question).raise_for_status()
    messages = server.client.get(f"/api/conversations/{conversation}/messages").json()["messages"]
    assert messages[1]["corrections"] == [["falccon", "falcon"]]


def test_trust_in_the_embedder_is_told(server: Server) -> None:
    """By script and kind of text, each from 0 to 1 with the samples that it comes from; anew after deletions."""
    added = [
        server.add(f"prose {number}.txt", f"{first} {second}".encode())
        for number, (first, second) in enumerate(PAIRS["HANGUL"])
    ]
    for document in added:
        server.wait_finished(document)

    def measured() -> list[dict[str, object]]:
        return server.client.get("/api/search/trust").raise_for_status().json()["measured"]

    def scripts() -> set[object]:
        return {each["script"] for each in measured()}

    eventually(lambda: "HANGUL" in scripts(), what="a measurement")
    for each in measured():
        assert set(each) == {"script", "kind", "trust", "samples"}
        assert 0 <= each["trust"] <= 1
    for document in added:
        server.client.delete(f"/api/documents/{document}").raise_for_status()
    eventually(lambda: "HANGUL" not in scripts(), what="another measurement")


def test_collections_and_k_limit_the_hits(server: Server, library: dict[str, int]) -> None:
    """Only the named collections are searched, and no more than k hits come back."""
    body = {"query": "falcon", "k": 10, "collections": [library["in 茶.txt"]]}
    hits = server.client.post("/api/search", json=body).json()["hits"]
    assert library["falcon.txt"] not in {hit["document_id"] for hit in hits}
    assert len(server.client.post("/api/search", json={"query": "the", "k": 1}).json()["hits"]) <= 1


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"k": 3}',
        b'{"query": "x", "k": 0}',
        b'{"query": "x", "k": "many"}',
        b'{"query": 7}',
        b'{"query": "x", "collections": "all"}',
        b'{"query": "x", "threshold": 2}',
    ],
)
def test_bad_requests_are_explained(server: Server, body: bytes) -> None:
    """A body that does not fit is 422 as a problem document that names what is wrong."""
    answer = server.client.post("/api/search", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert problem["errors"]
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]


def test_empty_and_endless_queries(server: Server) -> None:
    """A query of nothing is refused or finds nothing; one of 100,000 characters is handled, not a defect."""
    assert server.client.post("/api/search", json={"query": "   "}).status_code in {200, 400}
    assert server.client.post("/api/search", json={"query": "word " * 20_000}).status_code in {200, 400, 413}
    assert server.client.post("/api/search", json={"query": 'NEAR("a" b) OR *:* \u0000 "'}).status_code == 200


def test_a_collection_that_is_not_there_is_told(server: Server) -> None:
    """Searching in an unknown collection is an error, not an empty answer."""
    answer = server.client.post("/api/search", json={"query": "falcon", "collections": [987_654]})
    assert answer.status_code == 404
    assert "987654" in answer.json()["detail"]
