"""The page "Nodes" in a real browser: two nodes, of which one dies."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import Watch, tab
from tests.servers import Server
from tests.shared_pond import SharedPond, shared_pond

pytestmark = pytest.mark.browser
TAKEN_OVER_MS = 8_000


@pytest.fixture(scope="module")
def pond(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedPond]:
    with shared_pond(tmp_path_factory.mktemp("pond")) as pond:
        yield pond


@pytest.fixture(scope="module")
def console(pond: SharedPond) -> Server:
    """The node whose pages are opened."""
    return pond.node("alder")


@pytest.fixture(scope="module")
def other(pond: SharedPond, console: Server) -> Server:
    return pond.node("birch")


def card(page: Page, name: str) -> Locator:
    return page.locator("[class*='st-key-node-']").filter(has_text=name).first


def test_the_memory_of_the_other_node_is_shown(browser: Browser, console: Server, other: Server, watch: Watch) -> None:
    """The front keeps a browser on its node: nobody could see why the other one grows."""
    with tab(browser, console, watch, "en-GB") as page:
        page.goto("/nodes")
        card(page, "birch").get_by_role("link", name="Memory").click()
        expect(page).to_have_url(re.compile(r"/memory\?node=birch"))
        expect(page.get_by_text("This is the memory of the node birch")).to_be_visible()
        figures = page.locator(".st-key-memory-figures")
        expect(figures).to_contain_text(re.compile(r"RSS\s*[\d,.]+ MB"))
        expect(page.get_by_text("Memory by owner")).to_be_visible()
        expect(page.get_by_text("Every byte of RSS")).to_be_visible()
        expect(page.get_by_role("link", name="Its own pages")).to_have_attribute("href", f"{other.url}/memory")
        expect(page.get_by_role("button", name="Trim and check again")).to_have_count(0)

        page.get_by_role("combobox", name="Node").click()
        page.get_by_role("option", name="alder (this node)").click()
        expect(page).not_to_have_url(re.compile("node="))
        expect(page.get_by_role("button", name="Trim and check again")).to_be_visible()


def test_a_node_that_dies_is_seen_and_forgotten(browser: Browser, console: Server, other: Server, watch: Watch) -> None:
    """Somebody who watches this page during an outage would be told that all is well, or could not tidy up after."""
    with tab(browser, console, watch, "en-GB") as page:
        page.goto("/")
        page.get_by_role("link", name="Nodes").click()
        expect(page.get_by_role("heading", name="Nodes")).to_be_visible()
        own, dying = card(page, "alder"), card(page, "birch")
        expect(own).to_contain_text("this node")
        expect(own).to_contain_text("Ready")
        expect(dying).to_contain_text("Ready")
        expect(dying).to_contain_text("follows everything")
        expect(dying).to_contain_text(re.compile(r"RSS: [\d,.]+ MB"))
        expect(dying.get_by_role("link", name="Its own pages")).to_have_attribute("href", f"{other.url}/nodes")

        other.stop(signal.SIGKILL)
        expect(dying).to_contain_text("Taken over", timeout=TAKEN_OVER_MS)
        expect(own).to_contain_text("Ready")

        dying.get_by_role("button", name="Forget").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("Forget the node birch?")
        dialog.get_by_role("button", name="Forget").click()
        expect(page.get_by_text("The node birch was forgotten.")).to_be_visible()
        expect(page.get_by_text("This is the only node")).to_be_visible()
        expect(dying).to_have_count(0)
        expect(page.get_by_role("link", name="Restart this node")).to_be_visible()
