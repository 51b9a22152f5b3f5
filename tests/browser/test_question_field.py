from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_main_path import answered, upload
from tests.servers import Server

pytestmark = pytest.mark.browser

HANDBOOK = b"# Mill\n\n## Water level\n\nThe keeper writes the water level into a red book every morning.\n"
# Beyond localhost a page that comes by plain HTTP has no such object.
PLAIN_HTTP = "Object.defineProperty(Navigator.prototype, 'clipboard', { value: undefined })"


def copied(page: Page, place: str) -> str:
    """Press the button of that key, and return what the clipboard has then, by pasting it into the question field."""
    button = page.locator(f"[class*=st-key-{place}]").get_by_role("button")
    button.click()
    expect(button).to_have_text("Copied")
    field = page.get_by_placeholder("Ask your documents")
    field.click()
    field.press("Control+V")
    expect(field).not_to_have_value("")
    pasted = field.input_value()
    field.fill("")
    return pasted


def test_asking_and_copying_without_looking_for_the_field(page: Page, console: Server) -> None:
    """The cursor is in the field, a question is offered, answer and link are copied without the clipboard's API."""
    page.add_init_script(PLAIN_HTTP)
    page.goto("/documents")
    upload(page, ("mill.md", "text/markdown", HANDBOOK))
    expect(page.locator("canvas [role=gridcell]").filter(has_text="mill.md")).to_have_count(1)
    expect(page.locator(".st-key-jobs-running")).to_have_count(0)
    page.goto("/")
    field = page.get_by_placeholder("Ask your documents")
    expect(field).to_be_focused()
    page.get_by_role("button", name="Tell me about “Water level”.").click()
    answered(page, 1)
    expect(page.get_by_text("language model is connected")).to_have_count(1)
    expect(field).to_be_focused()
    answer = copied(page, "copy-2")
    assert "into a red book every morning.” [1]" in answer
    assert answer.endswith("Sources\n[1] mill.md")
    link = copied(page, "copy-link")
    assert re.fullmatch(re.escape(console.url) + r"/?(chat)?\?conversation=\w+", link)
    page.goto(link)
    answered(page, 1)
