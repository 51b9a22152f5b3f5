"""Signing in and out with a real identity provider in a real browser, which applies the pages' policies."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.identity.oidc.provider import FONTS, Provider, needs_provider, providing
from tests.servers import Server, serving

pytestmark = [pytest.mark.browser, needs_provider]
PEOPLE = {"subject-ann": {"preferred_username": "ann", "name": "Ann Example", "groups": ["ops"]}}


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """A provider that knows Ann."""
    with providing(tmp_path_factory.mktemp("provider"), PEOPLE) as provider:
        yield provider


@pytest.fixture
def others_ask_for() -> str:
    """The provider's own pages ask for a font."""
    return FONTS


@pytest.fixture(scope="module")
def console(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without accounts, which people come to from the provider."""
    settings = provider.settings(oidc_roles="ops=operator", oidc_label="Sign in with Example")
    with serving(tmp_path_factory.mktemp("oidc") / "data", **settings) as server:
        provider.know(server.url)
        yield server


def test_a_person_comes_from_the_provider_and_leaves_it(page: Page, console: Server, provider: Provider) -> None:
    """A policy of the pages or a cookie would stop the browser on its way there, back, or out."""
    page.goto(f"{console.url}/documents")
    page.get_by_role("link", name="Sign in with Example").click()
    page.locator("input[name=login]").fill("subject-ann")
    page.locator("input[name=password]").fill("any")
    page.locator("button[type=submit]").click()
    expect(page).to_have_url(f"{console.url}/documents")
    expect(page.get_by_test_id("stSidebarNav").get_by_text("Objects")).to_be_visible()
    page.goto(f"{console.url}/account")
    expect(page.get_by_text("as subject-ann")).to_be_visible()
    page.goto(f"{console.url}/sign-out")
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile(rf"{re.escape(provider.url)}/session/end.*"))
    page.locator("button[name=logout]").click()
    expect(page.get_by_text("You have signed out.")).to_be_visible()
    page.goto(console.url)
    expect(page).to_have_url(re.compile(r"/sign-in(\?.*)?$"))
