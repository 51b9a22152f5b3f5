"""The way of somebody who looks after the memory, in Chinese, by keys alone."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from playwright.sync_api import Locator, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from services.core.i18n import _, speaking
from tests.browser.conftest import PATIENCE
from tests.browser.keyboard import focus, heading, keys, press_until, tab_to
from tests.servers import Server, eventually

pytestmark = pytest.mark.browser


def choose_first_row(page: Page, table: int, sign: Locator) -> None:
    """Select the first row of a table; a key that comes while it is painted anew is lost."""

    def chosen() -> bool:
        if not sign.is_visible():
            tab_to(page, table=table)
            keys(page, "ArrowDown", "ArrowUp", "Shift+Space")
            with suppress(PlaywrightTimeoutError):
                sign.wait_for(timeout=PATIENCE / 3)
        return sign.is_visible()

    eventually(chosen, what="the first row, selected", seconds=2 * PATIENCE / 1000)


def test_the_memory_way_by_keys_alone_in_chinese(chinese: Page, console: Server) -> None:
    """Verdict, objects, a census, the largest type and what holds it, a collection and its outcome: no mouse, each stop
    of the focus seen."""
    page = chinese
    with speaking("zh_CN"):
        page.goto("/overview")
        heading(page, _("Overview"))
        press_until(page, "g", "m", url="**/memory")
        heading(page, _("Memory"))
        verdict = page.locator(".st-key-verdict h4")
        expect(verdict).to_contain_text(re.compile("[\u4e00-\u9fff]{2}"))

        keys(page, "Control+k")
        expect(page.get_by_role("combobox", name=_("Go to a page, a document or a conversation"))).to_be_focused()
        assert focus(page)["seen"]
        page.keyboard.type(_("Objects"))
        expect(page.get_by_role("option", name=_("Objects")).first).to_have_attribute("aria-selected", "true")
        keys(page, "Enter")
        heading(page, _("Objects"))

        tab_to(page, _("Take a snapshot"))
        keys(page, "Enter")
        expect(page.get_by_test_id("stDataFrame")).to_have_count(1)
        types = console.client.get("/api/objects/types").json()["types"]
        largest = types[0]["type"]
        choose_first_row(page, 0, page.get_by_role("heading", level=3, name=largest, exact=True))
        expect(page).to_have_url(re.compile(rf"type={largest}"))
        expect(page.get_by_test_id("stDataFrame")).to_have_count(2)
        choose_first_row(page, 1, page.locator(".st-key-object-sizes"))
        expect(page.locator(".st-key-object-sizes")).to_contain_text(_("Retained size"))

        # Not by Escape: it clears the table's choice, which the browser may tell after asking for the next page.
        tab_to(page, _("Take a snapshot"))
        keys(page, "g", "g")
        heading(page, _("Garbage collection"))
        tab_to(page, _("Generation {number}").format(number=2))
        keys(page, "Enter")
        outcome = page.locator(".st-key-outcome-collect")
        expect(outcome).to_contain_text(_("pause {time}").format(time="").strip())
        expect(outcome).to_contain_text(_("RSS"))
