from __future__ import annotations

import re

import pytest
from playwright.sync_api import ConsoleMessage, Page, Response, expect

from console.navigation import PageName

pytestmark = pytest.mark.browser


def test_every_page_opens_by_its_address_without_an_error_in_the_browsers_log(page: Page) -> None:
    """Each page, opened by its own address: no answer above 399, nothing in the console's log of errors."""
    refused: list[str] = []
    errors: list[str] = []

    def see(answer: Response) -> None:
        if answer.status >= 400:
            refused.append(f"{answer.status} {answer.url}")

    def read(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    page.on("response", see)
    page.on("console", read)
    for name in PageName:
        page.goto(f"/{name}")
        expect(page.locator(".st-key-status-strip")).to_be_visible()
        expect(page).to_have_title(re.compile("Millpond|" + name.value, re.IGNORECASE))
    assert refused == []
    assert errors == []
