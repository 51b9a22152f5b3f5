from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.browser.chromium import find_chromium
from tests.servers import Server, serving

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# A click that does something is answered in a second or two; on a machine that is busy otherwise, later.
PATIENCE = 60_000
expect.set_options(timeout=PATIENCE)


@dataclass
class Watch:
    """What a page did that it should not: requests to other hosts, uncaught errors of its scripts."""

    foreign: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def of(self, page: Page) -> None:
        page.on("request", lambda request: self._see(request.url))
        page.on("websocket", lambda socket: self._see(socket.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: self.errors.append(f"dialog: {dialog.message}"))

    def _see(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"data", "blob", "about"} and parts.hostname != "127.0.0.1":
            self.foreign.append(url)


# Playwright's driver keeps an event loop of this thread running: it ends with the module, so that other tests can have
# loops of their own.
@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """The driver of the browser."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """A Chromium; without one these tests fail and say how to get it."""
    chromium = find_chromium(playwright)
    if chromium is None:
        pytest.fail("No Chromium: install it (Debian: apt-get install chromium) or name one in MILLPOND_CHROMIUM.")
    browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture
def others_ask_for() -> str:
    """The beginning of what pages that are not the console's may ask another host for; "": nothing."""
    return ""


@pytest.fixture
def watch(others_ask_for: str) -> Iterator[Watch]:
    """Sees to it that no page of the test talks to another host or breaks."""
    watch = Watch()
    yield watch
    assert [url for url in watch.foreign if not others_ask_for or not url.startswith(others_ask_for)] == []
    assert watch.errors == []


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose documents are the test module's own."""
    with serving(tmp_path_factory.mktemp("browser") / "data") as server:
        yield server


@contextmanager
def tab(browser: Browser, console: Server, watch: Watch, locale: str) -> Iterator[Page]:
    """Open a fresh tab without history or cookies; its addresses are relative to the server's."""
    context = browser.new_context(base_url=console.url, viewport={"width": 1440, "height": 900}, locale=locale)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    watch.of(page)
    yield page
    context.close()


@pytest.fixture
def page(browser: Browser, console: Server, watch: Watch) -> Iterator[Page]:
    """A fresh tab."""
    with tab(browser, console, watch, "en-GB") as opened:
        yield opened


@pytest.fixture
def chinese(browser: Browser, console: Server, watch: Watch) -> Iterator[Page]:
    """A tab of somebody who reads Chinese."""
    with tab(browser, console, watch, "zh-CN") as opened:
        yield opened
