"""Signing in over https: to a server with TLS of its own, and under a path of its own behind a real nginx with TLS."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from tests.api.tab import run_page, tab
from tests.certificates import make_pair
from tests.deploy.tools import nginx
from tests.identity.oidc.provider import Provider, Visit, needs_provider, providing
from tests.servers import Server, serving
from tests.team import COOKIE, PASSWORD, make_people

SECURE, DEVICE = "__Host-millpond", "__Host-millpond-device"
PATH = "/millpond"
PERSON = {"subject-ann": {"preferred_username": "ann", "groups": []}}


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with accounts and TLS."""
    folder = tmp_path_factory.mktemp("secure")
    certificate, key = make_pair().write(folder / "tls")
    make_people(folder / "data")
    with serving(folder / "data", tls_cert=certificate, tls_key=key) as server:
        yield server


@dataclass(frozen=True)
class Site:
    """A console with accounts under a path of a site whose nginx speaks TLS."""

    server: Server
    origin: str
    trusted: ssl.SSLContext
    folder: Path

    def browser(self, origin: str = "") -> httpx.Client:
        """A client that sends what a browser sends from a page of the site, or of another address of it."""
        return browser(origin or self.origin, self.trusted)


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """A provider that knows Ann."""
    with providing(tmp_path_factory.mktemp("provider"), PERSON) as provider:
        yield provider


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Site]:
    """Behind nginx; people come with a password, or from the provider where it is installed."""
    folder = tmp_path_factory.mktemp("site")
    pair = make_pair()
    files = pair.write(folder / "tls")
    make_people(folder / "data")
    installed = not needs_provider.args[0]
    settings = request.getfixturevalue("provider").settings() if installed else {}
    with (
        serving(folder / "data", base_path=PATH, trusted_proxies="127.0.0.1", **settings) as server,
        nginx(folder, server.url, tls=files) as origin,
    ):
        yield Site(server, origin, pair.trusted(), folder)


def browser(origin: str, trusted: ssl.SSLContext | None) -> httpx.Client:
    page = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
    return httpx.Client(base_url=origin, headers=page, timeout=60.0, trust_env=False, verify=trusted or True)


def given(answer: httpx.Response) -> dict[str, set[str]]:
    """Return the cookies that an answer sets, each with its attributes, whose case does not matter."""
    found = {}
    for header in answer.headers.get_list("set-cookie"):
        pair, *attributes = (part.strip() for part in header.split(";"))
        found[pair.partition("=")[0]] = {each.lower() for each in attributes}
    return found


def assert_safe(cookies: dict[str, set[str]]) -> None:
    """Check that browsers take these cookies, send them over https alone, to this host alone, and show scripts none."""
    for name, attributes in cookies.items():
        assert name.startswith("__Host-"), name
        assert {"path=/", "secure", "httponly", "samesite=lax"} <= attributes, name
        assert not any(each.startswith("domain") for each in attributes), name


def test_over_tls_the_cookie_is_for_this_host_alone(secure: Server) -> None:
    """A neighbouring host could plant a session, or one's own go over the wire in plain text, or it would not count."""
    with browser(secure.url, secure.trusted) as client:
        signed_in = client.post("/sign-in", data={"name": "uma", "password": PASSWORD, "next": "/documents"})
        assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/documents")
        assert set(given(signed_in)) == {SECURE, DEVICE}
        assert_safe(given(signed_in))
        assert client.get("/api/account").json()["person"]["name"] == "uma"
        token = client.cookies[SECURE]
        with tab(secure, f"{SECURE}={token}") as page:
            run_page(page)
        for name in (COOKIE, "millpond", SECURE.lower()):
            with pytest.raises(InvalidStatus), tab(secure, f"{name}={token}"):
                pass
            with browser(secure.url, secure.trusted) as other:
                assert other.get("/api/account", headers={"Cookie": f"{name}={token}"}).status_code == 401
        out = client.post("/sign-out")
        assert "max-age=0" in given(out)[SECURE]
        assert_safe(given(out))
        assert SECURE not in client.cookies
        assert client.get("/api/account", headers={"Cookie": f"{SECURE}={token}"}).status_code == 401


def test_pages_of_the_same_host_without_tls_do_nothing(secure: Server) -> None:
    """Whoever changes what plain http brings could sign people in, or act for them."""
    plain = secure.url.replace("https://", "http://")
    with browser(secure.url, secure.trusted) as client:
        wrong = client.post("/sign-in", data={"name": "uma", "password": PASSWORD}, headers={"Origin": plain})
        assert (wrong.status_code, given(wrong)) == (403, {})


