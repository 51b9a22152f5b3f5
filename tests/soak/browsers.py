"""Real Chromium tabs: live charts that stay open all the time, and the settings page where the chat model is chosen."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.browser.chromium import find_chromium
from tests.browser.conftest import FLAGS

PATIENCE_MS = 120_000
LEDGER = "Memory by owner"


class BrowserError(Exception):
    """There is no browser, or it did not do what it should."""


class Browsers:
    """A Chromium with `tabs` memory pages open until it is left. Playwright wants one thread, which lives in here."""

    def __init__(self, url: str, tabs: int) -> None:
        self._url = url
        self._tabs = tabs
        self._pages: list[Page] = []
        self._work: queue.Queue[tuple[Callable[[Browser], object], Future[object]] | None] = queue.Queue()
        self._ready: Future[None] = Future()
        self.errors: list[str] = []
        self._thread = threading.Thread(target=self._run, name="browsers", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._work.put(None)
        self._thread.join(60)

    def updates(self) -> list[int]:
        """Return how often the ledger's chart was drawn so far in each open tab."""
        return self._do(lambda _browser: [_drawn(page) for page in self._pages])  # type: ignore[return-value]

    def use_model(self, *, path: str = "", url: str = "", model: str = "") -> None:
        """Choose the chat model as a person does: a GGUF file, an OpenAI-compatible server, or none."""

        def choose(browser: Browser) -> None:
            context = browser.new_context(base_url=self._url, locale="en-GB")
            page = context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            try:
                page.goto("/settings")
                if path:
                    page.get_by_role("radio", name="GGUF file in this process").click()
                    _fill(page, "GGUF file on the server", path)
                elif url:
                    page.get_by_role("radio", name="OpenAI-compatible server").click()
                    _fill(page, "URL", url)
                    _fill(page, "Model", model)
                else:
                    page.get_by_role("radio", name="No model: quote the documents").click()
                use = page.get_by_role("button", name="Use this model")
                expect(use).to_have_count(
                    1, timeout=PATIENCE_MS
                )  # while the page is redrawn there are two for a moment
                use.click()
                expect(page.get_by_text("Answers now come from")).to_be_visible(timeout=PATIENCE_MS)
            finally:
                context.close()

        self._do(choose)

    def _do(self, call: Callable[[Browser], object]) -> object:
        done: Future[object] = Future()
        self._work.put((call, done))
        return done.result(PATIENCE_MS / 1000 * 3)

    def _run(self) -> None:
        try:
            with sync_playwright() as playwright:
                browser = _launched(playwright)
                for _tab in range(self._tabs):
                    self._open(browser)
                self._ready.set_result(None)
                self._serve(browser)
                browser.close()
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for the browser
            if not self._ready.done():
                self._ready.set_exception(error)
            else:
                self.errors.append(f"{type(error).__name__}: {error}"[:500])

    def _open(self, browser: Browser) -> None:
        page = browser.new_context(base_url=self._url, viewport={"width": 1280, "height": 800}).new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)[:500]))
        page.goto("/memory?range=5m")
        page.get_by_role("figure", name=LEDGER).wait_for(timeout=PATIENCE_MS)
        self._pages.append(page)

    def _serve(self, browser: Browser) -> None:
        while True:
            try:
                task = self._work.get(timeout=0.05)
            except queue.Empty:
                if self._pages:
                    self._pages[0].wait_for_timeout(50)  # lets the driver hand over what the pages tell
                continue
            if task is None:
                return
            call, done = task
            try:
                done.set_result(call(browser))
            except Exception as error:  # noqa: BLE001 - handed to whoever asked for it
                done.set_exception(BrowserError(f"{type(error).__name__}: {error}"[:500]))


def _launched(playwright: Playwright) -> Browser:
    chromium = find_chromium(playwright)
    if chromium is None:
        raise BrowserError("there is no Chromium; MILLPOND_CHROMIUM can name one")
    # A Ctrl-C ends the run in its own order, the browser last.
    return playwright.chromium.launch(
        executable_path=chromium, args=FLAGS, handle_sigint=False, handle_sigterm=False, handle_sighup=False
    )


def _fill(page: Page, label: str, text: str) -> None:
    field = page.get_by_label(label, exact=True)
    field.fill(text)
    field.press("Enter")


def _drawn(page: Page) -> int:
    return int(page.get_by_role("figure", name=LEDGER).get_attribute("data-updates") or 0)
