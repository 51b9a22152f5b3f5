"""Mail with attachments, and files of one name, as a person meets them on the pages."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_main_path import CELL, upload
from tests.knowledge.formats.mails import attach, mail
from tests.servers import Server, eventually

pytestmark = pytest.mark.browser


def test_a_mail_shows_what_it_brought_and_takes_it_along(page: Page, console: Server) -> None:
    """Attachments are linked from their mail and back, and the confirmation says that they go with it."""
    message = mail("Offer", "The prices of the ovens are attached.")
    attach(message, "prices.txt", b"An oven costs 900 ducats.", "text/plain")
    attach(message, "movie.mp4", b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 9, "video/mp4")
    page.goto("/documents")
    upload(page, ("Offer.eml", "message/rfc822", message.as_bytes()))
    expect(page.locator(CELL).filter(has_text="Offer.eml › prices.txt")).to_have_count(1, timeout=60_000)
    expect(page.locator(".st-key-jobs-running")).to_have_count(0, timeout=60_000)
    found = console.client.get("/api/documents", params={"query": "Offer"}).json()["documents"]
    number = next(document["id"] for document in found if document["name"] == "Offer.eml")

    page.goto(f"/documents?document={number}")
    expect(page.get_by_text("1 attachment was not read: movie.mp4")).to_be_visible()
    page.get_by_role("link", name="prices.txt").click()
    expect(page.get_by_text("An oven costs 900 ducats.").first).to_be_visible()
    page.get_by_role("link", name="Offer.eml", exact=True).click()
    expect(page.get_by_text("The prices of the ovens are attached.").first).to_be_visible()

    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("With it goes 1 attachment that only it brought.")).to_be_visible()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Deleted 2 documents")).to_be_visible()


def test_two_files_of_one_name_do_not_replace_each_other(page: Page, console: Server) -> None:
    """The second of two files of one name is refused aloud, and the first stays."""
    page.goto("/documents")
    upload(
        page,
        ("README.md", "text/markdown", b"The heron nests in the willow."),
        ("README.md", "text/markdown", b"The stork nests on the chimney."),
    )
    expect(page.get_by_text("only the first was added").first).to_be_visible()

    def versions() -> list[int]:
        found = console.client.get("/api/documents", params={"query": "README"}).json()["documents"]
        return [document["version"] for document in found if document["status"] == "ready"]

    eventually(lambda: versions() == [1], what="the first file")
