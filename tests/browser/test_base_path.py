"""The console under a path of its own, behind the nginx of `deploy` and in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_main_path import CELL, answered, ask
from tests.deploy.tools import nginx
from tests.servers import Server, eventually, serving

pytestmark = pytest.mark.browser
PATH = "/millpond"


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A console that knows under which path it is published."""
    with serving(tmp_path_factory.mktemp("base-path") / "data", base_path=PATH, trusted_proxies="127.0.0.1") as server:
        yield server


@pytest.fixture(scope="module")
def proxy(console: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address at which nginx publishes it."""
    with nginx(tmp_path_factory.mktemp("nginx"), console.url) as address:
        yield address + PATH


def test_a_person_works_under_the_path(page: Page, proxy: str, tmp_path: Path) -> None:
    """Pages, their WebSocket, uploads, charts, links and downloads are all found under the path, and nowhere else."""
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("websocket", lambda socket: requests.append(socket.url.replace("ws://", "http://")))
    folder = tmp_path / "guides"
    (folder / "deep").mkdir(parents=True)
    (folder / "README.md").write_text("The heron's nest is made of willow twigs.")
    (folder / "deep" / "README.md").write_text("The stork's nest is on the chimney.")
    (folder / ".hidden").write_text("Not for anybody.")

    page.goto(f"{proxy}/documents")
    page.get_by_text("Upload a whole folder").click()
    page.locator("input[type=file][webkitdirectory]").set_input_files(folder)
    expect(page.get_by_text("2 files are being processed.")).to_be_visible()
    expect(page.locator(CELL).filter(has_text="guides › README.md")).to_have_count(1)
    expect(page.locator(CELL).filter(has_text="guides › deep › README.md")).to_have_count(1)
    expect(page.locator(".st-key-jobs-running")).to_have_count(0, timeout=120_000)

    page.goto(proxy)
    expect(page).to_have_url(f"{proxy}/")
    ask(page, "What is the heron's nest made of?")
    answered(page, 1)
    expect(page.get_by_text("willow twigs").first).to_be_visible()
    page.get_by_role("link", name="Memory", exact=True).click()
    expect(page).to_have_url(re.compile(f"{proxy}/memory"))
    expect(page.locator(".js-plotly-plot").first).to_be_visible()

    documents = httpx.get(f"{proxy}/api/documents", trust_env=False).json()["documents"]
    number = next(document["id"] for document in documents if document["name"] == "guides › README.md")
    page.goto(f"{proxy}/documents?document={number}")
    link = page.get_by_role("link", name="Download original")
    expect(link).to_be_visible()
    address = link.evaluate("link => link.href")
    assert address == f"{proxy}/api/documents/{number}/original"
    assert httpx.get(address, trust_env=False).text == "The heron's nest is made of willow twigs."
    assert [url for url in requests if not url.startswith((proxy, "data:", "blob:"))] == []
    assert any(url.startswith(f"{proxy}/_stcore/stream") for url in requests)


def test_programs_work_under_the_path(console: Server, proxy: str) -> None:
    """API, metrics, health and the API's own page are found under the path; a wrong path is told as such."""
    with httpx.Client(base_url=proxy, trust_env=False, timeout=60.0) as client:
        for path in ("/healthz", "/readyz", "/metrics", "/api/status", "/api/documents"):
            assert client.get(path).status_code == 200, path
        described = client.get("/openapi.json").json()
        assert described["servers"] == [{"url": PATH}]
        page = client.get("/docs").text
        for address in re.findall(r"""["'](/[^"']+\.(?:js|css|json))["']""", page):
            assert address.startswith(f"{PATH}/"), address
            assert httpx.get(proxy.removesuffix(PATH) + address, trust_env=False).status_code == 200, address
        assert client.get("/chat", follow_redirects=True).url.path == f"{PATH}/"
        slash = client.get("/api/documents/", follow_redirects=True)
        assert (slash.status_code, slash.url.path) == (200, f"{PATH}/api/documents")
        missing = client.get("/prefix/api/documents")
        assert missing.status_code == 404
        assert missing.json()["type"] == "urn:millpond:problem:not-found"
        body = {"model": "millpond", "messages": [{"role": "user", "content": "Where is the stork?"}], "stream": True}
        with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
        assert lines[-1] == "[DONE]"
        assert json.loads(lines[0])["object"] == "chat.completion.chunk"
        refused = client.post("/v1/nothing")
        assert "error" in refused.json()

    def logged() -> bool:
        return any('"path": "/api/documents"' in line for line in console.log.read_text().splitlines())

    eventually(logged, what="the log line without the path")
    assert console.client.get("/readyz").status_code == 200  # checks of this machine have no proxy
