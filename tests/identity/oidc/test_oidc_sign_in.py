"""Signing in with a real provider (npm oidc-provider) through the real server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.identity.oidc.provider import Provider, Visit, needs_provider, providing, visiting
from tests.servers import Server, eventually, serving
from tests.siege.door_callbacks import ANSWERS, CALLBACK, MADE_UP_COOKIES, made_up
from tests.team import COOKIE, PASSWORD, Team, make_people

pytestmark = needs_provider
AT_ONCE = 8  # as many as wait for the provider at a time

PEOPLE: dict[str, dict[str, Any]] = {
    "subject-ann": {"preferred_username": "ann", "name": "Ann Example", "groups": ["staff", "millpond-chemists"]},
    "subject-bob": {"preferred_username": "bob", "email": "bob@example.org", "groups": ["ops"]},
    "subject-uma": {"preferred_username": "UMA", "name": "Not our Uma", "groups": ["admins"]},
    "subject-eve": {"preferred_username": "eve", "groups": []},
}


@dataclass
class House:
    """A console with local accounts, and the provider."""

    team: Team
    provider: Provider

    @property
    def server(self) -> Server:
        return self.team.server

    def people(self) -> dict[str, dict[str, Any]]:
        """Return the accounts by name."""
        with self.team.browser("ada") as client:
            return {each["name"]: each for each in client.get("/api/people").json()["people"]}

    def groups(self, name: str) -> set[str]:
        """Return the groups of a person."""
        with self.team.browser("ada") as client:
            found = client.get("/api/groups").json()["groups"]
            members = {each["name"]: client.get(f"/api/groups/{each['id']}/members").json() for each in found}
        return {group for group, listed in members.items() if name in [each["name"] for each in listed["members"]]}

    def audited(self, words: str) -> list[dict[str, Any]]:
        """Return the records of the audit that contain some words."""
        with self.team.browser("ada") as client:
            found = client.get("/api/audit", params={"limit": 200})
            assert found.status_code == 200, found.text
            return [each for each in found.json()["records"] if words in str(each)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("oidc")
    with providing(folder / "provider", PEOPLE) as provider:
        members = make_people(folder / "data")
        settings = provider.settings(
            oidc_roles="admins=admin, ops=operator", oidc_groups="millpond-", oidc_label="Sign in with Example"
        )
        with serving(folder / "data", **settings) as server:
            provider.know(server.url)
            yield House(Team(server, members), provider)


@pytest.fixture
def house(whole: House) -> Iterator[House]:
    """The same for all tests; the provider tells the truth again afterwards."""
    yield whole
    whole.provider.set(fail={}, forge=None, skew=0, people=PEOPLE)


@pytest.fixture
def visit(house: House) -> Iterator[Visit]:
    """A browser that has been nowhere yet."""
    with visiting(house.server, house.provider) as visit:
        yield visit


def is_signed_in(visit: Visit) -> bool:
    return visit.console.get("/api/account").status_code == 200


def test_somebody_comes_from_the_provider(house: House, visit: Visit) -> None:
    """The way there and back would not end in a session, or lack name, group, place or the record of it."""
    assert "Sign in with Example" in visit.console.get("/sign-in").text
    address = httpx.URL(visit.begin("/documents?query=a"))
    asked = dict(address.params)
    assert asked["redirect_uri"] == f"{house.server.url}/sign-in/oidc/callback"
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert min(len(asked[name]) for name in ("state", "nonce", "code_challenge")) >= 43
    came = visit.console.get(visit.approve(str(address), "subject-ann"))
    assert (came.status_code, came.headers["location"]) == (303, "/documents?query=a")
    account = visit.console.get("/api/account").json()
    assert (account["person"]["name"], account["person"]["display_name"]) == ("ann", "Ann Example")
    assert account["person"]["role"] == "user"
    assert house.groups("ann") == {"millpond-chemists"}  # staff is not one of Millpond
    assert any("oidc" in each["detail"] for each in house.audited("sign_in"))
    assert [each["way"] for each in visit.console.get("/api/account/sessions").json()["sessions"]] == ["oidc"]
    assert all(name == COOKIE or "device" in name for name in visit.console.cookies)  # the flow's cookie is gone


def test_cookies_of_the_way_are_for_this_browser_alone(visit: Visit) -> None:
    """Scripts could read it, other sites send it along, or it would stay for ever."""
    sent = visit.console.get("/sign-in/oidc")
    cookie = next(value for value in sent.headers.get_list("set-cookie") if "oidc" in value)
    assert {"HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=600"} <= set(cookie.split("; "))
    assert sent.headers["cache-control"] == "no-store"


def test_roles_and_groups_are_taken_over_anew(house: House) -> None:
    """Somebody who lost a group at the provider would keep what it gave."""
    people = {key: dict(value) for key, value in PEOPLE.items()}
    people["subject-bob"]["groups"] = ["/ops", "/millpond-b"]  # as Keycloak writes them
    house.provider.set(people=people)
    with visiting(house.server, house.provider) as visit:
        visit.sign_in("subject-bob")
        assert visit.console.get("/api/account").json()["person"]["role"] == "operator"
        assert house.groups("bob") == {"millpond-b"}
        people["subject-bob"]["groups"] = ["millpond-c"]
        house.provider.set(people=people)
        with visiting(house.server, house.provider) as later:
            later.sign_in("subject-bob")
            assert later.console.get("/api/account").json()["person"]["role"] == "user"
        assert visit.console.get("/api/account").json()["person"]["role"] == "user"  # the older session, too
    assert house.groups("bob") == {"millpond-c"}


def test_nobody_becomes_somebody_else_by_a_name(house: House, visit: Visit) -> None:
    """Whoever can choose a name at the provider would be the person of that name here."""
    refused = visit.sign_in("subject-uma")
    assert refused.status_code == 401
    assert "already an account named UMA" in refused.text
    assert "subject-uma" in refused.text
    assert not is_signed_in(visit)
    assert house.people()["uma"]["role"] == "user"
    assert house.audited("subject-uma")


def test_a_person_links_the_account(house: House, visit: Visit) -> None:
    """Another site could link a stranger's account with somebody's, or one's own could not be linked."""
    provider = house.provider
    assert visit.console.get("/sign-in/oidc/link").status_code in {303, 401}
    with house.team.browser("aud") as client, visiting(house.server, provider) as browser:
        browser.console.headers.update(client.headers)
        page = browser.console.get("/sign-in/oidc/link")
        assert page.status_code == 200, page.text
        proof = page.text.partition("link=")[2].partition('"')[0]
        begun = "/sign-in/oidc?next=%2Faccount&link="
        assert visit.console.get(begun + proof).status_code == 403  # somebody else's
        assert browser.console.get(begun + "x" * 43).status_code == 403
        sent = browser.console.get(begun + proof)
        back = browser.approve(sent.headers["location"], "subject-eve")
        flow = {name: value for name, value in browser.console.cookies.items() if "oidc" in name}
        came = browser.console.get(back, headers={"Cookie": f"{client.headers['cookie']}; {_joined(flow)}"})
        assert (came.status_code, came.headers["location"]) == (303, "/account")
    visit.sign_in("subject-eve")
    assert visit.console.get("/api/account").json()["person"]["name"] == "aud"