def test_a_person_signs_in_under_a_path_of_a_site(site: Site) -> None:
    """The form, its style, the way back or the cookie would be looked for outside the path, or leave it."""
    with site.browser() as client:
        closed = client.get(f"{PATH}/documents?query=a", headers={"Accept": "text/html"})
        assert (closed.status_code, closed.headers["location"]) == (
            303,
            f"{PATH}/sign-in?next=%2Fdocuments%3Fquery%3Da",
        )
        shown = client.get(closed.headers["location"])
        assert shown.status_code == 200
        address = shown.url.join(re.findall(r'<form[^>]* action="([^"]*)"', shown.text)[0])
        assert address.path == f"{PATH}/sign-in"
        for loaded in re.findall(r'(?:href|src)="([^"]+)"', shown.text):
            assert shown.url.join(loaded).path.startswith(f"{PATH}/sign-in"), loaded
            assert client.get(shown.url.join(loaded)).status_code in {200, 303}, loaded
        place = re.findall(r'name="next" value="([^"]*)"', shown.text)[0]
        wrong = client.post(address, data={"name": "uma", "password": "not this one", "next": place})
        assert (wrong.status_code, given(wrong)) == (401, {})
        signed_in = client.post(address, data={"name": "uma", "password": PASSWORD, "next": place})
        assert (signed_in.status_code, signed_in.headers["location"]) == (303, f"{PATH}/documents?query=a")
        assert set(given(signed_in)) == {SECURE, DEVICE}
        assert_safe(given(signed_in))
        assert client.get(f"{PATH}/api/account").json()["person"]["name"] == "uma"
        stream = f"wss://{urlsplit(site.origin).netloc}{PATH}/_stcore/stream"
        with connect(
            stream,
            subprotocols=[Subprotocol("streamlit")],
            origin=Origin(site.origin),
            additional_headers={"Cookie": f"{SECURE}={client.cookies[SECURE]}"},
            ssl=site.trusted,
            max_size=None,
        ) as page:
            run_page(page)
        out = client.post(f"{PATH}/sign-out")
        assert (out.status_code, out.headers["location"]) == (303, f"{PATH}/sign-in?signed-out")
        assert client.get(f"{PATH}/api/account").status_code == 401


def test_a_proxy_without_tls_signs_nobody_in(site: Site) -> None:
    """A password and a session would go through the network in plain text; or who tries would see a defect."""
    (site.folder / "plain").mkdir()
    with nginx(site.folder / "plain", site.server.url) as origin, site.browser(origin=origin) as client:
        for password in (PASSWORD, "not this one"):
            fields = {"name": "uma", "password": password}
            asked = client.post(f"{PATH}/sign-in", data=fields, headers={"X-Forwarded-Proto": "https"})
            assert (asked.status_code, given(asked)) == (403, {})
            assert "Signing in needs https" in asked.text
        assert client.get(f"{PATH}/sign-in").status_code == 403
        assert client.get(f"{PATH}/sign-in/oidc").status_code in {403, 404}
        assert client.post(f"{PATH}/sign-out").status_code == 303
        assert client.get(f"{PATH}/sign-in/oidc/callback?state=x&code=y").status_code in {401, 404}


@needs_provider
def test_a_person_comes_from_the_provider_under_a_path_of_a_site(site: Site, provider: Provider) -> None:
    """The provider would send people back to an address outside the path, or to one without https."""
    provider.know(site.origin, PATH)
    with site.browser() as console, httpx.Client(base_url=provider.url, timeout=60.0, trust_env=False) as other:
        begun = console.get(f"{PATH}/sign-in/oidc", params={"next": "/documents"})
        assert_safe(given(begun))
        asked = httpx.URL(begun.headers["location"]).params
        assert asked["redirect_uri"] == f"{site.origin}{PATH}/sign-in/oidc/callback"
        back = Visit(console, other).approve(begun.headers["location"], "subject-ann")
        came = console.get(PATH + back)
        assert (came.status_code, came.headers["location"]) == (303, f"{PATH}/documents")
        assert set(given(came)) >= {SECURE, DEVICE}
        assert_safe(given(came))
        assert console.get(f"{PATH}/api/account").json()["person"]["name"] == "ann"
        out = console.post(f"{PATH}/sign-out")
        address = out.text.partition('content="0; url=')[2].partition('"')[0].replace("&amp;", "&")
        assert httpx.URL(address).params["post_logout_redirect_uri"] == f"{site.origin}{PATH}/sign-in?signed-out"
