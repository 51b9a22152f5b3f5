from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import PATIENCE, Watch
from tests.servers import Server, serving

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

TOKEN = "let-me-act-please"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A console whose clock runs ten times as fast, and whose visitors may only look."""
    folder = tmp_path_factory.mktemp("guarded") / "data"
    with serving(folder, module="tests.consoles.fast", visitors="user", admin_token=TOKEN) as server:
        yield server


@pytest.fixture
def tab(browser: Browser, guarded: Server, watch: Watch) -> Iterator[Page]:
    """A fresh tab of a visitor."""
    context = browser.new_context(base_url=guarded.url, viewport={"width": 1440, "height": 1400}, locale="en-GB")
    page = context.new_page()
    watch.of(page)
    yield page
    context.close()


def button(tab: Page, name: str) -> Locator:
    return tab.get_by_role("button", name=name)


def give(tab: Page, token: str) -> None:
    """Give a token at the top of the page."""
    if not tab.get_by_role("textbox", name="Token").is_visible():
        button(tab, "Read-only").click()
    tab.get_by_role("textbox", name="Token").fill(token)
    tab.locator(".st-key-access-give").get_by_role("button").click()


def figure(tab: Page, name: str) -> Locator:
    return tab.locator(".st-key-effect-newest").get_by_test_id("stMetric").filter(has_text=name)


def test_who_may_only_look_gives_the_token_and_acts(tab: Page) -> None:
    """A visitor's buttons must be dead until the right token is given, and come alive then."""
    tab.goto("/collector")
    collect = button(tab, "Generation 0")
    expect(collect).to_be_disabled()
    expect(button(tab, "Apply and keep")).to_be_disabled()
    give(tab, "wrong")
    expect(tab.get_by_text("This is not the administrator's token")).to_be_visible()
    expect(collect).to_have_count(1)  # until the run of the page ends, what stood elsewhere before is still there
    expect(collect).to_be_disabled()
    give(tab, TOKEN)
    expect(tab.get_by_text("This tab now has administrator rights.")).to_be_visible()
    expect(collect).to_be_enabled()
    collect.click()
    expect(tab.get_by_text(re.compile("Collect: generation 0: .* administrator"))).to_be_visible()
    button(tab, "Leave administrator mode").click()
    expect(collect).to_be_disabled()


def test_thresholds_collections_a_trial_and_giving_back(tab: Page) -> None:
    """The whole way of a person who tunes: change, see before and after, let the trial run out, free memory."""
    tab.goto("/collector")
    give(tab, TOKEN)
    state = tab.locator(".st-key-collector-state")
    expect(state).to_contain_text("at its default thresholds (700, 10, 10)")

    button(tab, "Generation 2").click()
    newest = tab.locator(".st-key-effect-newest")
    expect(newest).to_contain_text("Collect: generation 2")
    for name in ("Pause", "RSS before", "RSS after", "Change", "Objects found", "Uncollectable"):
        expect(figure(tab, name)).to_contain_text(re.compile(r"\d|unchanged"))

    threshold = tab.get_by_role("spinbutton", name="Threshold 0")
    expect(button(tab, "Apply for 10 minutes")).to_be_enabled()
    threshold.fill("2500")
    threshold.press("Enter")
    length = tab.get_by_role("spinbutton", name="Minutes")
    length.fill("1")
    length.press("Enter")
    button(tab, "Apply for 1 minute").click()
    expect(state).to_contain_text("changed thresholds (2,500, 10, 10)")
    trial = tab.locator(".st-key-collector-trial")
    expect(trial).to_contain_text(re.compile("Trial by administrator: reverts to 700, 10, 10 in"))
    expect(trial).to_contain_text("p95 before")
    expect(button(tab, "Keep").first).to_be_enabled()
    # Nobody keeps it: after its minute it goes back by itself, and the form shows what is in force again.
    expect(state).to_contain_text("at its default thresholds (700, 10, 10)", timeout=60_000 + PATIENCE)
    expect(tab.get_by_text("time is over and the trial was not kept")).to_be_visible()
    expect(tab.get_by_role("spinbutton", name="Threshold 0")).to_have_value("700")
    expect(trial).to_have_count(0)

    tab.get_by_text("Release memory", exact=True).click()
    row = tab.locator(".st-key-reclaim-heap")
    expect(row).to_contain_text("would free")
    # While the view is drawn anew its place has what was there before.
    expect(row.get_by_role("button")).to_have_count(1)
    row.get_by_role("button").click()
    expect(row.locator(".st-key-outcome-release-heap")).to_contain_text(re.compile("RSS .* just now"))
    expect(newest).to_contain_text("Free pages of the allocator")

    tab.get_by_text("Pauses", exact=True).click()
    expect(tab.get_by_role("figure", name="Pauses over time")).to_be_visible()
    expect(tab.get_by_role("figure", name="Distribution of pauses")).to_be_visible()
