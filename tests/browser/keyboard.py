"""The keyboard alone: from stop to stop, each of which is seen."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from tests.browser.conftest import PATIENCE
from tests.servers import eventually

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
  const name = at.ariaLabel || at.innerText || at.textContent || ""
  return { name, button: at.matches("button"), table: at.closest("canvas") ? tables.indexOf(frame) : -1, seen }
}"""


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
        expect(page.get_by_role("button", name=name).filter(visible=True).first).to_be_visible()
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
    return bool(name and found["button"] and name in found["name"]) or (table >= 0 and found["table"] == table)


def heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text([text])


def press_until(page: Page, *names: str, url: str) -> None:
    """Press keys until the page has that address: the last thing that a page gets is who listens to them."""

    def arrived() -> bool:
        keys(page, *names)
        with suppress(PlaywrightTimeoutError):
            page.wait_for_url(url, timeout=PATIENCE / 30)
            return True
        return False

    eventually(arrived, what=f"the page {url}")
