from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, WebSocket, expect

from tests.browser.test_main_path import CELL, answered, ask, source, upload
from tests.servers import Server

pytestmark = pytest.mark.browser

NAME = "<script>window.pwned=1<img src=x onerror=alert(1)> [x](javascript:alert(1)) **b**.txt"
CONTENT = (
    "The heron's nest is described here: <img src='http://evil.example/pixel.png' onerror='window.pwned=1'> "
    "![pixel](http://evil.example/md.png) [click](javascript:alert(1)) <script>window.pwned=1</script> "
    "`code` **stars** $x$ :material/home: www.evil.example. The heron's nest is made of willow twigs."
)


def untouched(page: Page) -> None:
    assert page.evaluate("window.pwned") is None
    assert page.locator("img[src*='evil'], a[href*='evil'], a[href^='javascript']").count() == 0


def test_hostile_names_and_texts_stay_text(page: Page, console: Server) -> None:
    """Script in a name and HTML or Markdown in a text are shown as they are, everywhere they are shown."""
    page.goto("/documents")
    upload(page, (NAME, "text/plain", CONTENT.encode()))
    expect(page.locator(CELL).filter(has_text="<script>")).to_have_count(1)
    expect(page.locator(".st-key-jobs-running")).to_have_count(0)
    [document] = console.client.get("/api/documents").json()["documents"]
    untouched(page)

    page.goto(f"/documents?document={document['id']}")
    expect(page.get_by_text("![pixel](http").first).to_be_visible()
    expect(page.get_by_text(":material/home:").or_(page.get_by_text(re.compile("material/home"))).first).to_be_visible()
    untouched(page)

    page.goto("/")
    ask(page, "What is the heron's nest made of? <b onclick=alert(1)>x</b> ![q](http://evil.example/q.png)")
    answered(page, 1)
    source(page, "").click()
    expect(page.locator(".st-key-source-panel").get_by_text("willow twigs").first).to_be_visible()
    untouched(page)

    page.goto("/retrieval")
    page.get_by_label("Query").fill("heron nest <script>window.pwned=1</script>")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("willow twigs").first).to_be_visible()
    untouched(page)


@pytest.mark.parametrize("path", ["/", "/documents", "/retrieval", "/overview", "/settings"])
def test_every_page_stays_on_this_machine(page: Page, path: str) -> None:
    """Fonts, icons and scripts all come from the server itself (the `watch` fixture fails the test otherwise)."""
    page.goto(path)
    expect(page.get_by_role("link", name=re.compile("RSS"))).to_be_visible()
    page.wait_for_load_state("networkidle")


def test_a_hidden_tab_does_not_poll(page: Page) -> None:
    """Live parts rest while nobody looks, and go on when somebody does."""
    sent = 0

    def listen(socket: WebSocket) -> None:
        def count(_frame: str | bytes) -> None:
            nonlocal sent
            sent += 1

        socket.on("framesent", count)

    page.on("websocket", listen)
    page.clock.install()
    page.goto("/overview")
    expect(page.get_by_role("link", name=re.compile("RSS"))).to_be_visible()
    page.evaluate("Object.defineProperty(document, 'hidden', {get: () => true, configurable: true})")
    page.clock.run_for(1_000)  # what was on its way
    before = sent
    page.clock.run_for(600_000)
    quiet = sent - before
    page.evaluate("Object.defineProperty(document, 'hidden', {get: () => false, configurable: true})")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.clock.run_for(60_000)
    expect(page.get_by_role("link", name=re.compile("RSS"))).to_be_visible()
    assert sent - before - quiet >= 2
    assert quiet <= 12  # the connection's own sign of life, not a tick every three seconds
