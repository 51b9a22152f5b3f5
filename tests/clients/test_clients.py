"""Official clients against a running console, which is connected to a chat server that takes everything."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import APIError, OpenAI
from pydantic import BaseModel

from tests.chat.model_server import ModelServer, model_server
from tests.chat.scripted_server import TEXT, answer, capable, event, stream
from tests.clients import provide_clients
from tests.servers import Server, eventually, serving

QUESTION = "How long are seals covered?"
STRUCTURED = {"part": "seal", "months": [12]}
ORDER = {"part": "seal", "count": 2}


class Cover(BaseModel):
    """How long a part is covered."""

    part: str
    months: list[int]


@tool
def order(part: str, count: int) -> str:
    """Order a part."""
    return f"{count} {part} ordered"


@pytest.fixture(scope="module")
def chat_server() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


@pytest.fixture(autouse=True)
def takes_everything(chat_server: ModelServer) -> None:
    chat_server.script = capable


@pytest.fixture(scope="module")
def console(chat_server: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A console with one document and the chat server."""
    settings = {"openai_base_url": chat_server.openai("404page"), "openai_model": "alias"}  # it has no list of models
    with serving(tmp_path_factory.mktemp("clients") / "data", **settings) as server:
        document = server.add("pump.txt", b"Pump seals are covered for 12 months. Valves are covered for 24 months.")
        assert server.wait_finished(document)["status"] == "ready"
        yield server


@pytest.fixture
def model(console: Server) -> ChatOpenAI:
    return ChatOpenAI(
        model="millpond",
        base_url=f"{console.url}/v1",
        api_key="none",  # type: ignore[arg-type]
        max_retries=0,
        default_headers={"Cache-Control": "no-cache"},
    )


@pytest.fixture
def client(console: Server) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{console.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def installed(name: str) -> pytest.MarkDecorator:
    missing = not provide_clients.is_installed(name)
    return pytest.mark.skipif(missing, reason=f"{name} is installed by tests/clients/provide_clients.py")


def test_langchain_asks(model: ChatOpenAI) -> None:
    """Whole and streamed, with its own temperature and limits, and with token counts."""
    whole = model.invoke([SystemMessage("Be brief."), HumanMessage(QUESTION)], temperature=0.2, stop=["END"])
    assert whole.text == TEXT
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] == 9
    assert whole.response_metadata["finish_reason"] == "stop"
    pieces = list(model.stream(QUESTION, stream_usage=True))
    assert "".join(piece.text for piece in pieces) == TEXT
    assert len([piece for piece in pieces if piece.text]) > 3
    assert sum(piece.usage_metadata["output_tokens"] for piece in pieces if piece.usage_metadata) == 9


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
def test_langchain_gets_structured_output(model: ChatOpenAI, method: str) -> None:
    """A schema comes back as an object, in both ways in which it asks for one."""
    found = model.with_structured_output(Cover, method=method).invoke(f"{QUESTION} Answer as JSON.")  # type: ignore[arg-type]
    assert isinstance(found, Cover)
    assert found.model_dump() == STRUCTURED


def test_langchain_calls_tools(model: ChatOpenAI) -> None:
    """The call comes whole and streamed; with what the tool returned the answer is finished."""
    able = model.bind_tools([order])
    call = able.invoke(QUESTION)
    assert [(one["name"], one["args"]) for one in call.tool_calls] == [("order", ORDER)]
    assert call.response_metadata["finish_reason"] == "tool_calls"
    pieces = list(able.stream(QUESTION))
    streamed = pieces[0]
    for piece in pieces[1:]:
        streamed += piece
    assert [(one["name"], one["args"]) for one in streamed.tool_calls] == [("order", ORDER)]
    result = ToolMessage(order.invoke(call.tool_calls[0]["args"]), tool_call_id=call.tool_calls[0]["id"])
    assert able.invoke([HumanMessage(QUESTION), call, result]).text == "The tool says: 2 seal ordered"


def test_the_official_client_asks(client: OpenAI) -> None:
    """Models, structured output by its own helper, and the tokens that the chat server has counted."""
    assert [model.id for model in client.models.list()] == ["millpond"]
    assert client.models.retrieve("millpond").id == "millpond"
    question: Any = [{"role": "user", "content": QUESTION}]
    parsed = client.chat.completions.parse(model="millpond", messages=question, response_format=Cover)
    assert parsed.choices[0].message.parsed == Cover(**STRUCTURED)
    assert parsed.usage is not None
    assert parsed.usage.total_tokens == 79


def test_an_answer_that_is_cut_is_not_kept(client: OpenAI, chat_server: ModelServer) -> None:
    """The reason for the end is the chat server's, and the next one asks again."""
    question: Any = [{"role": "user", "content": f"{QUESTION} In short."}]
    for reason in ("length", "content_filter"):
        chat_server.script = lambda body, reason=reason: answer(body, finish=reason)
        for _number in range(2):
            asked = len(chat_server.requests)
            choice = client.chat.completions.create(model="millpond", messages=question).choices[0]
            assert (choice.finish_reason, choice.message.content) == (reason, TEXT)
            assert len([body for _path, _headers, body in chat_server.requests[asked:] if body]) == 1
        pieces = list(client.chat.completions.create(model="millpond", messages=question, stream=True))
        assert pieces[-1].choices[0].finish_reason == reason


