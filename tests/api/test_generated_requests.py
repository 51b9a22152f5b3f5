"""Generated and handmade requests to a real server whose chat server is down from the start."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from console.api.application import create_api
from tests.servers import Server, eventually, run, serving
from tests.siege.generated_requests import attack

LONG = "a" * 60_000
NAMES = [
    "%00",
    "%0A",
    "%0D%0A",
    "..%2F..",
    "%F0%9F%90%9F",
    "%ED%A0%80",
    "%FF",
    "a" * 2000,
    "-1",
    "9" * 60,
    "1e5",
    "NaN",
]


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a document and a chat server that nobody has started."""
    data = tmp_path_factory.mktemp("attacked") / "data"
    with serving(data, openai_base_url="http://127.0.0.1:9/v1", openai_model="tiny", answers_waiting=64) as server:
        server.wait_finished(server.add("pump.txt", b"Check the oil weekly. Pump seals are covered for 12 months."))
        yield server


def test_ready_with_a_warning_while_the_chat_server_is_down(attacked: Server) -> None:
    """Documents are answered from: /readyz, metric and command line say so in the same words."""

    def check() -> dict[str, Any]:
        ready = attacked.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
        found: dict[str, Any] = ready.json()["checks"]["chat model"]
        return found

    eventually(lambda: check()["warning"], what="the warning")
    assert check()["ok"]
    assert "the documents are quoted" in check()["detail"]
    metrics = attacked.client.get("/metrics").text
    assert 'millpond_check_ok{component="chat model"} 1.0' in metrics
    assert 'millpond_check_warning{component="chat model"} 1.0' in metrics
    told = run("status", data_dir=attacked.data_dir)
    assert "the documents are quoted" in told.stdout, told.stdout + told.stderr


def test_generated_requests_find_nothing(attacked: Server, tmp_path: Path) -> None:
    """A few requests to every operation, with all of schemathesis's checks; the long form is `make siege`."""
    outcome = attack(attacked.url, tmp_path, phases="fuzzing", seed=11, examples=2)
    assert outcome.findings == [], outcome.output
    assert outcome.operations > 70
    assert attacked.client.get("/api/documents").status_code == 200, "an account was made: nothing else was attacked"
    assert '"event": "defect"' not in attacked.log.read_text()


