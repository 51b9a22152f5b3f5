"""The table of who may do what, asked of a running server: every route, path, page and message, as each role."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

import httpx
import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from console.api.access_table import route_rules
from console.api.application import create_api
from console.api.middleware.paths import PATHS, rule_for
from console.navigation import RULES, PageName
from console.ui.streamlit.tab_socket import MESSAGES
from services.core.actor import SCOPES, Role
from tests.team import PEOPLE, Team, serving_team
from tests.visitors import visiting

ROUTES = list(route_rules(create_api()))
# What a route that may be called answers to a body that it cannot use, or about what does not exist.
UNUSABLE = 12345
CLOSED_PAGE = "Your role may not see this page."
SEEN = {401, 403}
# So that those who may do not wait for work that takes seconds.
QUERIES = {
    "/api/objects/summary": {"format": "none"},
    "/api/tracing/cost": {"frames": "none"},
    "/api/memory/history": {"range": "none"},
}


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """A server with one account of each role."""
    with serving_team(tmp_path_factory.mktemp("access") / "data") as team:
        yield team


def asked(client: httpx.Client, method: str, template: str) -> httpx.Response:
    """Call a route with names that do not exist and a body that it cannot use."""
    path = re.sub(r"\{[^}]*\}", "999999", template)
    body = {} if method in {"GET", "HEAD", "DELETE"} else {"json": UNUSABLE}
    return client.request(method, path, params=QUERIES.get(template), **cast("Any", body))


def test_every_route_has_a_rule_and_is_in_the_walk() -> None:
    """A route without a rule would be open to everybody who has signed in."""
    described = {
        (method.upper(), path) for path, methods in create_api().openapi()["paths"].items() for method in methods
    }
    assert {(each.method, each.path) for each in ROUTES} == described
    assert len(ROUTES) > 80


def test_nobody_reaches_no_route(team: Team) -> None:
    """Whoever has not signed in could read or change something."""
    with team.browser() as nobody:
        found = {
            f"{each.method} {each.path}" for each in ROUTES if asked(nobody, each.method, each.path).status_code != 401
        }
    assert found == {f"{each.method} {each.path}" for each in ROUTES if each.rule.everybody}
    assert found == {"GET /healthz", "GET /readyz"}


@pytest.mark.parametrize("name", PEOPLE)
def test_a_role_reaches_what_the_table_says(team: Team, name: str) -> None:
    """Somebody could call what their role may not, or would be refused what it may."""
    with team.browser(name) as client:
        statuses = {f"{each.method} {each.path}": asked(client, each.method, each.path).status_code for each in ROUTES}
    allowed = {what for what, status in statuses.items() if status not in SEEN}
    assert allowed == {f"{each.method} {each.path}" for each in ROUTES if each.rule.allows(PEOPLE[name])}
    assert not {what: status for what, status in statuses.items() if status >= 500}


@pytest.mark.parametrize("scope", SCOPES)
def test_a_token_reaches_what_its_scope_says(team: Team, scope: str) -> None:
    """A token with few scopes, of somebody who may do everything, could do more than it was made for."""
    limited = [each for each in ROUTES if each.rule.permission is not None]  # one's own account has rules of its own
    with team.program("ada", scope) as client:
        allowed = {
            f"{each.method} {each.path}"
            for each in limited
            if asked(client, each.method, each.path).status_code not in SEEN
        }
    assert allowed == {f"{each.method} {each.path}" for each in limited if each.rule.permission in SCOPES[scope]}


def samples() -> list[tuple[str, str]]:
    """Return (method, path) for each rule of a path: one that lies below it where it is a folder."""
    found = []
    for rule in PATHS:
        path = f"{rule.path}none" if rule.path.endswith("/") else rule.path
        found += [(method, path) for method in (sorted(rule.methods) or ["GET"])]
    return found


@pytest.mark.parametrize("name", ["", *PEOPLE])
def test_a_path_is_open_to_whom_the_table_says(team: Team, name: str) -> None:
    """Something beside the API could be had without signing in: pictures, uploads, scripts, Streamlit's own doors."""
    with team.browser(name) as client:
        for method, path in samples():
            rule = rule_for(path, method)
            assert rule is not None, path
            if path == "/_stcore/stream" or (name and (method, path) == ("POST", "/sign-out")):
                continue  # below, as a WebSocket; and others need the session
            status = client.request(method, path).status_code
            told = (method, path, status)
            if name == "":
                assert (status == 401) == (not rule.rule.everybody), told
            elif rule.rule.nobody:
                assert status == 404, told
            else:
                assert (status == 403) == (not rule.rule.allows(PEOPLE[name])), told


