"""Two real servers over one PostgreSQL: who is let in, and out, at the one that did not make the change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from tests.postgres_server import postgres_server
from tests.servers import eventually, serving
from tests.team import PASSWORD, Team, join_people
from tests.visitors import visiting

SIGNED_OUT = 4401
# A second, and the other on a busy machine.
WITHIN_SECONDS = 2.0


@pytest.fixture(scope="module")
def teams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Team, Team]]:
    """The same team at two nodes; the door of the second was open before the first made an account."""
    folder = tmp_path_factory.mktemp("nodes")
    with postgres_server() as postgres:
        shared = {
            "database_url": postgres.url,
            "files_url": str(folder / "files"),
            "audit_key": str(folder / "audit.key"),
        }
        with (
            serving(folder / "one", node_name="one", **shared) as one,
            serving(folder / "two", node_name="two", **shared) as two,
        ):
            with visiting(two.url) as tab:
                tab.open()
                made = one.client.post("/api/people", json={"name": "ada", "password": PASSWORD, "role": "admin"})
                assert made.status_code == 201, made.text
                assert tab.closed(WITHIN_SECONDS) == SIGNED_OUT
            assert two.client.get("/api/collections").status_code == 401
            team = join_people(one, made.json()["id"])
            yield team, replace(team, server=two)


def answers(client: httpx.Client, status: int) -> bool:
    return client.get("/api/collections").status_code == status


def test_a_disabled_person_is_out_at_both_nodes(teams: tuple[Team, Team]) -> None:
    """Open page, session and token are at the node that was not asked."""
    one, two = teams
    with (
        visiting(two.server.url, two["uma"].cookie) as tab,
        two.browser("uma") as browser,
        two.program("uma", "read") as program,
    ):
        tab.open()
        assert answers(browser, 200)
        assert answers(program, 200)
        with one.browser("ada") as admin:
            changed = admin.patch(f"/api/people/{one['uma'].id}", json={"disabled": True})
            assert changed.status_code == 200, changed.text
        assert tab.closed(WITHIN_SECONDS) == SIGNED_OUT
        eventually(lambda: answers(browser, 401), seconds=WITHIN_SECONDS, what="the end of the session")
        assert answers(program, 401)


def test_who_was_demoted_manages_nobody_at_the_other_node(teams: tuple[Team, Team]) -> None:
    """A role that the node has in memory would count there until its next start."""
    one, two = teams
    with one.browser("ada") as admin, two.browser("ole") as browser:
        assert admin.patch(f"/api/people/{one['ole'].id}", json={"role": "admin"}).status_code == 200
        eventually(lambda: browser.get("/api/people").status_code == 200, seconds=WITHIN_SECONDS, what="the new role")
        assert browser.patch(f"/api/people/{one['aud'].id}", json={"display_name": "Audrey"}).status_code == 200
        assert admin.patch(f"/api/people/{one['ole'].id}", json={"role": "user"}).status_code == 200
        eventually(
            lambda: browser.get("/api/people").status_code == 403, seconds=WITHIN_SECONDS, what="the end of the role"
        )
