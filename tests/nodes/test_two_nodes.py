"""Two real servers over one PostgreSQL: what one does is true at the other, and what a lost one did is taken over."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from tests.servers import Server, eventually, spawn
from tests.shared_pond import SharedPond, nodes_by_name, shared_pond

HERON = b"The heron of the mill pond eats eels at the weir in the night."
QUESTION = "What does the heron eat?"
# What is acknowledged at one node is found at the other: a second, and what a busy machine adds.
SOON = 5.0
# A silent node is taken over after 3.5 s; the lock of writers that it holds is released after 5.
TAKEN_SECONDS = 12.0


@pytest.fixture(scope="module")
def pond(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedPond]:
    with shared_pond(tmp_path_factory.mktemp("pond")) as pond:
        yield pond


@pytest.fixture(scope="module")
def one(pond: SharedPond) -> Server:
    return pond.node("one")


@pytest.fixture(scope="module")
def two(pond: SharedPond, one: Server) -> Server:
    return pond.node("two")


def test_what_one_does_is_true_at_the_other(one: Server, two: Server) -> None:
    document = one.add("heron.txt", HERON)
    one.wait_finished(document)
    eventually(lambda: found(two, QUESTION) == ["heron.txt"], seconds=SOON, what="the document at the other node")
    two.client.post(f"/api/documents/{document}/disable").raise_for_status()
    eventually(lambda: found(one, QUESTION) == [], seconds=SOON, what="the document disabled at the other node")
    two.client.post(f"/api/documents/{document}/enable").raise_for_status()
    eventually(lambda: found(one, QUESTION) == ["heron.txt"], seconds=SOON, what="the document enabled again")
    two.client.delete(f"/api/documents/{document}").raise_for_status()
    assert found(two, QUESTION) == []
    eventually(lambda: found(one, QUESTION) == [], seconds=SOON, what="the document gone from the other node")


def test_a_name_is_one_nodes(pond: SharedPond, one: Server) -> None:
    settings = pond.settings("one")
    with pytest.raises(AssertionError, match="one is running already"):
        spawn(pond.folder / "other", **settings).wait_ready()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_nodes_work_is_taken_over(pond: SharedPond, one: Server, how: signal.Signals) -> None:
    """In the middle of the queue: each file gets ready, once; who wakes up finds itself taken over and joins again."""
    name = f"lost{how.value}"
    lost = pond.node(name)
    large = "\n\n".join(f"# Part {part}\n\nEels of {name} pass weir {part}." for part in range(1200))
    small = [(f"{name}-{number}.txt", b"%d %s %s " % (number, name.encode(), HERON) * 30) for number in range(40)]
    files = [("file", each) for each in (*small, (f"{name}-large.md", large.encode()))]
    lost.client.post("/api/documents", files=files).raise_for_status()
    eventually(lambda: 0 < unfinished(one) < len(files), what="progress")
    lost.process.send_signal(how)
    silent = time.monotonic()
    eventually(lambda: nodes_by_name(one)[name]["state"] == "taken over", seconds=TAKEN_SECONDS, what="the take-over")
    print("taken over after", round(time.monotonic() - silent, 1), "s")
    eventually(lambda: not unfinished(one), what="the end of the work")
    if how is signal.SIGSTOP:
        lost.process.send_signal(signal.SIGCONT)
        eventually(lambda: nodes_by_name(one)[name]["state"] == "ready", seconds=TAKEN_SECONDS, what="its return")
        eventually(lambda: vectors(lost) == vectors(one), seconds=SOON, what="the same index")
        assert '"event": "defect"' not in lost.log.read_text()
    documents = one.client.get("/api/documents", params={"limit": 200}).raise_for_status().json()
    names = [each["name"] for each in documents["documents"] if each["name"].startswith(f"{name}-")]
    assert sorted(names) == sorted(file for _field, (file, _content) in files)
    assert {each["status"] for each in documents["documents"]} == {"ready"}
    counts = one.client.get("/api/status").raise_for_status().json()["counts"]
    assert vectors(one) == counts["chunks"]


def found(server: Server, question: str) -> list[str]:
    answer = server.client.post("/api/search", json={"query": question}).raise_for_status()
    return [hit["document"] for hit in answer.json()["hits"]]


def unfinished(server: Server) -> int:
    return int(server.client.get("/api/status").raise_for_status().json()["counts"]["jobs_unfinished"])


def vectors(server: Server) -> int:
    metrics = server.client.get("/metrics").raise_for_status().text
    return int(float(metrics.split("\nmillpond_index_vectors ")[1].split()[0]))


def test_another_key_is_refused(pond: SharedPond, one: Server) -> None:
    settings = {**pond.settings("three"), "audit_key": pond.folder / "other.key"}
    with pytest.raises(AssertionError, match=r"another audit key than \w+, which is running"):
        spawn(pond.folder / "three", **settings).wait_ready()
