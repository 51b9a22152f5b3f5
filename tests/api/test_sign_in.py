"""Signing in and out over HTTP: pages, cookies, where one goes afterwards, forms of other sites."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyotp
import pytest

from console.api.sign_in import local_place
from console.api.sign_in_page import ASSETS
from services.app.build_identity import offline_identity
from services.core.settings import Settings
from tests.servers import ROOT, serving
from tests.siege.door_credentials import credential_payloads, mcp_payloads
from tests.siege.door_payloads import fault, payloads, source
from tests.team import COOKIE, PASSWORD, Team, make_people

ELSEWHERE = ("http://evil.example", "null", "http://127.0.0.1:1")


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Team, str, list[str]]]:
    """A server with accounts; one has a second factor: its secret and recovery codes."""
    folder = tmp_path_factory.mktemp("sign-in") / "data"
    members = make_people(folder)
    with offline_identity(Settings(data_dir=folder)) as identity:
        actor = identity.by_session(members["ole"].session)
        assert actor is not None
        setup = identity.account.begin_second_factor(actor, PASSWORD)
        codes = identity.account.confirm_second_factor(actor, pyotp.TOTP(setup.secret).now())
    with serving(folder) as server:
        yield Team(server, members), setup.secret, codes


@pytest.fixture
def team(secret: tuple[Team, str, list[str]]) -> Team:
    """The server alone."""
    return secret[0]


def sent(client: httpx.Client, **fields: str) -> httpx.Response:
    return client.post("/sign-in", data=fields)


def test_the_page_needs_nothing_else(team: Team) -> None:
    """The page would need a script, another host, or something that is closed to those who have not signed in."""
    with team.browser() as client:
        page = client.get("/sign-in?next=%2Fdocuments")
        assert page.status_code == 200
        assert page.headers["cache-control"] == "no-store"
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert page.headers["x-frame-options"] == "DENY"
        assert "<script" not in page.text
        assert 'name="next" value="/documents"' in page.text
        assert 'autocomplete="username"' in page.text
        assert 'autocomplete="current-password"' in page.text
        loaded = re.findall(r'(?:href|src)="([^"]+)"', page.text)
        assert {client.get(f"/{address}").status_code for address in loaded} == {200}


def test_the_page_has_the_colours_of_the_console() -> None:
    """Signing in would look like another product, in light or in dark."""
    themes = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]
    style = (Path(ASSETS) / "sign-in.css").read_text()
    light, dark = style.split("@media", 1)
    names = {
        "primary": "primaryColor",
        "background": "backgroundColor",
        "field": "secondaryBackgroundColor",
        "text": "textColor",
        "border": "borderColor",
        "link": "linkColor",
    }
    for part, theme in ((light, themes["light"]), (dark, themes["dark"])):
        for name, option in names.items():
            assert f"--{name}: {theme[option]};" in part


def test_a_password_opens_a_session(team: Team) -> None:
    """Who signs in would not get where they wanted, or with a cookie that scripts or other sites can use."""
    with team.browser() as client:
        answer = sent(client, name="uma", password=PASSWORD, next="/documents?query=a%20b")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/documents?query=a%20b"
        cookie = next(value for value in answer.headers.get_list("set-cookie") if value.startswith(COOKIE))
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Path=/" in cookie
        assert "Domain" not in cookie
        token = cookie.partition("=")[2].partition(";")[0]
    with team.client(Cookie=f"{COOKIE}={token}") as client:
        assert client.get("/api/collections").status_code == 200
        assert client.get("/api/collections", headers={"Authorization": "Bearer nonsense"}).status_code == 401


def test_wrong_names_and_passwords_look_the_same(team: Team) -> None:
    """Somebody could find out who has an account."""
    with team.browser() as client:
        answers = [sent(client, name=name, password="not this one at all") for name in ("uma", "nobody-of-this-name")]
    texts = {re.sub(r' value="[^"]*"', "", answer.text) for answer in answers}
    assert [answer.status_code for answer in answers] == [401, 401]
    assert len(texts) == 1
    assert "Name or password is wrong." in texts.pop()


def test_a_second_factor_is_asked_for(secret: tuple[Team, str, list[str]]) -> None:
    """A password alone would do for an account with a second factor; or its code, or a recovery code, would not."""
    team, _totp, recovery = secret
    with team.browser() as client:
        asked = sent(client, name="ole", password=PASSWORD, next="/memory")
        assert asked.status_code == 200
        assert "set-cookie" not in asked.headers
        assert PASSWORD not in asked.text
        step = re.findall(r'name="step" value="([^"]+)"', asked.text)[0]
        wrong = sent(client, step=step, code="000000", next="/memory")
        assert wrong.status_code == 401
        assert "set-cookie" not in wrong.headers
        done = sent(client, step=step, code=recovery[0], next="/memory")
        assert (done.status_code, done.headers["location"]) == (303, "/memory")
        assert sent(client, step=step, code=recovery[1]).status_code == 401


def test_a_session_is_new_after_signing_in(team: Team) -> None:
    """A session that somebody planted in a browser would become that of whoever signs in there."""
    with team.browser() as first:
        planted = first_session(sent(first, name="uma", password=PASSWORD))
    with team.browser(Cookie=f"{COOKIE}={planted}") as client:
        own = first_session(sent(client, name="uma", password=PASSWORD))
    assert own != planted
    with team.client(Cookie=f"{COOKIE}={planted}") as client:
        assert client.get("/api/collections").status_code == 401


@pytest.mark.parametrize("origin", ELSEWHERE)
def test_forms_of_other_sites_sign_nobody_in_or_out(team: Team, origin: str) -> None:
    """Another site could sign somebody in as somebody else, or out."""
    with team.client(Origin=origin, Cookie=team["aud"].cookie) as client:
        assert sent(client, name="uma", password=PASSWORD).status_code == 403
        assert client.post("/sign-out").status_code == 403
        assert client.get("/api/collections").status_code == 200
    with team.client(Cookie=team["aud"].cookie) as client:  # neither Origin nor Sec-Fetch-Site
        assert sent(client, name="uma", password=PASSWORD).status_code == 403
        assert client.post("/api/collections", json={"name": "x"}).status_code == 403
        assert (
            client.post("/api/collections", json={"name": "x"}, headers={"Sec-Fetch-Site": "same-site"}).status_code
            == 403
        )
    with team.client(
        Cookie=team["aud"].cookie, **{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}
    ) as client:
        assert client.get("/api/collections").status_code == 403


def test_signing_out_ends_the_session(team: Team) -> None:
    """The cookie would still be good, or stay in the browser."""
    with team.browser() as client:
        token = first_session(sent(client, name="uma", password=PASSWORD))
    with team.browser(Cookie=f"{COOKIE}={token}") as client:
        assert client.get("/sign-out").status_code == 200
        assert client.get("/api/collections").status_code == 200
        out = client.post("/sign-out")
        assert (out.status_code, out.headers["location"]) == (303, "/sign-in?signed-out")
        assert f'{COOKIE}=""' in out.headers["set-cookie"] or f"{COOKIE}=;" in out.headers["set-cookie"]
        assert client.get("/api/collections").status_code == 401
    with team.browser() as client:
        assert "You have signed out." in client.get("/sign-in?signed-out").text


@pytest.mark.parametrize(
    "place",
    [
        "//evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "https://evil.example/",
        "/\t/evil.example",
        "/\n/evil.example",
        "javascript:alert(1)",
        "evil.example",
        "",
        "/sign-in",
        "/sign-out",
        "/sign-in/oidc",
        "/" + "x" * 3000,
    ],
)
def test_nobody_is_sent_to_another_host(place: str) -> None:
    """A link could lead through the sign-in page to a page that looks like the console."""
    assert local_place(place) == "/"


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("/documents?query=a%20b", "/documents?query=a%20b"),
        ("/documents?query=泵", "/documents?query=%E6%B3%B5"),
        ("/?conversation=1#end", "/?conversation=1#end"),
    ],
)
def test_a_place_within_the_console_is_kept(place: str, found: str) -> None:
    """A link to a document or a conversation would not survive signing in."""
    assert local_place(place) == found


def test_the_cookie_counts_by_the_connection(team: Team) -> None:
    """A session could be carried over plain http from elsewhere, or be taken from a name that any page can set."""
    session = team["aud"].session
    address = {"Host": f"localhost:{httpx.URL(team.server.url).port}"}
    with team.client() as client:
        for cookie, expected in ((f"__Host-millpond={session}", 401), (f"{COOKIE}={session}", 200)):
            assert client.get("/api/collections", headers={"Cookie": cookie}).status_code == expected
        two = f"{COOKIE}={session}; {COOKIE}={team['uma'].session}"
        assert client.get("/api/collections", headers={"Cookie": two}).status_code == 401
        assert client.get("/api/collections", headers={"Cookie": f"{COOKIE}={session}"} | address).status_code == 200
        forwarded = {"Cookie": f"{COOKIE}={session}", "X-Forwarded-For": "198.51.100.7"}
        assert client.get("/api/collections", headers=forwarded).status_code == 401


def test_headers_of_a_client_say_nothing_of_who_it_is(team: Team) -> None:
    """Streamlit believes these headers: a client could say whose session it has."""
    with team.client(**{"X-Millpond-Session": "s1", "X-Millpond-Person": "1"}) as client:
        assert client.get("/api/collections").status_code == 401


def test_no_payload_passes(team: Team) -> None:
    """A form, a cookie, a token, a header, a path or a message of a tool could get somebody in, or be a defect.

    A part of the payloads that `python -m tests.siege door` sends; the last test here, as failures slow down.
    """
    url = team.server.url
    chosen = [each for number, each in enumerate(payloads(url)) if number % 3 == 0 or each.what == "path"]
    chosen += [*credential_payloads(url, team["ada"]), *mcp_payloads(url, team["ada"])]
    assert len(chosen) >= 300
    found = [(each, fault(url, each, source(number))) for number, each in enumerate(chosen)]
    assert [(each, problem) for each, problem in found if problem] == []
    log = team.server.log.read_text()
    assert ('"event": "defect"' in log, "Traceback (most" in log) == (False, False)
    with team.browser() as client:
        assert sent(client, name="uma", password=PASSWORD).status_code == 303
    with team.browser("ada") as client, team.program("ada", "read") as program:
        assert {each.get("/api/collections").status_code for each in (client, program)} == {200}


def first_session(answer: httpx.Response) -> str:
    """Return the token of the session that an answer gives."""
    assert answer.status_code == 303, answer.text
    found = re.findall(rf"^{COOKIE}=([^;]+)", "\n".join(answer.headers.get_list("set-cookie")), re.MULTILINE)
    return str(found[0])
