"""Takes the pictures of the READMEs from a real console, in English and in Chinese: `make pictures`, some minutes.

The console's clock runs faster, so that its charts have a history. Chinese needs a font that has it.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.chromium import find_chromium
from tests.browser.conftest import FLAGS
from tests.pictures.shelf import SHELVES, Shelf
from tests.servers import ROOT, Server, serving

PICTURES = ROOT / "docs" / "pictures"
SPEED = 4
HISTORY_SECONDS = 200.0  # of this clock: thirteen minutes of the console's
WIDTH, HEIGHT = 1440, 900


def main() -> int:
    """Take all pictures, or those of the languages that are named; returns the exit code."""
    os.environ["FAST_SPEED"] = str(SPEED)
    with sync_playwright() as playwright:
        chromium = find_chromium(playwright)
        if chromium is None:
            print("No Chromium: install it, or name one in MILLPOND_CHROMIUM.", file=sys.stderr)
            return 1
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for name in sys.argv[1:] or list(SHELVES):
            folder = PICTURES if name == "en" else PICTURES / name
            folder.mkdir(exist_ok=True)
            with (
                tempfile.TemporaryDirectory() as data,
                serving(Path(data) / "data", module="tests.consoles.fast") as server,
            ):
                _take(browser, server, SHELVES[name], folder)
        browser.close()
    return 0


def _take(browser: Browser, server: Server, shelf: Shelf, folder: Path) -> None:
    began = time.monotonic()
    for name, content in shelf.documents.items():
        server.wait_finished(server.add(name, content))
    context = browser.new_context(
        base_url=server.url, viewport={"width": WIDTH, "height": HEIGHT}, locale=shelf.locale, color_scheme="light"
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto("/")
    for number, question in enumerate(shelf.questions, 1):
        field = page.locator("[data-testid=stChatInputTextArea]")
        expect(field).to_be_enabled()
        field.fill(question)
        field.press("Enter")
        expect(page.locator("[class*=st-key-foot-]")).to_have_count(number, timeout=60_000)
    _shoot(page, folder / "chat.png")
    page.locator("[class*=st-key-cite-]").get_by_role("button", name=shelf.cited).first.click()
    expect(page.locator(".st-key-source-panel")).to_be_visible()
    page.mouse.move(WIDTH / 2, HEIGHT - 200)  # away from the button, whose tip would cover the answer
    _shoot(page, folder / "source.png")
    page.goto("/retrieval")
    page.locator("textarea").first.fill(shelf.query)
    page.locator("[data-testid=stFormSubmitButton] button").first.click()
    _shoot(page, folder / "retrieval.png")
    for address in ("documents", "budget", "collector"):
        page.goto(f"/{address}")
        _shoot(page, folder / f"{address}.png")
    while time.monotonic() < began + HISTORY_SECONDS:
        time.sleep(1)
    page.set_viewport_size({"width": WIDTH, "height": 1300})
    page.goto("/memory")
    _shoot(page, folder / "memory.png")
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    server.client.post("/api/objects/census").raise_for_status()  # last: it would count as the cost of watching
    page.goto("/objects")
    _shoot(page, folder / "objects.png")
    context.close()


def _shoot(page: Page, path: Path) -> None:
    """Take a picture once the page stands still."""
    expect(page.locator("[data-testid=stStatusWidget]")).to_have_count(0)
    page.wait_for_timeout(6000)  # charts and tables are painted after the page has run
    page.screenshot(path=path)
    print(path.relative_to(ROOT), flush=True)


if __name__ == "__main__":
    sys.exit(main())
