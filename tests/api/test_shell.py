"""What is common to all addresses: problems, headers, guards, the API's own page."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import httpx
import pytest

from services.core.machine import MEGABYTE
from tests.servers import Server, eventually


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/nothing", 404),
        ("GET", "/api", 404),
        ("PUT", "/api/documents", 405),
        ("GET", "/api/search", 405),
        ("GET", "/v1/nothing", 404),
        ("POST", "/healthz", 405),
    ],
)
def test_wrong_addresses_are_problems(server: Server, method: str, path: str, status: int) -> None:
    """What the API does not have is told as a problem document with the request's id, never as a page."""
    answer = server.client.request(method, path, headers={"X-Request-ID": "wrong-way"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["request_id"] == "wrong-way"
    assert problem["title"]
    assert problem["detail"]
    assert ("error" in problem) == path.startswith("/v1/")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/prefix/api/documents"),
        ("POST", "/prefix/v1/chat/completions"),
        ("GET", "/a/b/metrics"),
        ("GET", "/documents/api/status"),
        ("GET", "/prefix/readyz"),
    ],
)
def test_the_api_under_another_path_is_not_there(server: Server, method: str, path: str) -> None:
    """A program that asks under a wrong path gets the pages with 200, and takes that for an answer."""
    answer = server.client.request(method, path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "MILLPOND_BASE_PATH" in answer.json()["hint"]


def test_ready_tells_each_part(server: Server) -> None:
    """/readyz has one check per part, none of them cached by a front."""
    answer = server.client.get("/readyz")
    assert answer.status_code == 200
    assert list(answer.json()["checks"]) == [
        "store",
        "index",
        "embedder",
        "chat model",
        "disk",
        "accepting",
        "database",
    ]
    assert answer.headers["cache-control"] == "no-store"
    assert server.client.head("/readyz").status_code == 200
    assert server.client.head("/healthz").status_code == 200


def test_status_shows_what_is_held_once(server: Server) -> None:
    """The embedding model and the index are loaded once, and their bytes are told."""
    status = server.client.get("/api/status").json()
    assert status["ready"]
    assert status["rss_bytes"] > 50_000_000
    assert set(status["counts"]) >= {"documents", "searchable", "chunks", "jobs_unfinished"}
    loads = {held["name"]: held["loads"] for held in status["resources"]}
    assert (loads["Embedding model"], loads["Vector index"]) == (1, 1)
    # Where in memory things lie is nobody's business, and helps whoever attacks the process.
    assert not any({"ranges", "files"} & set(held) for held in status["resources"])
    assert any(held["bytes"] > 10_000_000 and held["loads"] == 1 for held in status["resources"])


def test_page_of_the_api_needs_no_other_host(server: Server) -> None:
    """/docs and all it loads come from this server, and the description lists every address with its real path."""
    page = server.client.get("/docs")
    assert page.status_code == 200
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert loaded
    for address in loaded:
        assert address.startswith("/")
        assert server.client.get(address).status_code == 200
    paths = server.client.get("/openapi.json").json()["paths"]
    assert set(paths) >= {
        "/healthz",
        "/readyz",
        "/api/documents",
        "/api/documents/{document_id}",
        "/api/search",
        "/v1/chat/completions",
        "/v1/models",
    }


def test_pages_are_served_beside_the_api(server: Server) -> None:
    """The console's page comes from the same address, with headers that keep it to itself."""
    page = server.client.get("/")
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http:" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "server" not in page.headers


def test_foreign_host_gets_nothing(server: Server) -> None:
    """A name that somebody else points at this machine gets neither pages nor the API."""
    for path in ("/", "/api/documents", "/healthz", "/_stcore/health"):
        assert server.client.get(path, headers={"Host": "evil.example"}).status_code == 421


def test_foreign_page_cannot_change_anything(server: Server) -> None:
    """A form on another site cannot hand in a document or ask."""
    for path in ("/api/documents", "/api/search", "/v1/chat/completions"):
        answer = server.client.post(path, headers={"Origin": "http://evil.example"}, files={"file": ("a.txt", b"a")})
        assert answer.status_code == 403, path


def test_foreign_page_cannot_open_a_session(server: Server) -> None:
    """The pages' WebSocket is refused for another origin and opened for our own."""

    def opened(origin: str) -> int:
        headers = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Protocol": "streamlit",
            "Origin": origin,
        }
        with server.client.stream("GET", "/_stcore/stream", headers=headers) as answer:
            return answer.status_code

    assert opened("http://evil.example") == 403
    assert opened("http://localhost:3000") == 403
    assert opened(server.url) == 101


