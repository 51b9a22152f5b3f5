"""Two real servers whose vectors PostgreSQL searches: what one does is true at the other; neither holds vectors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Server, eventually, run
from tests.shared_pond import SharedPond, shared_pond

HERON = b"The heron of the mill pond eats eels at the weir in the night."
# The words of the text are none of the question's: the vectors alone find it.
QUESTION = "Which fish do birds like?"
SEARCHED = {"vector_search": "database"}


@pytest.fixture(scope="module")
def pond(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedPond]:
    with shared_pond(tmp_path_factory.mktemp("pond")) as pond:
        yield pond


@pytest.fixture(scope="module")
def one(pond: SharedPond) -> Server:
    """A node that has left an index of vectors in its folder when it searched by itself."""
    left = pond.folder / "one" / "index" / "0000000001"
    left.mkdir(parents=True)
    (left / "codes.npy").write_bytes(b"vectors of what may have been deleted")
    (pond.folder / "one").chmod(0o700)
    return pond.node("one", **SEARCHED)


@pytest.fixture(scope="module")
def two(pond: SharedPond, one: Server) -> Server:
    return pond.node("two", **SEARCHED)


def found(server: Server, **chosen: object) -> list[tuple[str, bool]]:
    """Return the names of what is found, and whether by its vector."""
    body = {"query": QUESTION, "threshold": 0.0, **chosen}
    hits = server.client.post("/api/search", json=body).raise_for_status().json()["hits"]
    return [(each["document"], each["dense_score"] is not None) for each in hits]


def test_what_one_does_is_true_at_the_other_with_its_answer(one: Server, two: Server) -> None:
    """No node follows a change before it is found, or not found any more, by vectors: the database has it."""
    document = one.add("heron.txt", HERON)
    one.wait_finished(document)
    assert found(two) == [("heron.txt", True)]
    two.client.post(f"/api/documents/{document}/disable").raise_for_status()
    assert found(one) == []
    two.client.post(f"/api/documents/{document}/enable").raise_for_status()
    assert found(one) == [("heron.txt", True)]
    two.client.delete(f"/api/documents/{document}").raise_for_status()
    assert found(one) == found(two) == []


def test_no_node_holds_vectors(one: Server, two: Server) -> None:
    """Each says how many there are, and has neither the library, nor a file of them, nor bytes in its ledger."""
    document = two.add("weir.txt", HERON * 3)
    two.wait_finished(document)
    for server in (one, two):
        eventually(lambda server=server: vectors(server) == 1, what="the count of vectors")
        assert "faiss" not in Path(f"/proc/{server.process.pid}/maps").read_text()
        assert not (server.data_dir / "index").exists()
        check = server.client.get("/readyz").json()["checks"]["index"]
        assert check["ok"]
        assert check["detail"] == "1 vector"
    two.client.delete(f"/api/documents/{document}").raise_for_status()


def vectors(server: Server) -> int:
    lines = server.client.get("/metrics").raise_for_status().text.splitlines()
    return int(float(next(line for line in lines if line.startswith("millpond_index_vectors ")).split()[1]))


@pytest.mark.usefixtures("one")
def test_nodes_search_at_the_same_place(pond: SharedPond, tmp_path: Path) -> None:
    """One with an index of its own would add nothing to the table that the others search."""
    other = run("serve", "--port", "0", data_dir=tmp_path / "three", **pond.settings("three"))
    assert other.returncode == 1, other.stdout
    assert "another place of the vector search than" in other.stderr
