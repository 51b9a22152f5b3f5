"""Rights over HTTP: two people, a collection that one of them has made, and everything that the other is told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.servers import eventually
from tests.team import Team, serving_team
from tests.visitors import visiting

SECRET = "zephyrine"
TEXT = f"The {SECRET} is made of glass and copper. It costs 48000 euros."
MISSING = 2**40


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with serving_team(tmp_path_factory.mktemp("rights") / "data") as team:
        yield team


@pytest.fixture(scope="module")
def mine(team: Team) -> dict[str, int]:
    """What uma has: a collection with a document in it, and a job."""
    with team.program("uma", "write") as client:
        collection = client.post("/api/collections", json={"name": f"The {SECRET} project"}).json()["id"]
        files = {"file": (f"{SECRET}.txt", TEXT.encode())}
        document = client.post("/api/documents", params={"collection": collection}, files=files).json()["documents"][0]
        number = document["id"]
        eventually(lambda: client.get(f"/api/documents/{number}").json()["status"] == "ready", what="ingestion")
        job = client.get(f"/api/documents/{number}").json()["job_id"]
        assert client.get(f"/api/documents/{number}").json()["added_by"] == team["uma"].id
    return {"collection": collection, "document": number, "job": job}


def told(answer: httpx.Response, number: object) -> str:
    """Return an answer's status and body without the id that was asked for, and that of the request."""
    body = re.sub(r'"request_id":"\w+"', "", answer.text)
    return f"{answer.status_code} {re.sub(rf'{number}', 'ID', body)}"


REQUESTS = [
    ("GET", "/api/documents/{document}", None),
    ("GET", "/api/documents/{document}/chunks", None),
    ("GET", "/api/documents/{document}/original", None),
    ("POST", "/api/documents/{document}/disable", None),
    ("POST", "/api/documents/{document}/enable", None),
    ("DELETE", "/api/documents/{document}", None),
    ("PATCH", "/api/collections/{collection}", {"name": "Mine"}),
    ("DELETE", "/api/collections/{collection}", None),
    ("POST", "/api/jobs/{job}/cancel", None),
    ("POST", "/api/jobs/{job}/retry", None),
    ("DELETE", "/api/jobs/{job}", None),
    ("POST", "/api/imports", {"name": "x", "collection": "{collection}", "chunks": [{"text": "x"}]}),
    ("POST", "/api/search", {"query": f"the {SECRET}", "collections": ["{collection}"]}),
    ("GET", "/api/documents?collection={collection}", None),
]


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
def test_another_person_is_told_the_same_as_of_what_does_not_exist(
    team: Team, mine: dict[str, int], method: str, path: str, body: object
) -> None:
    """Byte for byte: otherwise the ids that exist could be told from those that do not."""
    kind = re.findall(r"{(\w+)}", path + json.dumps(body))[0]

    def ask(ids: dict[str, int]) -> str:
        filled = json.dumps(body)
        for name, number in ids.items():
            filled = filled.replace(f'"{{{name}}}"', str(number))
        with team.browser("aud") as client:
            answer = client.request(method, path.format(**ids), json=json.loads(filled) if body is not None else None)
        assert SECRET not in answer.text.replace(f"the {SECRET}", "")
        return told(answer, ids[kind])

    assert ask(mine) == ask(dict.fromkeys(mine, MISSING))


def test_lists_and_answers_have_nothing_of_it(team: Team, mine: dict[str, int]) -> None:
    """Everything that shows several things at once: lists, counts, searches, answers, corrections."""
    question = {"messages": [{"role": "user", "content": f"What is the {SECRET} made of?"}]}
    with team.browser("aud") as client, team.browser("uma") as owner:
        for path in ("/api/documents", "/api/collections", "/api/jobs", "/api/deletions"):
            assert SECRET not in client.get(path).text
        assert client.get("/api/documents").json()["total"] == 0
        for query in (f"the {SECRET}", "What is the zephyrnie made of?", "made of glass and copper"):
            answer = client.post("/api/search", json={"query": query}).json()
            assert (answer["hits"], answer["corrections"]) == ([], [])
            assert owner.post("/api/search", json={"query": query}).json()["hits"]
        told_owner = owner.post("/v1/chat/completions", json=question).json()["choices"][0]["message"]
        assert "glass and copper" in told_owner["content"]
        # The same question from somebody else is not answered from the cache.
        answered = client.post("/v1/chat/completions", json=question).json()["choices"][0]["message"]
        assert answered["citations"] == []
        assert "glass" not in answered["content"]


def test_the_same_file_of_another_person_is_taken_in_as_new(team: Team, mine: dict[str, int]) -> None:
    """ "Already there" would tell that somebody has the file."""
    with team.program("aud", "write") as client:
        own = client.post("/api/collections", json={"name": f"The {SECRET} project"})
        assert own.status_code == 201
        files = {"file": (f"{SECRET}.txt", TEXT.encode())}
        uploaded = client.post("/api/documents", params={"collection": own.json()["id"]}, files=files).json()
        assert not uploaded["documents"][0]["duplicate"]
        assert client.delete(f"/api/collections/{own.json()['id']}").status_code == 204


def test_a_conversation_is_its_persons_alone(team: Team, mine: dict[str, int]) -> None:
    """Administrators neither: for everybody else it does not exist."""
    with team.browser("uma") as owner, team.browser("ada") as admin:
        name = owner.post("/api/conversations", json={}).json()["id"]
        question = {"question": f"What is the {SECRET} made of?", "stream": False}
        assert "copper" in owner.post(f"/api/conversations/{name}/questions", json=question).json()["text"]
        assert [each["id"] for each in owner.get("/api/conversations").json()["conversations"]] == [name]
        assert admin.get("/api/conversations", params={"query": SECRET}).json()["conversations"] == []
        for method, path in (
            ("GET", ""),
            ("GET", "/messages"),
            ("DELETE", ""),
            ("PATCH", ""),
            ("POST", "/questions"),
        ):
            body = {"PATCH": {"title": "x"}, "POST": question}.get(method)
            theirs = admin.request(method, f"/api/conversations/{name}{path}", json=body)
            missing = admin.request(method, f"/api/conversations/{'0' * 16}{path}", json=body)
            assert theirs.status_code == 404
            assert told(theirs, name) == told(missing, "0" * 16)
        assert len(owner.get(f"/api/conversations/{name}/messages").json()["messages"]) == 2


def share(team: Team, collection: int, level: str) -> None:
    """Have uma grant the operator a level in a collection."""
    with team.browser("uma") as client:
        grant = {"kind": "person", "name": "ole", "level": level}
        assert client.put(f"/api/collections/{collection}/grants", json=grant).status_code == 200


@pytest.mark.parametrize("level", ["read", "write"])
def test_buttons_that_are_not_allowed_are_absent(team: Team, mine: dict[str, int], level: str) -> None:
    """Whoever may only read is not offered what would be refused; a right that was taken away leaves nothing."""
    share(team, mine["collection"], level)
    try:
        with visiting(team.server.url, team["ole"].cookie) as tab:
            tab.open("documents", f"document={mine['document']}")
            assert "version 1" in " ".join(tab.texts)
            shown = tab.buttons.keys() & {"Re-chunk", "Re-embed", "Delete"}
            assert shown == ({"Re-chunk", "Re-embed", "Delete"} if level == "write" else set())
    finally:
        share(team, mine["collection"], "none")
    with visiting(team.server.url, team["ole"].cookie) as tab:
        tab.open("documents", f"document={mine['document']}")
        assert any("Document not found" in text for text in tab.texts)
        assert SECRET not in " ".join(tab.texts)
