from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.servers import Server, eventually


@pytest.fixture(scope="module")
def mill(server: Server) -> int:
    """A document that answers the questions, in a collection of its own; the collection's id."""
    shelf = server.client.post("/api/collections", json={"name": f"mills {uuid4().hex[:6]}"}).json()["id"]
    content = "The sluice gate is inspected every fourteen weeks. The millstone is dressed every ninety days."
    number = server.add(f"mill {uuid4().hex[:6]}.txt", content.encode(), collection=str(shelf))
    assert server.wait_finished(number)["status"] == "ready"
    return int(shelf)


@pytest.fixture
def conversation(server: Server, mill: int) -> str:
    """A fresh conversation that asks that collection."""
    answer = server.client.post("/api/conversations", json={"collections": [mill], "history_turns": 3})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def streamed(response: httpx.Response) -> list[tuple[str, Any]]:
    events = []
    kind = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            events.append((kind, json.loads(line.removeprefix("data: "))))
    return events


def test_an_answer_is_streamed_and_stored(server: Server, conversation: str) -> None:
    """The events come in order, the pieces are the stored text, and the conversation has both messages."""
    path = f"/api/conversations/{conversation}"
    asked = {"question": "How often is the sluice gate inspected?"}
    with server.client.stream("POST", f"{path}/questions", json=asked) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        events = streamed(response)
    kinds = [kind for kind, _data in events]
    assert kinds[-1] == "finished"
    assert kinds.index("retrieved") < kinds.index("token")
    message = events[-1][1]
    assert "fourteen weeks" in message["text"]
    assert message["citations"][0]["document"].startswith("mill ")
    stored = server.client.get(f"{path}/messages").json()
    assert [one["role"] for one in stored["messages"]] == ["user", "assistant"]
    assert stored["messages"][1]["text"] == message["text"]
    assert stored["before"] is None
    heading = server.client.get(path).json()
    assert heading["title"] == "How often is the sluice gate inspected?"
    assert heading["messages"] == 2


def test_a_whole_answer_in_one_piece(server: Server, conversation: str) -> None:
    """Clients without server-sent events get the message as JSON."""
    answer = server.client.post(
        f"/api/conversations/{conversation}/questions",
        json={"question": "How often is the millstone dressed?", "stream": False},
    )
    assert answer.status_code == 200, answer.text
    assert "ninety days" in answer.json()["text"]
    assert answer.json()["state"] == "complete"


def test_why_an_answer_is_bad_is_kept_with_it(server: Server, conversation: str) -> None:
    """Programs that show answers tell the reason as pages do; no other one, and of answers of this conversation."""
    path = f"/api/conversations/{conversation}"
    question = {"question": "How often is the millstone dressed?", "stream": False}
    answer = server.client.post(f"{path}/questions", json=question).json()
    assert (answer["feedback"], answer["feedback_reason"], answer["feedback_text"]) == (0, None, "")
    place = f"messages/{answer['id']}/feedback"
    said = {"value": -1, "reason": "not_in_documents", "text": "Nobody says so."}
    assert server.client.put(f"{path}/{place}", json=said).status_code == 204
    stored = server.client.get(f"{path}/messages").json()["messages"][1]
    assert (stored["feedback"], stored["feedback_reason"], stored["feedback_text"]) == tuple(said.values())
    for wrong in ({"value": 2}, said | {"reason": "ugly"}, said | {"text": "x" * 301}):
        assert server.client.put(f"{path}/{place}", json=wrong).status_code == 422
    other = server.client.post("/api/conversations", json={}).json()["id"]
    assert server.client.put(f"/api/conversations/{other}/{place}", json=said | {"value": 1}).status_code == 404
    assert server.client.get(f"{path}/messages").json()["messages"][1] == stored


def test_a_search_says_where_it_found_the_words(server: Server, conversation: str) -> None:
    """Whoever searches sees why a conversation is there, without reading it."""
    question = {"question": "How often is the millstone dressed?", "stream": False}
    server.client.post(f"/api/conversations/{conversation}/questions", json=question).raise_for_status()
    found = server.client.get("/api/conversations", params={"query": "NINETY days"}).json()["conversations"]
    assert "every ninety days" in next(each["excerpt"] for each in found if each["id"] == conversation)
    listed = server.client.get("/api/conversations").json()["conversations"]
    assert {each["excerpt"] for each in listed} == {""}


def test_messages_come_in_windows(server: Server, conversation: str) -> None:
    """`before` leads from the newest window back to the first message, each message once."""
    for number in range(3):
        question = {"question": f"How often is gate {number} inspected?", "stream": False}
        server.client.post(f"/api/conversations/{conversation}/questions", json=question).raise_for_status()
    seen: list[int] = []
    before = ""
    while True:
        window = server.client.get(f"/api/conversations/{conversation}/messages?limit=4{before}").json()
        seen = [message["id"] for message in window["messages"]] + seen
        if window["before"] is None:
            break
        before = f"&before={window['before']}"
    assert len(seen) == 6
    assert seen == sorted(set(seen))


def test_rename_list_and_delete(server: Server, conversation: str) -> None:
    """A conversation is found under its new title until it is deleted; afterwards each address says 404."""
    title = f"Weirs {uuid4().hex[:8]}"
    path = f"/api/conversations/{conversation}"
    assert server.client.patch(path, json={"title": title}).json()["title"] == title
    found = server.client.get("/api/conversations", params={"query": title}).json()["conversations"]
    assert [one["id"] for one in found] == [conversation]
    assert server.client.delete(path).status_code == 204
    for answer in (
        server.client.get(path),
        server.client.delete(path),
        server.client.get(f"{path}/messages"),
        server.client.patch(path, json={"title": "x"}),
        server.client.post(f"{path}/questions", json={"question": "Is it there?"}),
        server.client.post(f"{path}/questions", json={"question": "Is it there?", "stream": False}),
    ):
        assert answer.status_code == 404, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["hint"]


@pytest.mark.parametrize(("question", "status"), [(" ", 400), ("x" * 5000, 413)])
@pytest.mark.parametrize("stream", [True, False])
def test_unusable_questions_get_a_status(
    server: Server, conversation: str, question: str, status: int, *, stream: bool
) -> None:
    """A question that cannot be asked is a problem document, not a stream that breaks; nothing is stored."""
    path = f"/api/conversations/{conversation}"
    answer = server.client.post(f"{path}/questions", json={"question": question, "stream": stream})
    assert answer.status_code == status
    assert answer.json()["status"] == status
    assert server.client.get(path).json()["messages"] == 0


def test_going_away_ends_the_answer(server: Server, conversation: str) -> None:
    """After a client hung up its slot is free again and the conversation takes the next question."""
    path = f"/api/conversations/{conversation}/questions"
    with server.client.stream("POST", path, json={"question": "How often is the gate inspected?"}) as response:
        next(response.iter_raw())

    def free() -> bool:
        answers = server.client.get("/api/status").json()["answers"]
        return bool(answers["running"] == 0 and answers["waiting"] == 0)

    eventually(free, what="the end of the answer")
    again = server.client.post(path, json={"question": "How often is the millstone dressed?", "stream": False})
    assert again.status_code == 200, again.text
