"""The way of somebody who looks after the memory, in Chinese, by keys alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from services.core.i18n import _, speaking
from tests.browser.conftest import PATIENCE, Watch
from tests.servers import Server, eventually

pytestmark = pytest.mark.browser

_MOST_STOPS = 150  # twice around: what is drawn anew while one passes is missed
# What has the focus, within a component's own tree too: its name, whether it is a table, and whether its ring is seen.
_FOCUS = """() => {
  let at = document.activeElement
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement
  const ring = (each) => {
    const { outlineStyle, outlineWidth } = getComputedStyle(each)
    return !["none", "auto"].includes(outlineStyle) && parseFloat(outlineWidth) >= 2
  }
  let seen = false
  for (let each = at, up = 0; each && up < 7; each = each.parentElement, up++) seen ||= ring(each)
  const frame = at.closest("[data-testid=stDataFrame]")
  const tables = [...document.querySelectorAll("[data-testid=stDataFrame]")]
  const name = at.matches("button, a, input") ? at.ariaLabel || at.innerText || at.textContent : ""
  return { name, table: at.closest("canvas") ? tables.indexOf(frame) : -1, seen }
}"""


@pytest.fixture
def chinese(browser: Browser, console: Server, watch: Watch) -> Iterator[Page]:
    """A tab of somebody who reads Chinese."""
    context = browser.new_context(base_url=console.url, viewport={"width": 1440, "height": 900}, locale="zh-CN")
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    watch.of(page)
    yield page
    context.close()


def keys(page: Page, *names: str) -> None:
    for name in names:
        page.keyboard.press(name)


def focus(page: Page) -> dict[str, Any]:
    """Return what has the focus, and whether that is seen."""
    found: dict[str, Any] = page.evaluate(_FOCUS)
    return found


def tab_to(page: Page, name: str = "", *, table: int = -1) -> None:
    """Go on with Tab as far as a button that is there, or a table by its place on the page."""
    if name:
        expect(page.get_by_role("button", name=name).first).to_be_visible()
    for _stop in range(_MOST_STOPS):
        page.keyboard.press("Tab")
        if _is_on(page, name, table):
            # A table that is being drawn anew gets its ring a moment later, or the focus has left it again.
            eventually(lambda: focus(page)["seen"] or not _is_on(page, name, table), what="the ring of the focus")
            if _is_on(page, name, table):
                return
    raise AssertionError(f"Tab does not reach {name or 'the table'}")


def _is_on(page: Page, name: str, table: int) -> bool:
    found = focus(page)
    return bool(name and name in (found["name"] or "")) or (table >= 0 and found["table"] == table)


def heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text([text])


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

        def arrived() -> bool:
            keys(page, "g", "m")  # the last thing that a page gets is who listens to the keys
            with suppress(PlaywrightTimeoutError):
                page.wait_for_url("**/memory", timeout=PATIENCE / 30)
            return page.url.endswith("/memory")

        eventually(arrived, what="the page of the memory")
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
