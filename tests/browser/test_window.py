"""The window: the keyboard alone leads everywhere, and the status bar cuts and covers nothing, however wide it is."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.servers import Server, eventually

pytestmark = pytest.mark.browser

PALETTE = "Go to a page, a document or a conversation"
# Boxes of the bar that are outside of the window or narrower than what they hold; room below it; a page's end under it.
_FAULTS = """() => {
  const bar = document.querySelector(".st-key-status-strip")
  const faults = []
  for (const box of [bar, ...bar.querySelectorAll("*")]) {
    const { left, right, bottom, width } = box.getBoundingClientRect()
    if (!width) continue
    const name = `${box.tagName} ${box.textContent.slice(0, 60)}`
    if (left < 0 || right > innerWidth + 0.5 || bottom > innerHeight + 0.5) faults.push(`outside: ${name}`)
    const inline = getComputedStyle(box).display === "inline"
    if (!inline && box.clientWidth && box.scrollWidth > box.clientWidth + 1) faults.push(`cut: ${name}`)
  }
  if (innerHeight - bar.getBoundingClientRect().bottom > 8) faults.push("room below the bar")
  const main = document.querySelector("main")
  main.scrollTop = main.scrollHeight
  const end = document.querySelector("[data-testid=stMainBlockContainer]").getBoundingClientRect().bottom
  const top = document.querySelector("[data-testid=stBottom]").getBoundingClientRect().top
  if (end > top + 1) faults.push(`covered: ${end - top} px of the page's end`)
  if (main.scrollWidth > main.clientWidth) faults.push("the page is wider than the window")
  return faults
}"""
_FOCUS = "() => getComputedStyle(document.activeElement).outlineStyle"


def heading(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text([name])
    expect(page).to_have_title(f"{name} - Millpond")


def settled(page: Page) -> None:
    expect(page.locator(".st-key-status-strip").get_by_text("1 document, 1 chunk")).to_be_visible()
    page.wait_for_function("document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'")


def test_the_keyboard_leads_everywhere_and_the_bar_cuts_nothing(page: Page, console: Server) -> None:
    """Without the mouse to a document by its name, to a page, to the list of keys, which are none while one types."""
    console.wait_finished(console.add("sluice <b>gate.txt", b"The gate is painted green."))
    page.goto("/overview")
    heading(page, "Overview")
    field = page.get_by_role("combobox", name=PALETTE)

    def opened() -> bool:
        if not field.is_visible():  # the last thing that a page gets is who listens to the keys
            page.keyboard.press("Control+k")
        return field.is_visible()

    eventually(opened, what="the palette")
    expect(field).to_be_focused()
    page.keyboard.type("sluice")
    expect(page.get_by_role("option", name=re.compile(r"sluice <b>gate\.txt"))).to_have_attribute(
        "aria-selected", "true"
    )
    page.keyboard.press("Enter")
    heading(page, "sluice <b>gate.txt")
    expect(field).to_have_count(0)

    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog.get_by_text("Go to: Memory")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)

    page.keyboard.type("gd")
    heading(page, "Documents")
    search = page.get_by_placeholder("Find by name")
    expect(search).to_be_visible()
    page.keyboard.press("/")
    expect(search).to_be_focused()
    page.keyboard.type("gm?n")
    expect(search).to_have_value("gm?n")
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    assert page.evaluate(_FOCUS) == "solid"
    page.keyboard.press("n")
    heading(page, "New conversation")

    for width in (1440, 1024, 420):
        page.set_viewport_size({"width": width, "height": 800})
        for name in ("", "documents", "memory"):
            page.goto(f"/{name}")
            settled(page)
            assert page.evaluate(_FAULTS) == [], f"{name} at {width}"
