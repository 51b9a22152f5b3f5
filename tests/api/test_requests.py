"""Requests in progress over real HTTP: seen, waited for, cancelled, left, and nothing of them stays."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from services.core.machine import MEGABYTE
from tests.chat.model_server import ModelServer, model_server
from tests.servers import Server, eventually, serving

TOKEN = "the-administrator"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def slow_model() -> Iterator[ModelServer]:
    """A model server that says two words and then nothing."""
    with model_server() as model:
        yield model


@pytest.fixture(scope="module")
def narrow(slow_model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one slot for answers, where visitors may only look and everybody may wait."""
    settings = {"answers_total": 1, "answers_waiting": 8, "answer_seconds": 20, "visitors": "user"}
    model = {"openai_base_url": slow_model.openai("midhang"), "openai_model": "tiny", "openai_api_key": "k"}
    with serving(tmp_path_factory.mktemp("scopes") / "data", admin_token=TOKEN, **settings, **model) as server:
        number = server.add("pump.txt", b"Check the oil weekly. Pump seals are covered for 12 months.")
        assert server.wait_finished(number)["status"] == "ready"
        yield server


def body(user: str) -> dict[str, Any]:
    question = [{"role": "user", "content": "How long are pump seals covered?"}]
    return {"messages": question, "stream": True, "user": user}


@contextlib.contextmanager
def asking(server: Server, user: str) -> Iterator[Iterator[str]]:
    """A question under way; yields the lines of its stream."""
    with (
        httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client,
        client.stream("POST", "/v1/chat/completions", json=body(user)) as answer,
    ):
        assert answer.status_code == 200
        yield answer.iter_lines()


