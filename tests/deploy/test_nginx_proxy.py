"""A real nginx with the configuration of `deploy` in front of a real console, under a path of its own."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from tests.api.tab import run_page
from tests.deploy.tools import nginx
from tests.servers import Server, eventually, serving

PATH = "/millpond"
TOKEN = "administrators-only"
CLIENT = "127.0.0.7"  # an address of loopback that is no proxy


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A console that believes the proxy at 127.0.0.1."""
    settings = {"base_path": PATH, "trusted_proxies": "127.0.0.1", "admin_token": TOKEN, "visitors": "user"}
    with serving(tmp_path_factory.mktemp("proxied") / "data", **settings) as server:
        yield server


@pytest.fixture(scope="module")
def proxied(console: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client at another address, which asks through nginx."""
    with (
        nginx(tmp_path_factory.mktemp("nginx"), console.url) as address,
        httpx.Client(
            base_url=address + PATH, transport=httpx.HTTPTransport(local_address=CLIENT), timeout=60.0
        ) as client,
    ):
        yield client


def logged(server: Server, request_id: str) -> str:
    """Return the client's address in the log line of a request."""
    found: list[str] = []

    def there() -> bool:
        lines = (json.loads(line) for line in server.log.read_text().splitlines() if request_id in line)
        found.extend(str(line["client"]) for line in lines if line["event"] == "request")
        return bool(found)

    eventually(there, what="the log line")
    return found[0]


def test_the_client_is_who_asks_nginx(console: Server, proxied: httpx.Client) -> None:
    """All people would be nginx; or a client would choose who it is, in a header of its own or past nginx."""
    invented = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X-Real-IP": "203.0.113.9"}
    assert proxied.get("/api/status", headers={"X-Request-ID": "through", **invented}).status_code == 200
    assert logged(console, "through") == CLIENT
    with httpx.Client(base_url=console.url, transport=httpx.HTTPTransport(local_address=CLIENT)) as direct:
        assert direct.get("/api/status", headers={"X-Request-ID": "past-it", **invented}).status_code == 200
    assert logged(console, "past-it") == CLIENT


def test_details_of_readiness_are_for_administrators(console: Server, proxied: httpx.Client) -> None:
    """Everybody could read which server or file has a fault; through a proxy on this machine, as if from here."""
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    for client in (proxied, console.client):
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
        assert "index" in client.get("/readyz", headers=bearer).json()["checks"]
    wrong = console.client.get("/readyz", headers={"Authorization": "Bearer guess"})
    assert (wrong.status_code, wrong.json()) == (200, {"status": "ready"})
    assert console.client.head("/readyz").status_code == 200


def test_upload_stream_and_page_pass_through(proxied: httpx.Client) -> None:
    """A file of megabytes, an answer in pieces, and the WebSocket of a page."""
    noise = random.Random(1).randbytes(3_000_000)
    added = proxied.post("/api/documents", files={"file": ("noise.bin", noise)})
    assert added.status_code == 202, added.text
    number = added.json()["documents"][0]["id"]
    assert proxied.get(f"/api/documents/{number}/original").content == noise
    body = {"model": "millpond", "messages": [{"role": "user", "content": "How long is a pump covered?"}]}
    with proxied.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as answer:
        lines = [line for line in answer.iter_lines() if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"
    place = urlsplit(str(proxied.base_url))
    with connect(
        f"ws://{place.netloc}{PATH}/_stcore/stream",
        subprotocols=[Subprotocol("streamlit")],
        origin=Origin(f"http://{place.netloc}"),
        max_size=None,
    ) as page:
        run_page(page)