def _joined(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def test_a_way_back_counts_once_and_in_its_browser(house: House, visit: Visit) -> None:
    """A link could sign somebody in as somebody else, or one that was seen once be used again."""
    back = visit.approve(visit.begin(), "subject-ann")
    with visiting(house.server, house.provider) as other:
        assert other.console.get(back).status_code == 401
        assert not is_signed_in(other)
    kept = dict(visit.console.cookies)
    assert visit.console.get(back).status_code == 303
    with visiting(house.server, house.provider) as again:
        again.console.cookies.update(kept)
        assert again.console.get(back).status_code == 401
        assert not is_signed_in(again)


def test_two_tabs_do_not_disturb_each_other(visit: Visit) -> None:
    """The tab that was opened first could not be signed in."""
    first, second = visit.begin("/api/version"), visit.begin("/api/account")
    assert visit.console.get(visit.approve(second, "subject-ann")).headers["location"] == "/api/account"
    assert visit.console.get(visit.approve(first, "subject-ann")).headers["location"] == "/api/version"


def test_a_new_key_of_the_provider_is_fetched(house: House, visit: Visit) -> None:
    """Nobody could sign in after the provider changed its key; or made-up names of keys would make it busy."""
    assert visit.sign_in("subject-ann").status_code == 303
    house.provider.rotate()
    with visiting(house.server, house.provider) as later:
        assert later.sign_in("subject-ann").status_code == 303
    before = house.provider.requests("/jwks")
    house.provider.set(forge={"header": {"kid": "made-up"}})
    for _each in range(8):
        with visiting(house.server, house.provider) as forged:
            assert forged.sign_in("subject-ann").status_code in {401, 503}
    assert house.provider.requests("/jwks") - before <= 5


@pytest.mark.parametrize(("skew", "status"), [(-50, 303), (50, 303), (-800, 401), (120, 401)])
def test_clocks_may_differ_by_a_minute(house: House, visit: Visit, skew: int, status: int) -> None:
    """A clock that is a little wrong would keep people out, or a token of long ago let them in."""
    house.provider.set(skew=skew)
    came = visit.sign_in("subject-ann")
    assert came.status_code == status
    assert status == 303 or "clocks" in came.text


FORGED: dict[str, dict[str, Any]] = {
    "no signature": {"by": "nobody", "header": {"alg": "none"}},
    "no signature, written otherwise": {"by": "nobody", "header": {"alg": "NONE"}},
    "an empty signature": {"by": "nobody"},
    "the public key as a secret": {"by": "secret", "header": {"alg": "HS256"}},
    "the client's secret": {
        "by": "secret",
        "header": {"alg": "HS256"},
        "secret": "a secret that only both of them know",
    },
    "another key": {"by": "other"},
    "a key in the header": {"by": "other", "header": {"jwk": {"kty": "oct", "k": "eA"}, "alg": "RS256"}},
    "changed afterwards": {"by": "before", "claims": {"sub": "subject-ada"}},
    "another algorithm": {"by": "before", "header": {"alg": "ES256"}},
    "no algorithm": {"by": "before", "header": {"alg": None}},
    "what must be understood": {"by": "before", "header": {"crit": ["exp"]}},
    "a strange name of a key": {"by": "before", "header": {"kid": {"$ne": ""}}},
    "another issuer": {"claims": {"iss": "https://evil.example"}},
    "no issuer": {"without": ["iss"]},
    "another client": {"claims": {"aud": "somebody-else"}},
    "no client": {"without": ["aud"]},
    "an odd client": {"claims": {"aud": {"millpond": True}}},
    "two clients": {"claims": {"aud": ["millpond", "somebody-else"]}},
    "another party": {"claims": {"azp": "somebody-else"}},
    "no end": {"without": ["exp"]},
    "an odd end": {"claims": {"exp": "never"}},
    "an endless end": {"claims": {"exp": 1e300}},
    "no beginning": {"without": ["iat"]},
    "made in the future": {"shift": {"iat": 600}},
    "not valid yet": {"shift": {"nbf": 600}},
    "over": {"shift": {"exp": -61}},
    "another nonce": {"claims": {"nonce": "x"}},
    "no nonce": {"without": ["nonce"]},
    "an odd nonce": {"claims": {"nonce": ["x"]}},
    "another access token": {"claims": {"at_hash": "x"}},
    "no subject": {"without": ["sub"]},
    "an empty subject": {"claims": {"sub": ""}},
    "a number": {"claims": {"sub": 1}},
    "a long subject": {"claims": {"sub": "x" * 300}},
    "a subject with a line break": {"claims": {"sub": "a\nb"}},
    "somebody else's userinfo": {"claims": {"sub": "subject-ada"}},
    "no token": {"answer": {"id_token": None}},
    "no access token": {"answer": {"access_token": None}},
    "no JWT": {"raw": "x"},
    "dots": {"raw": "...."},
    "five parts": {"raw": "eyJhbGciOiJkaXIifQ.a.b.c.d"},
    "a long one": {"raw": "x" * 200_000},
    "no base64": {"raw": "\u00e9.\u00e9.\u00e9"},
    "half a character": {"raw": "eyJhIjoiXHVkODAwIn0.e30.x"},
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_signs_nobody_in(house: House, visit: Visit, name: str) -> None:
    """Whoever can make up a token, or gets one that was made for somebody else, would be let in."""
    house.provider.set(forge=FORGED[name])
    came = visit.sign_in("subject-ann")
    assert came.status_code in {401, 503}, came.text
    assert not is_signed_in(visit)
    assert "nobody was signed in" in came.text


FAILURES = [
    (path, kind)
    for path in ("/token", "/me")
    for kind in ("html", "broken", "list", "empty", "nothing", "down", "redirect", "deep", "packed", "huge", "cut")
]


@pytest.mark.parametrize(("path", "kind"), FAILURES)
def test_a_provider_that_fails_is_told_in_words(house: House, visit: Visit, path: str, kind: str) -> None:
    """What the provider answers would be a defect of the console, or be followed to somewhere else."""
    before = house.provider.requests("/elsewhere")
    house.provider.set(fail={path: kind})
    came = visit.sign_in("subject-ann")
    if (path, kind) == ("/me", "empty"):
        assert came.status_code == 401
    else:
        assert came.status_code == 503, came.text
        assert came.headers["retry-after"] == "10"
        assert "sign in with name and password" in came.text
    assert not is_signed_in(visit)
    assert house.provider.requests("/elsewhere") == before
    assert "alert(1)" not in came.text


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_made_up_way_back_signs_nobody_in(house: House, visit: Visit, answer: str) -> None:
    """A link that somebody made would end in a session, or in a defect."""
    state = httpx.URL(visit.begin()).params["state"]
    came = visit.console.get(f"{CALLBACK}?{made_up(answer, state, house.provider.url)}")
    assert came.status_code in {400, 401, 414, 431, 503}, came.text
    assert "alert(1)<" not in came.text
    assert not is_signed_in(visit)
    assert [name for name in came.headers.get_list("set-cookie") if name.startswith("x=")] == []


@pytest.mark.parametrize("cookie", MADE_UP_COOKIES)
def test_a_made_up_cookie_signs_nobody_in(house: House, visit: Visit, cookie: str) -> None:
    """Whoever writes a cookie of their own would choose state, nonce and place."""
    back = visit.approve(visit.begin(), "subject-ann")
    name = next(name for name in visit.console.cookies if "oidc" in name)
    with visiting(house.server, house.provider) as other:
        came = other.console.get(back, headers={"Cookie": f"{name}={cookie}".encode()})
        assert came.status_code == 401
    assert visit.console.get(back).status_code == 303  # it disturbed nobody


def test_signing_out_ends_the_session_there_too(house: House, visit: Visit) -> None:
    """Whoever sits down next would be signed in again with one click."""
    visit.sign_in("subject-ann")
    page = {"Origin": house.server.url, "Sec-Fetch-Site": "same-origin"}
    out = visit.console.post("/sign-out", headers=page)
    assert out.status_code == 200
    assert not is_signed_in(visit)
    address = out.text.partition('content="0; url=')[2].partition('"')[0].replace("&amp;", "&")
    asked = httpx.URL(address).params
    assert asked["post_logout_redirect_uri"] == f"{house.server.url}/sign-in?signed-out"
    assert asked["id_token_hint"].count(".") == 2
    assert visit.provider.get(address).status_code == 200  # the provider takes the hint, and asks
    with house.team.browser("ole") as local:  # a local session ends here alone
        assert local.post("/sign-out").status_code == 303


def test_a_disabled_person_does_not_come_in(house: House) -> None:
    """The provider would let in whom an administrator has shut out."""
    with visiting(house.server, house.provider) as visit:
        visit.sign_in("subject-ann")
        number = house.people()["ann"]["id"]
        with house.team.browser("ada") as admin:
            assert admin.patch(f"/api/people/{number}", json={"disabled": True}).status_code == 200
        try:
            assert not is_signed_in(visit)
            with visiting(house.server, house.provider) as later:
                assert later.sign_in("subject-ann").status_code == 401
        finally:
            with house.team.browser("ada") as admin:
                admin.patch(f"/api/people/{number}", json={"disabled": False})


def test_an_administrator_links_and_unlinks(house: House, visit: Visit) -> None:
    """An account could not be joined with the one at the provider by those who manage people, or never parted again."""
    provider = house.provider
    people = PEOPLE | {"subject-new": {"preferred_username": "ole"}}
    provider.set(people=people)
    assert visit.sign_in("subject-new").status_code == 401
    ole = house.people()["ole"]["id"]
    with house.team.browser("ada") as admin, house.team.browser("uma") as user:
        body = {"issuer": provider.url, "subject": "subject-new"}
        assert user.post(f"/api/people/{ole}/links", json=body).status_code == 403
        assert admin.post(f"/api/people/{ole}/links", json=body).status_code == 200
        assert admin.get(f"/api/people/{ole}/links").json() == {"links": [body]}
        assert visit.sign_in("subject-new").status_code == 303
        assert visit.console.get("/api/account").json()["person"]["name"] == "ole"
        assert admin.post(f"/api/people/{ole}/links/remove", json=body).status_code == 204
        assert admin.post(f"/api/people/{ole}/links/remove", json=body).status_code == 404
    with visiting(house.server, provider) as later:
        assert later.sign_in("subject-new").status_code == 401


def test_passwords_work_while_the_provider_is_slow(house: House) -> None:
    """Those who wait for a provider that does not answer would keep out everybody else, or wait for ever."""
    provider = house.provider
    before = provider.requests("/token")
    with ExitStack() as opened:
        ways = []
        for _each in range(AT_ONCE):
            visit = opened.enter_context(visiting(house.server, provider))
            state = httpx.URL(visit.begin()).params["state"]
            ways.append((visit.console, f"{CALLBACK}?state={state}&iss={provider.url}&code=a"))
        provider.set(fail={"/token": "slow"})
        pool = opened.enter_context(ThreadPoolExecutor(AT_ONCE))
        waiting = [pool.submit(client.get, way) for client, way in ways]
        eventually(lambda: provider.requests("/token") == before + AT_ONCE, what="the requests to the provider")
        with house.team.browser() as client:
            answer = client.post("/sign-in", data={"name": "uma", "password": PASSWORD})
            assert answer.status_code == 303
        assert not all(each.done() for each in waiting)
        assert {each.result(60).status_code for each in waiting} == {503}
