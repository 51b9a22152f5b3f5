from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from services.core.machine import MEGABYTE
from tests.browser.conftest import Watch
from tests.browser.samples import manual
from tests.consoles.hasty import SPEED
from tests.consoles.tight import BALLAST_BYTES
from tests.servers import Server, eventually, serving, spawn
from tests.visitors import PageRefusedError, Visitor, visiting

pytestmark = pytest.mark.browser

# Over RSS when ready, in MB: the watermarks and the limit. Pages, parsers and the first answers take 100 MB for good.
SOFT, HIGH, HARD, LIMIT = 200, 260, 320, 380
UPLOAD_BYTES = 24 * MEGABYTE
LEAST_BYTES = MEGABYTE
HELD_BYTES = 32 * MEGABYTE
LEVELS = ["calm", "soft", "high", "hard"]
PATIENCE = 90_000


@dataclass(frozen=True, slots=True)
class Tight:
    """A server with little memory to spare."""

    server: Server

    def budget(self) -> dict[str, Any]:
        return dict(self.server.client.get("/api/budget").raise_for_status().json())

    def fill(self, visitor: Visitor, wanted: str) -> None:
        """Have a tab send files that its page has not taken yet until `wanted` is reached.

        What does not fit is refused before it is read, so files become smaller the nearer the hard watermark is; the
        last step over it is ballast.
        """
        size = UPLOAD_BYTES

        def reached() -> bool:
            nonlocal size
            if LEVELS.index(self.budget()["level"]) >= LEVELS.index(wanted):
                return True
            if self.over(wanted):
                return False  # it wants its sustained time
            if size < LEAST_BYTES:
                self.server.process.send_signal(signal.SIGUSR1)
                return False
            try:
                visitor.upload((f"{wanted}.bin", bytes(size)), store=False)
            except PageRefusedError as refused:
                if refused.answer.status_code != 503:
                    raise
                size //= 2
            return False

        eventually(reached, seconds=180, what=wanted)

    def hold(self) -> None:
        """Go so far over the watermark reached that it is not left while pages are opened and looked at."""
        for _number in range(HELD_BYTES // BALLAST_BYTES):
            self.server.process.send_signal(signal.SIGUSR1)
            self.server.client.get("/api/budget").raise_for_status()  # of two signals at once one would be lost

    def over(self, wanted: str) -> bool:
        """Return whether RSS is over a watermark."""
        found = self.budget()
        marks = {mark["level"]: mark["reached_bytes"] for mark in found["watermarks"]}
        return bool(found["used_bytes"] > marks[wanted])


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tight]:
    """A real console whose watermarks lie above what it takes when ready, and which gives closed tabs little time."""
    data = tmp_path_factory.mktemp("tight") / "data"
    with serving(data, module="tests.consoles.tight") as server:
        eventually(lambda: server.client.get("/api/budget").json()["ready_rss_bytes"], what="the floor")
        floor = server.client.get("/api/budget").json()["ready_rss_bytes"] / MEGABYTE
    limit = floor + LIMIT
    with serving(
        data,
        module="tests.consoles.tight",
        memory_limit_mb=round(limit),
        budget_soft=(floor + SOFT) / limit,
        budget_high=(floor + HIGH) / limit,
        budget_hard=(floor + HARD) / limit,
        budget_sustained_seconds=SPEED,  # a second of the wall's clock
        budget_cool_down_seconds=2 * SPEED,
    ) as server:
        yield Tight(server)


def open_budget(browser: Browser, server: Server, watch: Watch) -> Page:
    context = browser.new_context(base_url=server.url, viewport={"width": 1440, "height": 1400}, locale="en-GB")
    page = context.new_page()
    watch.of(page)
    page.goto("/budget")
    expect(page.get_by_role("heading", name="Decisions")).to_be_visible(timeout=PATIENCE)
    return page


