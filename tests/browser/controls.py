"""Controls of pages, used as a person does who looks again when a click did nothing."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

from tests.servers import eventually


def open_list(page: Page, box: Locator, option: str) -> None:
    """Open a list; a click while the page is being drawn may open and close it."""
    found = page.get_by_role("option", name=option).first

    def opened() -> bool:
        if not found.is_visible():
            box.click()
            page.wait_for_timeout(500)
        return found.is_visible()

    eventually(opened, what=f"{option} in a list")


def choose(page: Page, box: str, option: str, within: Page | Locator | None = None) -> None:
    """Choose from the list of that label.

    By its role: the library keeps a second, hidden field of the same label while it draws.
    """
    open_list(page, (within or page).get_by_role("combobox", name=box), option)
    page.get_by_role("option", name=option).first.click()
