"""From an empty console to a team in a real browser: accounts, a group, a shared collection, and its limits."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import anyio
import httpx
import pytest
from openai import OpenAI
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Watch
from tests.browser.controls import choose
from tests.identity.oidc.provider import FONTS, Provider, needs_provider, providing
from tests.mcp_client import connected, text_of
from tests.servers import Server, serving

pytestmark = [pytest.mark.browser, needs_provider]
CELL = "canvas [role=gridcell]"  # the table is painted; its cells are there for assistive technology
ADMIN_PASSWORD, USER_PASSWORD = "violet tractor under seven moons", "purple kettle beneath nine bridges"
SHARED = b"The kettle in the kitchen of the mill holds eleven litres and is descaled every third week.\n"
CLOSED = b"The combination of the vault below the mill is changed by the treasurer every full moon.\n"
QUESTIONS = (
    ("How many litres does the kettle hold?", "eleven litres", True),
    ("Who changes the combination of the vault?", "treasurer", False),
)
PROVIDED = {"subject-olga": {"preferred_username": "olga", "name": "Olga Example", "groups": ["kiln-millers"]}}


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """An identity provider that knows Olga, and that she is one of the millers."""
    with providing(tmp_path_factory.mktemp("provider"), PROVIDED) as provider:
        yield provider


@pytest.fixture
def others_ask_for() -> str:
    """The provider's own pages ask for a font."""
    return FONTS


def sign_in(page: Page, name: str, password: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def fill_new_password(page: Page, password: str) -> None:
    page.get_by_label("New password", exact=True).fill(password)
    page.get_by_label("New password once more").fill(password)


def make_administrator(page: Page, console: Server) -> None:
    """Create the first account; the tab goes to the sign-in page by itself."""
    page.goto("/people")
    expect(page.get_by_text("Nobody passes without signing in")).to_be_visible()
    page.get_by_label("Name").fill("ada")
    fill_new_password(page, ADMIN_PASSWORD)
    page.get_by_role("button", name="Create the account and sign in").click()
    expect(page).to_have_url(re.compile(rf"^{console.url}/sign-in"), timeout=5000)
    sign_in(page, "ada", ADMIN_PASSWORD)
    expect(page.locator(CELL).filter(has_text="ada").first).to_be_attached()


def make_account(page: Page, name: str) -> None:
    page.get_by_role("button", name="New account").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill(name)
    dialog.get_by_label("New password", exact=True).fill(USER_PASSWORD)
    dialog.get_by_label("New password once more").fill(USER_PASSWORD)
    dialog.get_by_role("button", name="Create account").click()
    expect(dialog).to_have_count(0)
    expect(page.locator(CELL).filter(has_text=name).first).to_be_attached()


def make_group(page: Page, name: str, member: str) -> None:
    page.get_by_role("radio", name="Groups").click()
    page.get_by_role("button", name="New group").click()
    page.get_by_role("dialog").get_by_label("Name").fill(name)
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    choose(page, "Members", member)
    expect(page.get_by_text(f"{name} has 1 member now.")).to_be_visible()


def make_collection(page: Page, name: str, file: str, content: bytes) -> None:
    page.goto("/documents")
    page.get_by_role("button", name="New collection").click()
    page.get_by_role("dialog").get_by_label("Name").fill(name)
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.get_by_text(f"The collection {name} was created.")).to_be_visible()
    page.locator("input[type=file]").set_input_files([{"name": file, "mimeType": "text/plain", "buffer": content}])
    expect(page.get_by_text("1 file is being processed.")).to_be_visible()
    expect(page.locator(CELL).filter(has_text="Ready").first).to_be_attached(timeout=60_000)


