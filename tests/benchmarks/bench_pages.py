"""How long somebody waits for a page: the first one over that of an empty Streamlit app, and from page to page.

Both are opened in the same browser, in turn, each time in a fresh context without a cache. A page can be used when its
script has come to its end and its heading or field is there; going to another page ends with its heading.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from console.navigation import PageName
from tests.benchmarks.server import paragraphs, serve
from tests.benchmarks.table import Row
from tests.browser.chromium import find_chromium
from tests.browser.conftest import FLAGS

OPENED = 9
VISITS = 3  # of each page
EMPTY = "import streamlit as st\n\nst.title('Empty')\nst.text_input('Field')\n"
_FIELD = ":is([data-testid=stChatInput] textarea, [data-testid=stTextInput] input)"
_AT_REST = "() => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as server, empty_app() as empty:
        server.upload([(f"{number}.txt", text.encode()) for number, text in enumerate(paragraphs("en")[:40])])
        server.wait_idle()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium(playwright), args=list(FLAGS))
            url = str(server.client.base_url)
            opened(browser, url)
            opened(browser, empty)
            turns = [(opened(browser, url), opened(browser, empty)) for _turn in range(OPENED)]
            changes = page_changes(browser, url)
            browser.close()
    first, least = (statistics.median(times) for times in zip(*turns, strict=True))
    return [
        Row(
            "first page until it can be used over an empty Streamlit app's",
            statistics.median(one / other for one, other in turns),
            1.5,
            at_least=False,
            detail=f"{first * 1000:.0f} over {least * 1000:.0f} ms, median of {OPENED} in turn, nothing cached",
        ),
        Row(
            "from page to page (p50), ms",
            statistics.median(ms for found in changes.values() for ms in found),
            400,
            at_least=False,
            detail=", ".join(f"{name} {statistics.median(found):.0f}" for name, found in changes.items()),
        ),
    ]


def opened(browser: Browser, url: str) -> float:
    """Return the seconds until a page can be used."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
    page = context.new_page()
    began = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.locator(_FIELD).first.wait_for()
    page.wait_for_function(_AT_REST)
    seconds = time.perf_counter() - began
    context.close()
    return seconds


def page_changes(browser: Browser, url: str) -> dict[str, list[float]]:
    """Return the milliseconds from a click in the menu to the page at rest, by page."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, locale="en-GB")
    page = context.new_page()
    page.goto(url)
    page.wait_for_function(_AT_REST)
    found: dict[str, list[float]] = {}
    for visit in range(VISITS + 1):
        for name in PageName:
            link = page.locator(f'[data-testid=stSidebarNav] a[href$="/{name}"]')
            if link.count():
                taken = followed(page, name)
                if visit:  # the first one loads scripts and styles that stay
                    found.setdefault(str(name), []).append(taken)
    context.close()
    return found


def followed(page: Page, name: PageName) -> float:
    """Return the milliseconds from a click in the menu to that page at rest."""
    began = time.perf_counter()
    page.locator(f'[data-testid=stSidebarNav] a[href$="/{name}"]').click()
    page.wait_for_function(
        """(name) => location.pathname.endsWith("/" + name) &&
          document.querySelector("[data-testid=stApp]").dataset.testScriptState === "notRunning" &&
          document.querySelector("[data-testid=stMain] h1")?.checkVisibility()""",
        arg=str(name),
    )
    return (time.perf_counter() - began) * 1000


@contextmanager
def empty_app() -> Iterator[str]:
    """Run a Streamlit app of a title and a field; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "empty.py"
        script.write_text(EMPTY)
        options = ["--server.headless=true", "--browser.gatherUsageStats=false", f"--server.port={port}"]
        child = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", str(script), "--server.address=127.0.0.1", *options],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                try:
                    if httpx.get(f"http://127.0.0.1:{port}/_stcore/health").status_code == httpx.codes.OK:
                        break
                except httpx.TransportError:
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            child.terminate()
            child.wait(timeout=30)
