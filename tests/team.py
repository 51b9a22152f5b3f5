"""A team for tests: one account of each role in a data folder, each with a session and an API token of each scope."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from services.app.build_identity import offline_identity
from services.core.actor import SCOPES, Role
from services.core.settings import Settings
from services.identity.types import SignInWay
from tests.servers import Server, serving

PASSWORD = "violet tractor under seven moons"
COOKIE = "millpond-session"
PEOPLE: Mapping[str, Role] = {"ada": Role.ADMIN, "ole": Role.OPERATOR, "aud": Role.AUDITOR, "uma": Role.USER}


@dataclass
class Member:
    """Somebody with an account: a session's cookie, and tokens by scope."""

    id: int
    name: str
    role: Role
    session: str
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def cookie(self) -> str:
        """The header by which a browser shows the session."""
        return f"{COOKIE}={self.session}"


@dataclass
class Team:
    """A running server with accounts."""

    server: Server
    members: dict[str, Member]

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def browser(self, name: str = "", **headers: str) -> httpx.Client:
        """A client that sends what a browser sends with somebody's cookie; "": nobody's."""
        cookie = {"Cookie": self.members[name].cookie} if name else {}
        return self.client(Origin=self.server.url, **{"Sec-Fetch-Site": "same-origin"}, **cookie, **headers)

    def program(self, name: str, scope: str) -> httpx.Client:
        """A client that sends somebody's API token."""
        return self.client(Authorization=f"Bearer {self.members[name].tokens[scope]}")

    def client(self, **headers: str) -> httpx.Client:
        """A client with these headers and no cookies of its own."""
        return httpx.Client(base_url=self.server.url, headers=headers, timeout=60.0, trust_env=False)


def make_people(data_dir: Path) -> dict[str, Member]:
    """Put the team's accounts into a data folder that no server uses."""
    members = {}
    with offline_identity(Settings(data_dir=data_dir)) as identity:
        local = identity.local_actor()
        for name, role in PEOPLE.items():
            person = identity.accounts.add(local, name, role, password=PASSWORD)
            signed_in = identity.open_session(person.id, way=SignInWay.PASSWORD, address="127.0.0.1", device="")
            members[name] = Member(person.id, name, role, signed_in.token)
            for scope in SCOPES:
                made = identity.tokens.create(signed_in.actor, person.id, scope, [scope])
                members[name].tokens[scope] = made.token
    return members


def join_people(server: Server, first: int) -> Team:
    """Make the team's accounts on a running server; the first one, ada's, with the id `first`, is there already."""
    team = Team(server, {})
    for name, role in PEOPLE.items():
        number = first
        if team.members:
            with team.browser("ada") as admin:
                made = admin.post("/api/people", json={"name": name, "password": PASSWORD, "role": role.value})
                number = made.raise_for_status().json()["id"]
        with team.browser() as client:
            answer = client.post("/sign-in", data={"name": name, "password": PASSWORD})
            member = team.members[name] = Member(number, name, role, answer.cookies[COOKIE])
        with team.browser(name) as client:
            for scope in SCOPES:
                token = client.post("/api/account/tokens", json={"name": scope, "scopes": [scope]})
                member.tokens[scope] = token.raise_for_status().json()["token"]
    return team


@contextmanager
def serving_team(data_dir: Path, **settings: object) -> Iterator[Team]:
    """Start a server over a data folder with the team's accounts."""
    members = make_people(data_dir)
    with serving(data_dir, **settings) as server:
        yield Team(server, members)