@pytest.mark.parametrize(
    "request_",
    [
        ("GET", "/api/documents", {"params": {"query": LONG}}),
        ("GET", "/api/conversations", {"params": {"query": LONG}}),
        ("GET", "/api/objects/types", {"params": {"since": LONG}}),
        ("GET", "/api/tracing/compare", {"params": {"old": LONG, "new": "x"}}),
        ("GET", "/api/memory/history", {"params": {"columns": LONG}}),
        ("POST", "/api/collections", {"json": {"name": LONG}}),
        ("POST", "/api/conversations", {"json": {"title": LONG}}),
        ("POST", "/api/conversations", {"json": {"history_turns": 2**70}}),
        ("POST", "/api/conversations", {"json": {"collections": [2**63]}}),
        ("POST", "/api/search", {"json": {"query": LONG}}),
        ("POST", "/api/search", {"content": b'{"query": "\\ud800"}'}),
        ("POST", "/api/search", {"content": b'{"query": "oil", "threshold": NaN}'}),
        ("POST", "/api/search", {"content": b'{"query": "oil", "dense_weight": 1e999}'}),
        ("POST", "/api/search", {"content": b'{"query": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"}),
        ("POST", "/api/search", {"content": b'{"query": "oil", "k": ' + b"9" * 5000 + b"}"}),
        ("POST", "/api/search", {"content": b'{"query": "oil", "k": "5"}'}),
        ("POST", "/api/search", {"content": b"\xff\xfe{"}),
        ("POST", "/api/search", {"json": {"query": "oil"}, "headers": {"Cache-Control": "x" * 5000}}),
        ("POST", "/api/imports", {"content": b'{"name": "a", "chunks": [{"text": "\\udfff"}]}'}),
        ("POST", "/api/imports", {"json": {"name": "a", "chunks": [{"text": "a"}], "vectors": "é", "dimension": 384}}),
        ("POST", "/v1/chat/completions", {"content": b'{"messages": [{"role": "user", "content": "\\ud800"}]}'}),
        ("POST", "/v1/chat/completions", {"json": {"messages": [{"role": "user", "content": "x"}], "seed": 2**80}}),
        ("POST", "/v1/chat/completions", {"json": {"messages": [{"role": "user", "content": "\u200b\x00"}]}}),
        ("PUT", "/api/collector", {"json": {"thresholds": [2**40, 1, 1]}}),
        ("PUT", "/api/budget", {"content": b'{"\\ud800": true}'}),
    ],
    ids=lambda request: f"{request[0]} {request[1]}",
)
def test_hostile_values_are_refused_in_words(attacked: Server, request_: tuple[str, str, dict[str, Any]]) -> None:
    """What no layer behind the routes stands is refused by a problem document with 4xx, short and in UTF-8."""
    method, path, given = request_
    answer = attacked.client.request(method, path, **given)
    assert 400 <= answer.status_code < 500, answer.text[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 5000
    assert answer.json()["detail"]


def test_any_text_may_stand_in_a_path(attacked: Server) -> None:
    """A path segment that is no id, or no text at all, is 404 or 422 as a problem document; nothing fails."""
    paths = [path for path in create_api().openapi()["paths"] if "{" in path]
    with httpx.Client(base_url=attacked.url, trust_env=False, timeout=60) as client:
        for path in paths:
            for name in NAMES:
                answer = client.get(re.sub(r"\{\w+\}", name, path))
                assert answer.status_code in {200, 400, 404, 405, 422}, (path, name, answer.text)
                if answer.status_code != 200:
                    assert answer.headers["content-type"] == "application/problem+json", (path, name)
    assert '"event": "defect"' not in attacked.log.read_text()


def test_every_whole_number_that_is_sent_has_limits(attacked: Server) -> None:
    """One without would reach the database, or C, as it comes."""
    unlimited: list[str] = []

    def walk(value: Any, place: str) -> None:
        if isinstance(value, dict):
            if value.get("type") == "integer" and not ({"maximum", "exclusiveMaximum"} & value.keys()):
                unlimited.append(place)
            for name, each in value.items():
                walk(each, f"{place}/{name}")
        elif isinstance(value, list):
            for each in value:
                walk(each, place)

    document = create_api().openapi()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            walk([operation.get("parameters"), operation.get("requestBody")], f"{method} {path}")
    sent = {"TextPart", "StreamOptions"} | {name for name in document["components"]["schemas"] if name.endswith("In")}
    for name in sent:
        walk(document["components"]["schemas"][name], name)
    assert [place for place in unlimited if not place.startswith("get /api/objects/paths/{address}")] == []


def test_a_failure_nobody_expected_is_a_problem_document(attacked: Server) -> None:
    """Starlette's own answer is plain text; the log has ours under its reference, once."""
    from starlette.testclient import TestClient

    api = create_api()

    @api.get("/api/broken")
    def broken() -> None:
        raise ZeroDivisionError("secret inner workings")

    answer = TestClient(api, raise_server_exceptions=False).get("/api/broken")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in json.dumps(answer.json())


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/api/documents", False),
        ("/api/documents/1", False),
        ("/api/documents/1/chunks", False),
        ("/api/documents/1/original", False),
        ("/api/conversations", False),
        ("/api/memory", False),
        ("/api/nothing", False),
        ("/metrics", False),
        ("/_stcore/health", False),
        ("/media/nothing", False),
        ("/docs/assets/swagger-ui.css", True),
    ],
)
def test_no_cache_keeps_what_is_stored_here(attacked: Server, path: str, *, kept: bool) -> None:
    """A proxy's or a browser's cache would hold texts beyond their deletion; what comes with the program may."""
    control = attacked.client.get(path).headers.get("cache-control", "")
    assert ("no-store" not in control) is kept


def test_scripts_and_styles_of_the_pages_stay_cacheable(attacked: Server) -> None:
    """They are loaded by every visit."""
    frame = attacked.client.get("/documents").text
    script = re.search(r'src="\.(/static/js/[^"]+)"', frame)
    assert script is not None
    assert "immutable" in attacked.client.get(script[1]).headers["cache-control"]
    assert "BACKEND_BASE_URL" in frame