def test_an_answer_that_breaks_off_is_an_error(client: OpenAI, console: Server, chat_server: ModelServer) -> None:
    """Streamed, the error comes behind the words; whole, they are beside it. Nothing of it is kept for the next one."""
    question: Any = [{"role": "user", "content": f"{QUESTION} Soon."}]
    chat_server.script = lambda _body: stream(event({"content": "Seals are"}), done=False)
    words: list[str] = []
    with pytest.raises(APIError, match="broke off"):
        words.extend(
            piece.choices[0].delta.content or ""
            for piece in client.chat.completions.create(model="millpond", messages=question, stream=True)
        )
    whole = console.client.post("/v1/chat/completions", json={"messages": question})
    assert whole.status_code == 503
    assert whole.json()["text"] == "Seals are"
    assert "broke off" in whole.json()["error"]["message"]
    chat_server.script = capable
    assert client.chat.completions.create(model="millpond", messages=question).choices[0].message.content == TEXT


def test_image_parts_are_refused_by_name(client: OpenAI) -> None:
    """No client believes that its picture was seen."""
    content: Any = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": "data:,x"}}]
    with pytest.raises(APIError, match="`image_url` cannot be fulfilled"):
        client.chat.completions.create(model="millpond", messages=[{"role": "user", "content": content}])


@installed("llamaindex")
def test_llamaindex_asks(console: Server) -> None:
    """Whole, streamed, structured, with tools; it sends a temperature with every question."""
    command = [str(provide_clients.LLAMAINDEX), str(Path(__file__).with_name("llamaindex_client.py")), console.url]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["text"] == found["completed"] == "".join(found["streamed"]) == TEXT
    assert found["usage"]["total_tokens"] == 79
    assert found["structured"] == STRUCTURED
    assert found["calls"] == [{"name": "order", "arguments": ORDER}]


@installed("node")
def test_the_official_client_in_javascript_asks(console: Server) -> None:
    """Models, whole, streamed with usage, structured, a loop of tools, and errors as its own classes."""
    script = provide_clients.NODE_FOLDER / "openai_client.mjs"  # where its imports are found
    script.write_bytes(Path(__file__).with_name("openai_client.mjs").read_bytes())
    run = subprocess.run(["node", str(script), console.url], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["models"] == ["millpond"]
    assert found["text"] == "".join(found["streamed"]) == TEXT
    assert (found["finish"], found["citations"]) == ("stop", 1)
    assert found["usage"]["total_tokens"] == 79
    assert found["structured"] == STRUCTURED
    assert found["afterTools"] == "The tool says: 2 seal ordered"
    assert found["error"]["status"] == 404
    assert found["error"]["name"] == "NotFoundError"
    assert "gpt-99" in found["error"]["message"]
    assert found["refused"] == {"status": 400, "param": "n", "type": "invalid_request_error"}


def curl(console: Server, path: str, *arguments: str) -> str:
    run = subprocess.run(
        ["curl", "-sN", "--max-time", "60", *arguments, f"{console.url}{path}"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_curl_asks(console: Server) -> None:
    """As the README shows it: the models, an answer, a stream that ends with [DONE], and an error that names itself."""
    assert [one["id"] for one in json.loads(curl(console, "/v1/models"))["data"]] == ["millpond"]
    body = {"messages": [{"role": "user", "content": QUESTION}]}
    sent = ["-H", "Content-Type: application/json", "-d"]
    whole = json.loads(curl(console, "/v1/chat/completions", *sent, json.dumps(body)))
    assert whole["choices"][0]["message"]["content"] == TEXT
    streamed = curl(console, "/v1/chat/completions", *sent, json.dumps(body | {"stream": True}))
    lines = [line.removeprefix("data: ") for line in streamed.splitlines() if line]
    assert lines[-1] == "[DONE]"
    deltas = [json.loads(line)["choices"][0]["delta"] for line in lines[:-1]]
    assert "".join(delta.get("content", "") for delta in deltas) == TEXT
    for path, sent_body in (("/v1/models/nope", None), ("/v1/embeddings", {}), ("/v1/chat/completions", {})):
        error = json.loads(curl(console, path, *([*sent, json.dumps(sent_body)] if sent_body is not None else [])))
        assert error["error"]["message"]
        assert error["error"]["type"] == "invalid_request_error"


def test_readiness_when_the_chat_server_is_in_doubt(console: Server, chat_server: ModelServer) -> None:
    """Ready with a warning while the server has no list of models, and while it is down; documents are quoted then."""

    def check() -> dict[str, Any]:
        ready = console.client.get("/readyz")
        assert ready.status_code == 200
        found: dict[str, Any] = ready.json()["checks"]["chat model"]
        assert found["ok"] is True
        return found

    body = {"messages": [{"role": "user", "content": QUESTION}]}
    fresh = {"Cache-Control": "no-cache"}
    assert console.client.delete("/api/status/chat-model/capabilities").status_code == 204
    assert console.client.get("/api/status").json()["chat_model"]["takes"] == []
    assert check()["warning"] is True
    assert "does not list its models" in check()["detail"]
    answered = console.client.post("/v1/chat/completions", json=body, headers=fresh).json()
    assert answered["choices"][0]["message"]["content"] == TEXT
    assert not check()["warning"]  # it has answered
    assert "stream" in console.client.get("/api/status").json()["chat_model"]["takes"]
    with chat_server.down():
        assert console.client.post("/api/status/chat-model/test").json()["state"] == "down"
        quoted = console.client.post("/v1/chat/completions", json=body, headers=fresh).json()
        assert "cannot be reached" in quoted["choices"][0]["message"]["content"]
        assert "12 months" in quoted["choices"][0]["message"]["content"]
        eventually(lambda: check().get("warning"), what="the warning")
        assert "documents are quoted" in check()["detail"]
    assert console.client.post("/api/status/chat-model/test").json()["state"] == "ready"
