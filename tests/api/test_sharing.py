"""Short forms of `tests/siege/siege_hostile_files.py` and `siege_clients.py`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tests.knowledge.parsing import samples
from tests.knowledge.parsing.hostile import busy_pdf
from tests.servers import Server, serving
from tests.siege.neighbours import at_work, page_of_text
from tests.siege.siege_clients import Person
from tests.siege.siege_hostile_files import ATTACKERS, GOOD, NEIGHBOUR, storm

SECONDS = 4.0
READY_SECONDS = 5.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("sharing") / "data") as server:
        server.wait_finished(server.add("first.txt", page_of_text("first")))
        yield server


def hostile(number: int) -> dict[str, bytes]:
    mark = b"%d " % number
    return {
        **{f"busy {each}.pdf": busy_pdf(10 * number + each) for each in range(3)},
        "laughs.docx": samples.docx(samples.paragraph(f"{number} &lol9;"), prolog=samples.LAUGHS),
        "deep.json": b"[" * 500_000 + mark + b"]" * 500_000,
        "deep.html": mark + b"<div>" * 100_000,
    }


def test_good_files_get_ready_during_a_storm_of_hostile_ones(server: Server) -> None:
    """Parsers that hang would keep other people's pages waiting, and searches fail."""
    files = [hostile(number) for number in range(len(ATTACKERS))]
    with (
        storm(server, files) as handed_in,
        at_work(server, GOOD, file_every=0.5) as good,
        at_work(server, NEIGHBOUR, search_every=0.2) as neighbour,
    ):
        threading.Event().wait(SECONDS)
    assert len(handed_in) > len(ATTACKERS)
    assert (good.faults, neighbour.faults) == ([], [])
    assert good.ready
    assert max(good.ready) < READY_SECONDS, good.ready
    assert len(neighbour.searches) > SECONDS
    for job in server.client.get("/api/jobs", params={"unfinished": True, "limit": 1000}).json()["jobs"]:
        server.client.post(f"/api/jobs/{job['id']}/cancel")


def test_many_people_search_and_ask_without_an_error(server: Server) -> None:
    """Somebody would be refused, or wait for ever, although everybody reads between two questions."""
    people = [Person(server, number, time.monotonic() + SECONDS) for number in range(30)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert [error for person in people for error in person.errors] == []
    assert sum(len(person.searches) for person in people) >= len(people)