def running(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.client.get("/api/requests").json()["running"]
    return found


def recent(server: Server, user: str) -> dict[str, Any]:
    found = server.client.get("/api/requests").json()["recent"]
    return next(one for one in found if one["user"].endswith(user))


@pytest.fixture(autouse=True)
def nothing_left(narrow: Server, slow_model: ModelServer) -> Iterator[None]:
    """Each test leaves no request and no connection to the model."""
    yield
    eventually(lambda: running(narrow) == [], what="the end of all requests")
    assert slow_model.wait(lambda: slow_model.open == 0)


def test_the_place_in_the_queue_is_streamed(narrow: Server) -> None:
    """Who waits is told its place at once and as it changes, and is listed with it; then the answer comes."""
    with asking(narrow, "ann") as first:
        while "Seals" not in next(first):
            pass
        with asking(narrow, "bob") as second, asking(narrow, "eve") as third:
            assert _position(second) == 1
            assert _position(third) == 2
            places = {one["user"].rpartition("/")[2]: one["position"] for one in running(narrow)}
            assert places == {"ann": 0, "bob": 1, "eve": 2}
            mine = next(one["id"] for one in running(narrow) if one["user"].endswith("bob"))
            assert narrow.client.delete(f"/api/requests/{mine}", headers=ADMIN).status_code == 202
            assert _position(third) == 1
            assert "cancelled" in "".join(second)
    assert recent(narrow, "bob")["outcome"] == "cancelled"
    eventually(lambda: running(narrow) == [], what="the end of all requests")
    ended = recent(narrow, "ann")
    assert (ended["outcome"], ended["kind"]) == ("cancelled", "answer")
    assert min(ended["rss_before"], ended["rss_after"]) > 50 * MEGABYTE


def _position(lines: Iterator[str]) -> int:
    for line in lines:
        if line.startswith("data: {") and "queue_position" in line:
            return int(json.loads(line.removeprefix("data: "))["queue_position"])
    raise AssertionError("the stream ended")


def test_others_may_not_be_cancelled(narrow: Server) -> None:
    """A visitor ends the own request, named as it was asked for; somebody else's only with the token."""
    with asking(narrow, "ann") as lines:
        while "Seals" not in next(lines):
            pass
        mine = running(narrow)[0]["id"]
        assert narrow.client.delete(f"/api/requests/{mine}").status_code == 403
        assert narrow.client.delete(f"/api/requests/{mine}", params={"user": "bob"}).status_code == 403
        assert narrow.client.delete("/api/requests/none").status_code == 403
        assert narrow.client.delete("/api/requests/none", headers=ADMIN).status_code == 404
        assert narrow.client.delete(f"/api/requests/{mine}", params={"user": "ann"}).status_code == 202
        assert "interrupted" in "".join(lines)


def test_an_upload_is_seen_and_cancelled(narrow: Server) -> None:
    """A form that never ends is listed while it comes in; cancelled, its client is told and no document is there."""
    begun, go = threading.Event(), threading.Event()
    before = narrow.client.get("/api/documents").json()["total"]

    def form() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="endless.txt"\r\n\r\n'
        yield b"word " * 1000
        begun.set()
        go.wait(30)
        yield b"word"

    answers: list[httpx.Response] = []

    def upload() -> None:
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        with httpx.Client(base_url=narrow.url, trust_env=False, timeout=60) as client:
            answers.append(client.post("/api/documents", content=form(), headers=headers))

    thread = threading.Thread(target=upload)
    thread.start()
    assert begun.wait(30)
    eventually(lambda: [one["kind"] for one in running(narrow)] == ["upload"], what="the upload in the list")
    narrow.client.delete(f"/api/requests/{running(narrow)[0]['id']}", headers=ADMIN).raise_for_status()
    eventually(lambda: running(narrow) == [], what="the end of the upload")
    go.set()
    thread.join(30)
    assert answers[0].status_code >= 400
    assert narrow.client.get("/api/documents").json()["total"] == before


def test_searches_are_listed_with_their_user(narrow: Server) -> None:
    """What has ended is there too, with its duration and the process's memory before and after."""
    narrow.client.post("/api/search", json={"query": "pump seals"}).raise_for_status()
    ended = narrow.client.get("/api/requests").json()["recent"][0]
    assert (ended["kind"], ended["user"], ended["outcome"]) == ("search", "127.0.0.1", "done")
    assert "pump" not in ended["detail"]
    assert 'millpond_requests_ended_total{kind="search",outcome="done"}' in narrow.client.get("/metrics").text


def test_clients_that_leave_at_any_moment_leave_nothing(narrow: Server, slow_model: ModelServer) -> None:
    """Sixty clients hang up after 0 to 0.6 s: waiting, searching, before the first word, within the answer, storing.

    Memory and descriptors of the server are afterwards what they were after the first twenty.
    """
    process = psutil.Process(narrow.process.pid)

    def descriptors() -> int:
        """Return how many are open, but for the database's: as many of those are kept as were ever needed at once."""
        pooled = [each for each in process.open_files() if Path(each.path).name.startswith("millpond.db")]
        return process.num_fds() - len(pooled)

    def come_and_go(number: int) -> None:
        with (
            httpx.Client(base_url=narrow.url, trust_env=False) as client,
            contextlib.suppress(httpx.TimeoutException),
        ):
            client.post("/v1/chat/completions", json=body(f"user {number}"), timeout=0.01 + 0.03 * (number % 20))

    def crowd(first: int, last: int) -> tuple[int, int]:
        for start in range(first, last, 5):
            visitors = [threading.Thread(target=come_and_go, args=(number,)) for number in range(start, start + 5)]
            for visitor in visitors:
                visitor.start()
            for visitor in visitors:
                visitor.join()
        eventually(lambda: running(narrow) == [], what="the end of all requests")
        assert slow_model.wait(lambda: slow_model.open == 0)
        return process.memory_info().rss, descriptors()

    rss, before = crowd(0, 20)
    rss_after, after = crowd(20, 80)
    assert rss_after - rss < 12 * MEGABYTE
    assert after <= before + 4