def share_with_group(page: Page, group: str) -> None:
    page.get_by_role("button", name="Share", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("radio", name="Group").click()
    choose(page, "Name", group, within=dialog)
    dialog.get_by_role("button", name="Share", exact=True).click()
    expect(page.get_by_text(f"{group}: read from now on.")).to_be_visible()
    dialog.get_by_role("button", name="Done").click()
    expect(page.get_by_role("button", name="Shared with 1")).to_be_visible()


def see_what_one_may(page: Page) -> None:
    """Chat, documents and retrieval test have the shared collection, and nothing of the closed one."""
    page.goto("/documents")
    expect(page.locator(CELL).filter(has_text="kettle.txt").first).to_be_attached()
    expect(page.locator(CELL).filter(has_text="vault.txt")).to_have_count(0)
    page.get_by_role("combobox", name="Collection").click()
    expect(page.get_by_role("option", name=re.compile("Kitchen"))).to_be_visible()
    expect(page.get_by_role("option", name=re.compile("Vault"))).to_have_count(0)
    page.get_by_role("option", name=re.compile("Kitchen")).click()
    expect(page.get_by_text("You may read this collection, but not add documents to it.")).to_be_visible()
    for question, words, seen in QUESTIONS:
        page.goto("/")
        field = page.get_by_placeholder("Ask your documents")
        expect(field).to_be_enabled()
        field.fill(question)
        field.press("Enter")
        expect(page.locator("[class*=st-key-foot-]")).to_have_count(1, timeout=60_000)
        assert (words in page.locator("body").inner_text()) is seen
    page.goto("/retrieval")
    page.get_by_label("Query").fill("Who changes the combination of the vault?")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("kettle.txt").first).to_be_visible()
    expect(page.get_by_text("vault.txt")).to_have_count(0)


def set_up_second_factor(page: Page) -> str:
    """Set up an authenticator on "My account" and return its secret."""
    import pyotp

    page.goto("/account")
    page.get_by_role("button", name="Set up").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Current password").fill(USER_PASSWORD)
    dialog.get_by_role("button", name="Continue").click()
    secret = dialog.get_by_test_id("stCode").first.inner_text().strip()
    assert dialog.locator("img").first.get_attribute("src", timeout=5000) or ""
    dialog.get_by_label("Verification code", exact=True).fill(pyotp.TOTP(secret).now())
    dialog.get_by_role("button", name="Turn on").click()
    expect(dialog.get_by_text("They are not shown again")).to_be_visible()
    assert secret not in page.url
    dialog.get_by_role("button", name="I have kept them").click()
    expect(page.get_by_text("10 recovery codes are left")).to_be_visible()
    return secret


def sign_in_with_code(page: Page, console: Server, secret: str) -> None:
    import pyotp

    page.locator(".st-key-account-sign-out").get_by_role("button").click()
    expect(page).to_have_url(re.compile(rf"^{console.url}/sign-in"), timeout=5000)
    sign_in(page, "uma", USER_PASSWORD)
    # Each code counts once: the next one is accepted already.
    page.get_by_label("Verification code").fill(pyotp.TOTP(secret).at(time.time() + 30))
    page.get_by_role("button", name="Continue").click()
    expect(page.locator(".st-key-account-sign-out")).to_be_visible()


def make_token(page: Page) -> str:
    """Make an API token on "My account", which shows it once."""
    page.goto("/account")
    page.get_by_role("button", name="New token").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("notebook")
    dialog.get_by_role("button", name="Create token").click()
    expect(dialog.get_by_text("it is not shown again")).to_be_visible()
    token = dialog.get_by_test_id("stCode").first.inner_text().strip()
    dialog.get_by_role("button", name="I have copied it").click()
    expect(page.get_by_text("it is not shown again")).to_have_count(0)
    expect(page.get_by_text("notebook")).to_be_visible()
    assert token not in page.locator("body").inner_text()
    return token


