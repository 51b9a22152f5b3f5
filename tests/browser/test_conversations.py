from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_main_path import answered, ask
from tests.servers import Server

pytestmark = pytest.mark.browser


def choose(page: Page, action: str) -> None:
    page.get_by_role("button", name="More").click()
    page.get_by_text(action, exact=True).click()


def test_a_conversation_is_renamed_exported_and_deleted(page: Page, console: Server, tmp_path: Path) -> None:
    """The menu of a conversation does what it says, and deleting asks first; it stays open while one is elsewhere."""
    page.goto("/")
    ask(page, "Is there anything about *kingfishers*?")
    answered(page, 1)
    expect(page.get_by_role("heading", name="Is there anything about *kingfishers*?")).to_be_visible()

    there = page.url
    page.get_by_role("link", name="Documents", exact=True).click()  # another page and back: it is still open
    expect(page.get_by_text("No documents yet")).to_be_visible()
    page.get_by_role("link", name="Chat", exact=True).click()
    expect(page).to_have_url(there)
    answered(page, 1)
    page.get_by_role("link", name="Overview", exact=True).click()
    expect(page.get_by_text("Searchable documents")).to_be_visible()
    page.go_back()
    expect(page).to_have_url(there)
    answered(page, 1)

    choose(page, "Rename")
    field = page.get_by_role("dialog").get_by_label("Title")
    field.fill("Birds [of](the) *pond*")
    field.press("Enter")
    expect(page.get_by_role("heading", name="Birds [of](the) *pond*")).to_be_visible()

    choose(page, "Export JSON")
    with page.expect_download() as started:
        page.get_by_role("dialog").get_by_role("button", name="Download").click()
    started.value.save_as(tmp_path / "export.json")
    exported = json.loads((tmp_path / "export.json").read_text(encoding="utf-8"))
    assert "kingfishers" in json.dumps(exported)
    page.keyboard.press("Escape")

    choose(page, "Delete")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Deletes its 2 messages.")).to_be_visible()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("The conversation was deleted.")).to_be_visible()
    expect(page.get_by_text("No conversations yet.")).to_be_visible()
    page.get_by_role("link", name="Documents", exact=True).click()  # what is deleted, and a new one, stay as they are
    page.get_by_role("link", name="Chat", exact=True).click()
    expect(page.get_by_role("heading", name="New conversation")).to_be_visible()
    assert "conversation=" not in page.url
