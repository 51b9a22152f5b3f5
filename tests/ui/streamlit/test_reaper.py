"""Tabs come and go on a real server: nothing of them stays."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest

from tests.servers import Server, eventually, serving
from tests.visitors import visit, visiting


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that gives closed tabs a second to come back."""
    with serving(tmp_path_factory.mktemp("hasty") / "data", module="tests.consoles.hasty") as server:
        yield server


def rss(server: Server) -> int:
    return int(psutil.Process(server.process.pid).memory_info().rss)


def offered(server: Server) -> dict[str, int | None]:
    offers = server.client.get("/api/reclaim").raise_for_status().json()["offers"]
    return {offer["name"]: offer["bytes"] for offer in offers}


def reaped(server: Server) -> bool:
    found = offered(server)
    return "sessions" in found and not any(found[name] for name in ("uploads", "sessions", "media"))


def test_twenty_tabs_leave_nothing(hasty: Server) -> None:
    """Streamlit keeps expired sessions with their uploads until another tab closes: 50 MB would stay here."""
    for number in range(10):  # caches of what is compiled and parsed fill with the first ones
        visit(hasty.url, number)
    eventually(lambda: reaped(hasty), seconds=30, what="the end of the first tabs")
    before = rss(hasty)
    for number in range(10, 30):
        visit(hasty.url, number)
    eventually(lambda: reaped(hasty), seconds=30, what="the end of the tabs")
    eventually(lambda: rss(hasty) <= 1.05 * before, seconds=30, what=f"{before} bytes of RSS")


def test_an_open_tab_keeps_its_uploads(hasty: Server) -> None:
    """A reaper that is too eager would take files that are on their way into the library."""
    with visiting(hasty.url) as visitor:
        visitor.upload(("kept.txt", b"This is kept. " * 1000), store=False)
        hasty.client.post("/api/reclaim/uploads").raise_for_status()
        hasty.client.post("/api/reclaim/sessions").raise_for_status()
        visitor.store()
    names = [each["name"] for each in hasty.client.get("/api/documents").json()["documents"]]
    assert "kept.txt" in names