def test_body_that_is_too_large(server: Server) -> None:
    """A JSON body of many megabytes is refused before it is parsed."""
    answer = server.client.post("/api/search", json={"query": "x" * (5 * 2**20)})
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


def test_log_has_one_line_per_request(server: Server) -> None:
    """The log is JSON lines with the request's id and RSS, and holds nothing of what was asked."""
    server.client.post("/api/search", json={"query": "zanzibar-secret-word"}, headers={"X-Request-ID": "in-the-log"})

    def entries() -> list[dict[str, Any]]:
        written = server.log.read_text()
        lines = [json.loads(line) for line in written[: written.rfind("\n") + 1].splitlines()]
        return [line for line in lines if line.get("request_id") == "in-the-log" and line["event"] == "request"]

    eventually(lambda: bool(entries()), seconds=10.0, what="the line of the request")  # comes after the answer
    (entry,) = entries()
    assert (entry["method"], entry["path"], entry["status"]) == ("POST", "/api/search", 200)
    assert entry["rss_mb"] > 50
    assert "zanzibar" not in server.log.read_text()


def test_log_lines_tell_the_rss_that_the_api_tells(server: Server) -> None:
    """An operator who compares the two would see other figures for the same moment."""
    told = []
    for number in range(60):
        name = f"rss-{number}"
        told.append((name, server.client.get("/api/status", headers={"X-Request-ID": name}).json()))
    # Between two answers of one moment there is no other: the line of the first was written before the second came.
    certain = {
        name: round(status["rss_bytes"] / MEGABYTE, 1)
        for (name, status), (_next, following) in pairwise(told)
        if status["measured_at"] == following["measured_at"]
    }
    lines = (json.loads(line) for line in server.log.read_text().splitlines() if '"rss-' in line)
    written = {line["request_id"]: line["rss_mb"] for line in lines if line["event"] == "request"}
    assert len(certain) > 30
    assert {name: written[name] for name in certain} == certain


def test_only_the_frame_of_pages_is_sent_as_it_is(server: Server) -> None:
    """The frame is completed and so not compressed; what programs ask for is, if they take it."""
    packed = {"Accept-Encoding": "gzip"}
    for path in ("/metrics", "/openapi.json"):
        assert server.client.get(path, headers=packed).headers["content-encoding"] == "gzip"
    frame = server.client.get("/documents", headers=packed)
    assert "content-encoding" not in frame.headers
    assert "BACKEND_BASE_URL" in frame.text


def test_unknown_methods_do_not_hurt(server: Server) -> None:
    """A method that is odd there is refused, and one that HTTP does not know cannot be read; neither is a defect."""
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        assert client.request("PROPFIND", "/api/documents").status_code == 405
        assert client.request("BREW", "/api/documents").status_code == 400


def test_the_chat_is_found_by_its_name(server: Server) -> None:
    """Streamlit knows the first page by the root alone; a link to a conversation keeps its parameter."""
    for path, place in (("/chat", "./"), ("/chat?conversation=a%20b", "./?conversation=a%20b")):
        answer = server.client.get(path)
        assert answer.status_code == 307
        assert answer.headers["location"] == place
    assert server.client.get("/chat", follow_redirects=True).status_code == 200
