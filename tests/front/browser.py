"""A real browser through a front: it loads a page, hands in a file, and goes on when its node is killed."""

from __future__ import annotations

import time

from playwright.sync_api import FilePayload, Page, expect, sync_playwright

from tests.browser.chromium import find_chromium
from tests.browser.conftest import FLAGS
from tests.front.fronts import Front
from tests.front.nodes import Nodes

_PATIENCE = 30_000  # ms


def browser_seconds(front: Front, nodes: Nodes) -> tuple[str, float]:
    """Kill the node of a browser's page; return the protocol it spoke, and the seconds until it was on another node.

    Fails where the page, an upload, or the page after that do not work.
    """
    with sync_playwright() as playwright:
        chromium = find_chromium(playwright)
        assert chromium is not None, "no Chromium"
        with playwright.chromium.launch(executable_path=chromium, args=FLAGS) as browser:
            page = browser.new_context(ignore_https_errors=True).new_page()
            page.goto(f"{front.url}/documents")
            expect(page.get_by_role("heading", name="Documents").first).to_be_visible(timeout=_PATIENCE)
            protocol = str(page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol"))
            home = _node(page)
            name = f"heron-{home}.txt"
            content = b"The heron's nest is made of willow twigs. " * 50
            file = FilePayload(name=name, mimeType="text/plain", buffer=content)
            page.locator("input[type=file]").first.set_input_files(file)
            expect(page.get_by_text(name).first).to_be_visible(timeout=_PATIENCE)
            nodes.kill(home)
            began = time.monotonic()
            while _node(page) == home:
                assert time.monotonic() - began < _PATIENCE / 1000, "the page did not leave its node"
                page.wait_for_timeout(20)
            seconds = time.monotonic() - began
            page.get_by_role("link", name="Overview").first.click()
            expect(page.get_by_role("heading", name="Overview").first).to_be_visible(timeout=_PATIENCE)
            return protocol, seconds


def _node(page: Page) -> str:
    return next(each["value"] for each in page.context.cookies() if each["name"] == "millpond_node")
