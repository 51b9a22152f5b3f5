"""Signing in and out in a real browser: the page, what a role sees, and being thrown out."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.servers import Server
from tests.team import PASSWORD, Team, serving_team

pytestmark = pytest.mark.browser
SIGN_IN = re.compile(r"/sign-in(\?.*)?$")


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """A server with one account of each role."""
    with serving_team(tmp_path_factory.mktemp("sign-in") / "data") as team:
        yield team


@pytest.fixture(scope="module")
def console(team: Team) -> Server:
    """The server of this module's tabs."""
    return team.server


def sign_in(page: Page, name: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_a_person_signs_in_works_and_signs_out(page: Page, team: Team) -> None:
    """A link would be lost at the door, a role see what it may not, or signing out leave the page open."""
    page.goto(f"{team.server.url}/documents")
    expect(page).to_have_url(f"{team.server.url}/sign-in?next=%2Fdocuments")
    page.get_by_label("Name").fill("uma")
    page.get_by_label("Password").fill("not this one at all")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("Name or password is wrong.")
    expect(page.get_by_label("Name")).to_have_value("uma")
    sign_in(page, "uma")
    expect(page).to_have_url(f"{team.server.url}/documents")
    navigation = page.get_by_test_id("stSidebarNav")
    expect(navigation.get_by_text("Documents")).to_be_visible()
    expect(navigation.get_by_text("Objects")).to_have_count(0)
    page.goto(f"{team.server.url}/objects")
    expect(page.get_by_text("Your role may not see this page.")).to_be_visible()
    page.locator(".st-key-account").get_by_role("button").click()
    expect(page.get_by_text("Signed in as uma: user")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(SIGN_IN, timeout=3000)
    page.goto(team.server.url)
    expect(page).to_have_url(SIGN_IN)


def test_whoever_is_thrown_out_sees_the_sign_in_page(page: Page, team: Team) -> None:
    """The page would stay as it is, or say without end that it is connecting."""
    page.goto(f"{team.server.url}/retrieval")
    sign_in(page, "aud")
    expect(page).to_have_url(f"{team.server.url}/retrieval")
    expect(page.locator(".st-key-account")).to_be_visible()
    with team.browser("ada") as admin:
        ended = admin.delete(f"/api/people/{team['aud'].id}/sessions")
        assert ended.status_code == 200, ended.text
    expect(page).to_have_url(f"{team.server.url}/sign-in?next=%2Fretrieval", timeout=2000)


@pytest.mark.parametrize(("scheme", "background"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(18, 24, 26)")])
def test_the_page_fits_a_telephone_in_light_and_dark(
    browser: Browser, team: Team, scheme: str, background: str
) -> None:
    """It would be cut off at the side, or blind people at night."""
    context = browser.new_context(
        viewport={"width": 320, "height": 640}, color_scheme=scheme, java_script_enabled=False
    )
    page = context.new_page()
    page.goto(team.server.url)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    body = page.locator("body")
    assert body.evaluate("element => element.scrollWidth") <= 320
    assert body.evaluate("element => getComputedStyle(element).backgroundColor") == background
    box = page.get_by_role("button", name="Sign in").bounding_box()
    assert box is not None
    assert box["width"] >= 280
    sign_in(page, "uma")
    expect(page).to_have_url(f"{team.server.url}/")
    context.close()
