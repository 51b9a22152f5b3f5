from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_main_path import CELL, answered, ask, source, upload
from tests.servers import Server

pytestmark = pytest.mark.browser

NAME = "<script>window.pwned=1</script><img src=x onerror=alert(1)>.txt"
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
    expect(page.locator(CELL).filter(has_text=re.compile("window.pwned"))).to_have_count(1)
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
    expect(page.get_by_role("dialog").get_by_text("willow twigs").first).to_be_visible()
    untouched(page)
    page.keyboard.press("Escape")

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
    page.goto("/overview")
    expect(page.get_by_role("link", name=re.compile("RSS"))).to_be_visible()
    frames: list[object] = []
    socket_page = page.context.new_page()
    socket_page.on("websocket", lambda socket: socket.on("framesent", frames.append))
    socket_page.goto("/overview")
    expect(socket_page.get_by_role("link", name=re.compile("RSS"))).to_be_visible()
    beats = len(frames)
    socket_page.wait_for_function("() => new Promise(done => setTimeout(() => done(true), 4000))")
    assert len(frames) > beats
    socket_page.evaluate("Object.defineProperty(document, 'hidden', {get: () => true, configurable: true})")
    socket_page.wait_for_function("() => new Promise(done => setTimeout(() => done(true), 1000))")
    beats = len(frames)
    socket_page.wait_for_function("() => new Promise(done => setTimeout(() => done(true), 7000))")
    assert len(frames) == beats
