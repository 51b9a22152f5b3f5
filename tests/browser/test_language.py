"""The language of a page: the browser's, then the choice of whoever reads it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from console.requested_language import LANGUAGE_COOKIE
from services.core.i18n import _, speaking
from tests.browser.conftest import PATIENCE, Watch
from tests.servers import Server

pytestmark = pytest.mark.browser


def test_a_browser_is_answered_in_its_language_and_keeps_a_choice(
    browser: Browser, console: Server, watch: Watch
) -> None:
    """A Chinese browser gets Chinese pages that say so in `lang`; a choice holds after a reload and in other tabs."""
    with speaking("zh_CN"):
        model, language = _("Chat model"), _("Language")
    context = browser.new_context(base_url=console.url, viewport={"width": 1440, "height": 900}, locale="zh-CN")
    page: Page = context.new_page()
    page.set_default_timeout(PATIENCE)
    watch.of(page)
    frame = page.goto("/settings")
    assert frame is not None
    assert 'lang="zh-CN"' in frame.text()  # before any script runs: screen readers and fonts go by it
    expect(page.get_by_role("heading", name=model)).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    page.get_by_role("combobox", name=language).click()
    page.get_by_role("option", name="繁體中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-TW")
    with speaking("zh_TW"):
        expect(page.get_by_role("heading", name=_("Chat model"))).to_be_visible()
    [cookie] = [each for each in context.cookies() if each["name"] == LANGUAGE_COOKIE]
    assert (cookie["value"], cookie["sameSite"]) == ("zh_TW", "Lax")
    frame = page.reload()
    assert frame is not None
    assert 'lang="zh-TW"' in frame.text()
    with speaking("zh_TW"):
        expect(page.get_by_role("heading", name=_("Chat model"))).to_be_visible()
    context.close()