def see_what_one_may_by_token(url: str, token: str) -> None:
    """API, OpenAI's client and MCP's client have the same rights as the pages, and nothing passes without the token."""
    headers = {"Authorization": f"Bearer {token}"}
    with (
        httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60) as api,
        OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0) as openai,
        ThreadPoolExecutor(1) as thread,  # this one has the event loop of the browser
    ):
        names = {each["name"] for each in api.get("/api/documents").json()["documents"]}
        assert names == {"kettle.txt"}
        for question, words, seen in QUESTIONS:
            hits = api.post("/api/search", json={"query": question}).raise_for_status().text
            asked = [{"role": "user", "content": question}]
            answer = openai.chat.completions.create(model="millpond", messages=asked)  # type: ignore[arg-type]
            by_mcp = thread.submit(anyio.run, _ask_by_mcp, url, token, question).result()
            for text in (hits, answer.choices[0].message.content or "", by_mcp):
                assert (words in text) is seen, text
    for path in ("/api/documents", "/v1/models", "/metrics"):
        assert httpx.get(f"{url}{path}", trust_env=False).status_code == 401


async def _ask_by_mcp(url: str, token: str, question: str) -> str:
    async with connected(url, token) as client:
        return text_of(await client.call_tool("ask", {"question": question}))


def come_from_the_provider(page: Page) -> None:
    """Olga has no account yet: the provider says who she is, and that she is one of the millers."""
    page.goto("/documents")
    page.get_by_role("link", name="Sign in with Example").click()
    page.locator("input[name=login]").fill("subject-olga")
    page.locator("input[name=password]").fill("any")
    page.locator("button[type=submit]").click()
    expect(page.locator(CELL).filter(has_text="kettle.txt").first).to_be_attached()
    expect(page.locator(CELL).filter(has_text="vault.txt")).to_have_count(0)


def see_each_step(page: Page, url: str) -> None:
    """The audit has each step, those of the token and of the provider included."""
    steps = {
        "person_created": "Person created",
        "group_changed": "Group changed",
        "grant_changed": "Rights changed",
        "second_factor_changed": "Second factor changed",
        "token_created": "API token created",
        "sign_in": "Signed in",
        "session_ended": "Session ended",
    }
    page.goto(f"{url}/audit?action={','.join(steps)}")
    for action in steps.values():
        expect(page.locator(CELL).filter(has_text=action).first).to_be_attached()


def test_a_team_is_made_shares_and_throws_out(
    page: Page, browser: Browser, console: Server, provider: Provider, watch: Watch
) -> None:
    """Any step that fails leaves a company with an open console, a closed one, or a person who sees too much."""
    make_administrator(page, console)
    make_account(page, "uma")
    make_group(page, "kiln-millers", "uma")
    make_collection(page, "Kitchen", "kettle.txt", SHARED)
    share_with_group(page, "kiln-millers")
    make_collection(page, "Vault", "vault.txt", CLOSED)
    context = browser.new_context(base_url=console.url, viewport={"width": 1440, "height": 900}, locale="en-GB")
    theirs = context.new_page()
    watch.of(theirs)
    theirs.goto("/people")
    sign_in(theirs, "uma", USER_PASSWORD)
    expect(theirs.get_by_text("Your role may not see this page.")).to_be_visible()
    expect(theirs.get_by_test_id("stSidebarNav").get_by_text("People")).to_have_count(0)
    see_what_one_may(theirs)
    sign_in_with_code(theirs, console, set_up_second_factor(theirs))
    token = make_token(theirs)
    see_what_one_may_by_token(console.url, token)
    people = {
        each["name"]: each["id"]
        for each in page.request.get("/api/people", headers={"Sec-Fetch-Site": "same-origin"}).json()["people"]
    }
    page.goto(f"/people?person={people['uma']}")
    page.get_by_role("button", name="End", exact=True).click()
    expect(theirs).to_have_url(re.compile(rf"^{console.url}/sign-in"), timeout=20_000)  # how fast: test_revocation
    context.close()
    console.stop()
    settings = provider.settings(oidc_groups="kiln-", oidc_label="Sign in with Example")
    with serving(console.data_dir, **settings) as again, browser.new_context(base_url=again.url) as third:
        provider.know(again.url)
        olga = third.new_page()
        watch.of(olga)
        come_from_the_provider(olga)
        see_each_step(page, again.url)
