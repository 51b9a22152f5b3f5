"""A hundred browser sessions come, upload, chat, go: what they leave behind.

Each is a connection that runs pages, hands a document in, asks, and leaves while a further upload of 2.5 MB is on its
way. Three are real browsers. Nothing is asked of the service but what it does by itself: its reaper ends the sessions
when their minute to come back is over, its policy collects and trims.
"""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from tests.benchmarks.server import Server, serve
from tests.benchmarks.table import Row
from tests.browser.chromium import find_chromium
from tests.visitors import visit

MB = 1_000_000
WARM_UP, SESSIONS, BROWSERS, AT_ONCE = 60, 100, 3, 4
# A minute to come back, a sweep, and the policy's quiet moment.
SETTLE_SECONDS = 110.0


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as server:
        url = str(server.client.base_url).rstrip("/")
        begun = server.rss()
        come_and_go(url, 0, WARM_UP)
        before = settled(server)
        come_and_go(url, WARM_UP, SESSIONS - BROWSERS)
        browse(url)
        peak = server.rss()
        after = settled(server)
        left = {offer["name"]: offer["bytes"] for offer in server.client.get("/api/reclaim").json()["offers"]}
        come_and_go(url, WARM_UP + SESSIONS, SESSIONS)
        again = settled(server)
    return [
        Row(
            f"RSS after {SESSIONS} sessions over before",
            after / before,
            1.05,
            at_least=False,
            detail=f"{before / MB:.0f} → {after / MB:.0f} MB, at their end {peak / MB:.0f}; after a second hundred "
            f"{again / MB:.0f}; when ready {begun / MB:.0f} MB; left of sessions {left['sessions'] or 0} bytes, of "
            f"uploads {left['uploads'] or 0}, of media {left['media'] or 0}",
        )
    ]


def come_and_go(url: str, first: int, count: int) -> None:
    with ThreadPoolExecutor(AT_ONCE) as visitors:
        for _ in visitors.map(lambda number: visit(url, number), range(first, first + count)):
            pass


def browse(url: str) -> None:
    """The same with browsers: pages drawn, a question asked, the tab closed."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(playwright), args=["--no-sandbox"])
        for number in range(BROWSERS):
            context = browser.new_context(base_url=url)
            page = context.new_page()
            page.goto("/")
            field = page.get_by_test_id("stChatInputTextArea")
            field.fill(f"How long is pump {number} covered?")
            field.press("Enter")
            expect(page.get_by_test_id("stChatMessage")).to_have_count(2, timeout=30_000)
            page.goto("/memory")
            expect(page.get_by_test_id("stMainBlockContainer")).to_be_visible()
            page.goto("/documents")
            drop = page.get_by_test_id("stFileUploaderDropzoneInput")
            drop.set_input_files(
                [{"name": f"drop-{number}.txt", "mimeType": "text/plain", "buffer": b"A drop. " * 200}]
            )
            expect(page.get_by_text(f"drop-{number}.txt").first).to_be_visible(timeout=30_000)
            context.close()
        browser.close()


def settled(server: Server) -> int:
    time.sleep(SETTLE_SECONDS)
    return server.rss()