def test_every_route_of_streamlit_has_a_rule() -> None:
    """A new version of Streamlit could bring a door of its own that nobody has thought of."""
    from unittest.mock import MagicMock

    from streamlit.web.server.starlette.starlette_app import create_streamlit_routes

    runtime = MagicMock()  # the routes are only listed
    for route in create_streamlit_routes(runtime):
        path = re.sub(r"\{[^}]*\}", "x", str(getattr(route, "path", "")))
        if path in {"", "/"}:
            continue  # the frame of the pages
        assert any(rule.fits(path, "GET") or rule.fits(f"{path}/x", "GET") for rule in PATHS), path


def test_nobody_gets_a_page(team: Team) -> None:
    """The frame, a page by its name, or the WebSocket would be there before signing in."""
    with team.client() as client:
        for page in ("", *PageName):
            shown = client.get(f"/{page}", headers={"Accept": "text/html", "Sec-Fetch-Mode": "navigate"})
            assert shown.status_code == 303, page
            assert shown.headers["location"] == ("/sign-in" if not page else f"/sign-in?next=%2F{page}")
            assert client.get(f"/{page}").status_code == 401
    with pytest.raises(InvalidStatus), visiting(team.server.url):
        pass
    with pytest.raises(InvalidStatus), visiting(team.server.url, "millpond-session=" + "x" * 43):
        pass


@pytest.mark.parametrize("name", PEOPLE)
def test_a_page_opens_for_whom_the_table_says(team: Team, name: str) -> None:
    """A page that shows memory, or values of others, would open when its address is typed, or stand in the menu."""
    may = {page for page, rule in RULES.items() if rule.allows(PEOPLE[name])}
    with team.browser("ada") as client:
        alone = not client.get("/api/nodes").raise_for_status().json()["shared"]
    shown = may - {PageName.NODES} if alone else may
    with visiting(team.server.url, team[name].cookie) as tab:
        opened = set()
        for page in PageName:
            tab.open("" if page is PageName.CHAT else page)
            if not any(CLOSED_PAGE in text for text in tab.texts):
                opened.add(page)
            assert {path or "chat" for path in tab.menu} == {str(page) for page in shown}
    assert opened == may


@pytest.mark.parametrize("name", PEOPLE)
def test_a_message_is_taken_from_whom_the_table_says(team: Team, name: str) -> None:
    """A tab could empty everybody's caches, or use what Streamlit has for its developers."""
    for kind, rule in MESSAGES.items():
        message = BackMsg()
        field = message.DESCRIPTOR.fields_by_name[kind]
        if field.message_type is None:
            setattr(message, kind, True)
        else:
            getattr(message, kind).SetInParent()
        assert _is_taken(team, team[name].cookie, message) == rule.allows(PEOPLE[name]), kind
    assert {field.name for field in BackMsg.DESCRIPTOR.oneofs_by_name["type"].fields} == set(MESSAGES)


def _is_taken(team: Team, cookie: str, message: BackMsg) -> bool:
    """Return whether a page may send this; the connection is closed with code 1008 if not."""
    first = BackMsg()
    first.rerun_script.page_name = PageName.DOCUMENTS
    url = team.server.url
    with connect(
        url.replace("http://", "ws://") + "/_stcore/stream",
        subprotocols=[Subprotocol("streamlit")],
        origin=Origin(url),
        max_size=None,
        additional_headers={"Cookie": cookie},
    ) as connection:
        connection.send(first.SerializeToString())
        connection.send(message.SerializeToString())
        connection.send(b"\xff\xff\xff")  # ends the connection with another code, if it is still there
        with suppress(ConnectionClosed):
            while connection.recv(timeout=30):
                pass
        return connection.close_code not in {None, 1008}


def test_roles_differ() -> None:
    """The walk would prove nothing if every role were allowed the same."""
    sizes = {role: sum(each.rule.allows(role) for each in ROUTES) for role in Role}
    assert sizes[Role.USER] < sizes[Role.OPERATOR] < sizes[Role.ADMIN]
