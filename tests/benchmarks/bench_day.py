"""A day of one person, quickened: every page open in a tab, and one more tab that goes from page to page and asks.

Memory is what is left after a collection: of the tabs' JavaScript, its nodes of the document, its listeners, and the
server's RSS. The first rounds fill caches; of the rest the last quarter is held against the first.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from console.navigation import PageName
from tests.benchmarks.bench_pages import followed
from tests.benchmarks.server import Server, paragraphs, questions, serve
from tests.benchmarks.table import Row
from tests.browser.chromium import find_chromium
from tests.browser.conftest import FLAGS

# Of a page after the other: ninety of them are two changes a minute in a day of ten hours. Scripts that the browser has
# compiled, and what it knows of their objects, grow for some fifty rounds.
ROUNDS = int(os.environ.get("DAY_ROUNDS", "90"))
WARM_UP = 54
MOST = 1.05
MB = 1_000_000
_FIELD = "[data-testid=stChatInput] textarea"


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder), cached=True) as server:
        server.upload([(f"{number}.txt", text.encode()) for number, text in enumerate(paragraphs("en")[:40])])
        server.wait_idle()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium(playwright), args=list(FLAGS))
            found = day(browser, server)
            browser.close()
    pages = f"{len(PageName)} pages open and {ROUNDS - WARM_UP} times all of them in one more tab"
    return [
        Row(
            f"a day of one person: {what}, last quarter over first",
            ratio(values),
            MOST,
            at_least=False,
            detail=f"{statistics.median(first(values)):,.1f} and {statistics.median(last(values)):,.1f}; {pages}",
        )
        for what, values in found.items()
    ]


def day(browser: Browser, server: Server) -> dict[str, list[float]]:
    """Go round; return by figure what it was after each round once all is warm."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, locale="en-GB")
    url = str(server.client.base_url)
    standing = {name: context.new_page() for name in PageName}
    for name, page in standing.items():
        page.goto(f"{url}/{name}")
    walking = context.new_page()
    walking.goto(url)
    seen = {"tab that goes round": walking, "tab on the memory page": standing[PageName.MEMORY]}
    sessions = {what: observed(page) for what, page in seen.items()}
    found: dict[str, list[float]] = defaultdict(list)
    for number, question in zip(range(ROUNDS), questions("en"), strict=False):
        for name in PageName:
            if walking.locator(f'[data-testid=stSidebarNav] a[href$="/{name}"]').count():
                followed(walking, name)
        ask(walking, f"{question} ({number})")
        if number >= WARM_UP:
            for what, session in sessions.items():
                for figure, value in held(session).items():
                    found[f"{what}, {figure}"].append(value)
            found["server, RSS in MB"].append(server.rss() / MB)
    context.close()
    return found


def ask(page: Page, question: str) -> None:
    """Ask in a conversation of its own, and wait for the answer."""
    page.get_by_role("link", name="Chat", exact=True).click()
    page.get_by_role("button", name="New conversation").click()
    page.locator("[class*=st-key-foot-]").first.wait_for(state="detached")
    field = page.locator(_FIELD)
    field.fill(question)
    field.press("Enter")
    page.locator("[class*=st-key-foot-]").first.wait_for()


def observed(page: Page) -> CDPSession:
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    return session


def held(session: CDPSession) -> dict[str, float]:
    """Return what a tab holds after a collection."""
    session.send("HeapProfiler.collectGarbage")
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    return {
        "JavaScript in MB": metrics["JSHeapUsedSize"] / MB,
        "nodes": metrics["Nodes"],
        "listeners": metrics["JSEventListeners"],
    }


def first(values: list[float]) -> list[float]:
    return values[: max(len(values) // 4, 1)]


def last(values: list[float]) -> list[float]:
    return values[-max(len(values) // 4, 1) :]


def ratio(values: list[float]) -> float:
    return statistics.median(last(values)) / statistics.median(first(values))
