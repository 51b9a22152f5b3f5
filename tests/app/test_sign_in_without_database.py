"""A real server whose PostgreSQL crashes: who signs in or out meanwhile is told to come again."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.postgres_server import postgres_server
from tests.servers import eventually, serving
from tests.team import PASSWORD


def test_signing_in_and_out_is_told_to_wait_for_the_database(tmp_path: Path) -> None:
    """A defect would be reported, or a browser told that it has signed out with a session that still counts."""
    with postgres_server() as postgres, serving(tmp_path / "data", database_url=postgres.url) as console:
        account = {"name": "ada", "password": PASSWORD, "role": "admin"}
        console.client.post("/api/people", json=account).raise_for_status()
        same_site = {"Origin": console.url, "Sec-Fetch-Site": "same-origin"}
        form = {"name": "ada", "password": PASSWORD}
        with httpx.Client(base_url=console.url, headers=same_site, timeout=60.0, trust_env=False) as browser:
            assert browser.post("/sign-in", data=form).status_code == 303
            postgres.stop("immediate")
            for answer in (browser.post("/sign-out"), browser.post("/sign-in", data=form)):
                assert answer.status_code == 503, answer.text
                assert answer.headers.get("Retry-After")
                assert "set-cookie" not in answer.headers
            postgres.start()
            eventually(lambda: browser.post("/sign-out").status_code == 303, what="the end of the session")
        assert '"event": "defect"' not in console.log.read_text()
