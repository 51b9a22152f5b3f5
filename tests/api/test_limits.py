"""Limits and cancellation, with a language model that stops talking in the middle."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.chat.model_server import ModelServer, model_server
from tests.servers import Server, eventually, serving

QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "How long are pump seals covered?"}]
BODY = {"messages": QUESTION}


@pytest.fixture(scope="module")
def slow_model() -> Iterator[ModelServer]:
    """A model server that says two words and then nothing."""
    with model_server() as model:
        yield model


@pytest.fixture(scope="module")
def narrow(slow_model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one slot, no queue, and that model.

    In the end it is told to stop in mid-answer: it tells the client that it breaks off, and ends well.
    """
    limits = {"answers_total": 1, "answers_per_user": 1, "answers_waiting": 0}
    model = {"openai_base_url": slow_model.openai("midhang"), "openai_model": "tiny", "openai_api_key": "k"}
    with serving(tmp_path_factory.mktemp("narrow") / "data", **limits, **model) as server:
        number = server.add("pump.txt", b"Check the oil weekly. Pump seals are covered for 12 months.")
        assert server.wait_finished(number)["status"] == "ready"
        yield server
        body = {**BODY, "stream": True}
        with (
            httpx.Client(trust_env=False) as client,
            client.stream("POST", f"{server.url}/v1/chat/completions", json=body, timeout=30) as answer,
        ):
            lines = answer.iter_lines()
            while "Seals" not in next(lines):
                pass
            assert server.stop() == 0
            assert "interrupted" in "".join(lines)
        assert slow_model.wait(lambda: slow_model.open == 0)
        assert "Traceback" not in server.log.read_text()


def running(server: Server) -> int:
    return int(server.client.get("/api/status").json()["answers"]["running"])


@pytest.fixture(autouse=True)
def free_slot(narrow: Server) -> Iterator[None]:
    """Each test finds and leaves the slot free."""
    eventually(lambda: running(narrow) == 0, what="a free slot")
    yield
    eventually(lambda: running(narrow) == 0, what="a freed slot")


def test_leaving_a_stream_frees_the_slot(narrow: Server, slow_model: ModelServer) -> None:
    """When the client goes away in mid-answer, the model call ends and the slot is free."""
    before = slow_model.hung_up
    with narrow.client.stream("POST", "/v1/chat/completions", json={**BODY, "stream": True}, timeout=30) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        while "Seals" not in next(lines):
            pass
        assert running(narrow) == 1
    eventually(lambda: running(narrow) == 0, what="a free slot")
    assert slow_model.wait(lambda: slow_model.hung_up > before)


def test_leaving_before_the_answer_frees_the_slot(narrow: Server, slow_model: ModelServer) -> None:
    """A client that waits for the whole answer and gives up has the same effect."""
    before = slow_model.hung_up
    with pytest.raises(httpx.ReadTimeout):
        narrow.client.post("/v1/chat/completions", json=BODY, timeout=1.0)
    eventually(lambda: running(narrow) == 0, what="a free slot")
    assert slow_model.wait(lambda: slow_model.hung_up > before)


@pytest.mark.parametrize("stream", [False, True])
def test_busy_says_when_to_try_again(narrow: Server, stream: bool) -> None:
    """While the only slot is taken, another question is refused with 429 and Retry-After, in the client's exception."""
    with narrow.client.stream("POST", "/v1/chat/completions", json={**BODY, "stream": True}, timeout=30) as answer:
        lines = answer.iter_lines()
        while "Seals" not in next(lines):
            pass
        with (
            OpenAI(base_url=f"{narrow.url}/v1", api_key="none", max_retries=0) as client,
            pytest.raises(openai.RateLimitError) as caught,
        ):
            client.chat.completions.create(model="millpond", messages=QUESTION, stream=stream, user="somebody else")
        assert int(caught.value.response.headers["retry-after"]) >= 1
        assert caught.value.response.json()["error"]["type"] == "rate_limit_error"
        # Everything that is no answer goes on meanwhile.
        assert narrow.client.post("/api/search", json={"query": "seals"}).status_code == 200


def test_many_that_leave_leave_nothing(narrow: Server, slow_model: ModelServer) -> None:
    """A crowd that asks and goes away at once leaves no slot taken and no connection to the model open."""

    def come_and_go() -> None:
        with httpx.Client(base_url=narrow.url, trust_env=False) as client, contextlib.suppress(httpx.TimeoutException):
            client.post("/v1/chat/completions", json={**BODY, "stream": True}, timeout=0.3)

    crowd = [threading.Thread(target=come_and_go) for _ in range(12)]
    for visitor in crowd:
        visitor.start()
    for visitor in crowd:
        visitor.join()
    eventually(lambda: running(narrow) == 0, what="a free slot")
    assert slow_model.wait(lambda: slow_model.open == 0)


def test_model_that_breaks_off(narrow: Server, slow_model: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that dies in mid-answer ends the stream with an error that the client raises, not with silence."""
    monkeypatch.setattr(slow_model, "manner", "dies")
    with OpenAI(base_url=f"{narrow.url}/v1", api_key="none", max_retries=0) as client:
        stream = client.chat.completions.create(model="millpond", messages=QUESTION, stream=True)
        with pytest.raises(openai.APIError):
            list(stream)
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model="millpond", messages=QUESTION)
        assert caught.value.status_code in {502, 503}
        assert caught.value.response.json()["hint"]
