"""A part of the payloads of `make siege` against the door; all of them are sent by `python -m tests.siege door`."""

from __future__ import annotations

from pathlib import Path

from tests.siege.door_payloads import fault, payloads
from tests.team import PASSWORD, serving_team


def test_no_payload_passes(tmp_path: Path) -> None:
    """A form, a cookie, a token, a header or a path could get somebody in, or bring the service to a defect."""
    with serving_team(tmp_path / "data") as team:
        url = team.server.url
        # One of each kind is taken by its place among them; wrong passwords take long on purpose.
        chosen = [each for number, each in enumerate(payloads(url)) if number % 3 == 0 or each.what == "path"]
        found = {
            f"{each.method} {each.path[:80]} {each.headers} {each.body[:80]!r}": fault(url, each) for each in chosen
        }
        assert len(chosen) >= 200
        assert not {what: problem for what, problem in found.items() if problem}
        assert '"event": "defect"' not in team.server.log.read_text()
        with team.browser() as client:
            assert client.post("/sign-in", data={"name": "uma", "password": PASSWORD}).status_code == 303


def test_there_are_enough_payloads() -> None:
    """The attack would be smaller than what was promised."""
    assert len(list(payloads("http://127.0.0.1:1"))) >= 300