def test_real_work_crosses_each_watermark_and_the_page_tells(
    browser: Browser, tight: Tight, watch: Watch, tmp_path: Path
) -> None:
    """Files of open tabs fill the memory: levels, actions and refusals show with reasons, and go with the tabs."""
    server = tight.server
    page = open_budget(browser, server, watch)
    head = page.locator(".st-key-budget-head")
    expect(head).to_contain_text(re.compile(r"Normal: .* MB of"))
    document = server.add("manual.pdf", manual(4))
    server.wait_finished(document)
    with ExitStack() as tabs:
        visitor = tabs.enter_context(visiting(server.url))
        visitor.open()
        visitor.ask("When are the seals inspected?")
        for level in LEVELS[1:]:
            tight.fill(visitor, level)
            reached = "|".join(f"{name.capitalize()}:" for name in LEVELS[LEVELS.index(level) :])
            expect(head).to_contain_text(re.compile(reached), timeout=PATIENCE)
        tight.hold()
        refuse = page.locator(".st-key-step-refuse")
        expect(refuse).to_contain_text("In force for", timeout=PATIENCE)
        expect(page.locator(".st-key-step-collect")).to_contain_text(re.compile(r"run \d+ time"))
        expect(page.locator(".st-key-decisions")).to_contain_text("over the hard watermark")
        expect(page.locator(".st-key-status-strip")).to_contain_text("refused: new files")
        answer = server.client.post("/api/documents", files={"file": ("more.txt", b"more text")})
        assert answer.status_code == 503
        page.get_by_role("link", name="Documents", exact=True).click()
        banner = page.locator(".st-key-refusal-banner")
        expect(banner).to_contain_text("New files are refused at present", timeout=PATIENCE)
        expect(banner).to_contain_text("short of memory")
        note = tmp_path / "note.txt"
        note.write_text("A note that is not taken in now.")
        with page.expect_response(lambda answer: "/_stcore/upload_file/" in answer.url) as refused:
            page.locator("input[type=file]").first.set_input_files(note)
        assert refused.value.status == 503
        assert server.client.get("/api/documents").json()["total"] == 1
        server.client.post(
            "/v1/chat/completions", json={"messages": [{"role": "user", "content": "When are the seals inspected?"}]}
        ).raise_for_status()
    # The tab is closed: its files are nobody's any more.
    server.process.send_signal(signal.SIGUSR2)
    expect(banner).to_be_hidden(timeout=PATIENCE)
    page.get_by_role("link", name="Budget").first.click()
    expect(head).to_contain_text("Normal:", timeout=PATIENCE)
    expect(page.locator(".st-key-decisions")).to_contain_text("files and long questions are accepted again")
    server.wait_finished(server.add("more.txt", b"more text"))
    page.context.close()


def test_switches_and_actions_by_hand(browser: Browser, tight: Tight, watch: Watch) -> None:
    """A dry run is switched on and off, an action is run and undone, and the page and the service agree on it."""
    page = open_budget(browser, tight.server, watch)
    eventually(lambda: tight.budget()["level"] == "calm", what="calm")
    dry_run = page.get_by_text("Dry run", exact=True)
    dry_run.click()
    eventually(lambda: tight.budget()["dry_run"], what="the dry run")
    expect(page.locator(".st-key-budget-head")).to_contain_text("dry run, nothing is done")
    dry_run.click()
    eventually(lambda: not tight.budget()["dry_run"], what="the end of the dry run")
    refuse = page.locator(".st-key-step-refuse").get_by_role("button", name="Run")
    refuse.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("It affects everybody")
    expect(dialog).to_contain_text("until somebody undoes it")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    assert tight.budget()["doors"] == []
    refuse.click()
    dialog.get_by_role("button", name="Run").click()
    eventually(lambda: tight.budget()["doors"], what="closed doors")
    expect(page.locator(".st-key-step-refuse")).to_contain_text("In force for")
    other = open_budget(browser, tight.server, watch)
    other.goto("/documents")
    expect(other.locator(".st-key-refusal-banner")).to_contain_text("Somebody on the budget page has stopped new files")
    expect(other.locator(".st-key-refusal-banner")).not_to_contain_text("short of memory")
    expect(other.locator(".st-key-status-strip")).to_contain_text("closed by somebody", ignore_case=True)
    other.context.close()
    page.get_by_role("button", name="Undo all actions").click()
    eventually(lambda: not tight.budget()["doors"], what="open doors")
    page.context.close()


def test_a_tab_comes_back_by_itself_after_a_restart(browser: Browser, watch: Watch, tmp_path: Path) -> None:
    """Asked for on the page, a restart is confirmed, announced and done; the tab goes on without being loaded again."""
    server = spawn(tmp_path / "data", arguments=("--supervise",))
    lock = server.data_dir / "millpond.lock"

    def holder() -> int:
        try:
            return int(json.loads(lock.read_bytes())["pid"])
        except (OSError, ValueError):
            return 0

    try:
        server.wait_ready()
        old = holder()
        page = open_budget(browser, server, watch)
        page.evaluate("window.untouched = true")
        page.get_by_role("button", name="Restart now").click()
        page.get_by_role("dialog").get_by_role("button", name="Restart", exact=True).click()
        expect(page.get_by_text("A restart is being prepared; you can continue to work").first).to_be_visible(
            timeout=PATIENCE
        )
        eventually(lambda: holder() not in {0, old}, seconds=120, what="the next process")
        # The page of the next process: no restart is under way there.
        button = page.get_by_role("button", name="Restart now")
        expect(button.first).to_be_enabled(timeout=PATIENCE)
        expect(button).to_have_count(1)  # the old page's is there, too, until the new one is drawn
        expect(page.get_by_text("A restart is being prepared; you can continue to work")).to_have_count(0)
        assert page.evaluate("window.untouched")
        assert page.url.endswith("/budget")
        page.context.close()
    finally:
        server.stop()
