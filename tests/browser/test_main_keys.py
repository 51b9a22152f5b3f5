"""The way of somebody who has questions, in Chinese, by keys alone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import FilePayload, Page, expect

from services.core.i18n import _, speaking
from tests.browser.keyboard import focus, heading, keys, press_until, tab_to
from tests.servers import Server

pytestmark = pytest.mark.browser

HANDBOOK = (
    "# 水车手册\n\n## 水位\n\n守闸人每天清晨把水位记在红色的本子里。\n\n## 石磨\n\n石磨的刻槽每九十天打磨一次。\n"
)
FILE: FilePayload = {"name": "手册.md", "mimeType": "text/markdown", "buffer": HANDBOOK.encode()}


def upload(page: Page) -> None:
    """Upload the file by its button; the dialog is one for which the test waits since before the page was opened."""
    tab_to(page, _("Upload"))
    keys(page, "Enter")
    expect(page.locator("canvas [role=gridcell]").filter(has_text="手册.md")).to_have_count(1)


def test_the_main_way_by_keys_alone_in_chinese(chinese: Page, console: Server) -> None:
    """A file is uploaded, a question asked, its source read beside the answer, the document found by its name and
    deleted: no mouse, each stop of the focus seen."""
    page = chinese
    # From the start: where it is asked for with the key, the browser may open a dialog of its own first.
    page.on("filechooser", lambda chooser: chooser.set_files([FILE]))
    with speaking("zh_CN"):
        page.goto("/overview")
        heading(page, _("Overview"))
        press_until(page, "g", "d", url="**/documents")
        heading(page, _("Documents"))
        upload(page)
        expect(page.locator(".st-key-jobs-running")).to_have_count(0)

        press_until(page, "n", url="**/")
        heading(page, _("New conversation"))
        field = page.get_by_placeholder(_("Ask your documents"))
        expect(field).to_be_focused()
        page.keyboard.type("石磨的刻槽多久打磨一次？")
        keys(page, "Enter")
        expect(page.get_by_text("每九十天").first).to_be_visible()
        expect(page.locator("[class*=st-key-foot-]")).to_have_count(1)
        tab_to(page, "手册.md")
        keys(page, "Enter")
        panel = page.locator(".st-key-source-panel")
        expect(panel.get_by_text("石磨的刻槽每九十天打磨一次").first).to_be_visible()
        tab_to(page, _("Close"))
        keys(page, "Enter")
        expect(panel).to_have_count(0)

        keys(page, "Control+k")
        expect(page.get_by_role("combobox", name=_("Go to a page, a document or a conversation"))).to_be_focused()
        assert focus(page)["seen"]
        page.keyboard.type("手册")
        expect(page.get_by_role("option", name=re.compile("手册.md"))).to_have_attribute("aria-selected", "true")
        keys(page, "Enter")
        heading(page, "手册.md")
        tab_to(page, _("Delete"))
        keys(page, "Enter")
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_text("手册.md").first).to_be_visible()
        tab_to(page, _("Delete"))
        keys(page, "Enter")
        expect(dialog).to_have_count(0)
        expect(page.get_by_text(re.compile("已删除|将删除")).first).to_be_visible()
    assert console.client.get("/api/documents").json()["documents"] == []
