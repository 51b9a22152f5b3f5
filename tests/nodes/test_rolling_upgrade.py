"""Two versions side by side over one PostgreSQL: an upgrade node by node, while clients work through all of them."""

from __future__ import annotations

import csv
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from services.core.schema_version import HEAD
from tests.drill.checker import faults_of
from tests.drill.clients import Clients
from tests.drill.drill import LEAST_DOCUMENTS
from tests.drill.history import now
from tests.front.faults import drained
from tests.front.fronts import Front, haproxy
from tests.front.nodes import running_nodes
from tests.postgres_server import postgres_server
from tests.servers import ROOT, Server, eventually, run
from tests.shared_pond import SharedPond, nodes_by_name, shared_pond
from tests.versions import version_after, version_before

# A machine that is busy with other tests is no fault of a node.
_PATIENT = {"timeout check 1200ms": "timeout check 30s", "timeout queue 1s": "timeout queue 30s"}
EXPANDED, CONTRACTED = "9001_expanded", "9002_contracted"
TEXT = b"The sluice gate of the mill pond is inspected every ninety days."


@pytest.fixture(scope="module")
def expanded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The next version: it adds a column to a table in use, and a table."""
    return version_after(
        tmp_path_factory.mktemp("expanded"),
        EXPANDED,
        'op.add_column("documents", sa.Column("moon", sa.String(20)))',
        'op.create_table("moons", sa.Column("name", sa.String(20), primary_key=True))',
        oldest=HEAD,
    )


@pytest.fixture(scope="module")
def contracted(tmp_path_factory: pytest.TempPathFactory, expanded: Path) -> Path:
    """The version after that: it takes away what the present one needs, and the next one does not."""
    return version_after(
        tmp_path_factory.mktemp("contracted"),
        CONTRACTED,
        'op.drop_table("moons")',
        tree=expanded,
        before=EXPANDED,
        oldest=EXPANDED,
    )


@pytest.fixture
def pond(tmp_path: Path) -> Iterator[SharedPond]:
    with shared_pond(tmp_path) as shared:
        yield shared


def revision_of(pond: SharedPond) -> str:
    engine = sa.create_engine(pond.database_url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one())


def refused_start(pond: SharedPond, name: str, tree: Path) -> str:
    """Start a node that must not start, and return what it says."""
    data = pond.folder / name
    data.mkdir(mode=0o700, exist_ok=True)
    ended = run("serve", "--port", "0", tree=tree, data_dir=data, **pond.settings(name))
    assert ended.returncode == 1, ended.stdout
    assert "Traceback" not in ended.stderr
    return ended.stderr


@contextmanager
def working(*servers: Server) -> Iterator[None]:
    """Have a client add, find and delete at each server while the block runs; fails if anything failed."""
    stop = threading.Event()
    done: dict[str, int] = {}
    failed: list[str] = []

    def work(server: Server) -> None:
        with httpx.Client(base_url=server.url, timeout=60.0, trust_env=False) as client:
            steps: list[Callable[[str], object]] = [
                lambda word: client.post("/api/documents", files={"file": (f"{word}.txt", word.encode() + TEXT)}),
                lambda word: client.post("/api/search", json={"query": f"{word} sluice", "k": 3}),
                lambda word: client.post("/api/conversations", json={"title": word}),
                lambda _word: client.get("/api/documents"),
            ]
            while not stop.is_set():
                word = f"w{threading.get_ident()}x{done.get(server.url, 0)}"
                for step in steps:
                    answer = step(word)
                    assert isinstance(answer, httpx.Response)
                    if not answer.is_success:
                        failed.append(f"{answer.request.url}: {answer.status_code} {answer.text[:300]}")
                done[server.url] = done.get(server.url, 0) + 1

    threads = [threading.Thread(target=work, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: len(done) == len(servers), what="clients at work")
        yield
        reached = dict(done)
        eventually(lambda: all(done[url] > reached[url] + 1 for url in reached), what="clients still at work")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []


@pytest.mark.timeout(1200)  # four starts of servers, one after the other
def test_the_next_version_comes_node_by_node(pond: SharedPond, expanded: Path, contracted: Path) -> None:
    """An upgrade would need all nodes to stop; or a node would work on tables that it does not know any more."""
    one = pond.node("one")
    with working(one):
        two = pond.node("two", tree=expanded)
        assert revision_of(pond) == EXPANDED
        # A node of the version before that is started anew while the upgrade is on its way.
        three = pond.node("three")
    with working(one, two, three):
        document = two.add("late.txt", b"The heron of the mill pond eats eels at the weir.")
        for node in (two, one, three):
            node.wait_finished(document)
            eventually(lambda node=node: _first(node) == "late.txt", what="the document at each node")

    # What would take something away from a node that works is refused, and nothing has changed.
    with working(one, two):
        refused = refused_start(pond, "four", contracted)
        assert "nodes of an older version, which are running, could not go on (one, three)" in refused
        assert "Stop them first" in refused
        assert revision_of(pond) == EXPANDED

    assert three.stop() == 0
    assert one.stop() == 0
    with working(two):
        four = pond.node("four", tree=contracted)
        assert revision_of(pond) == CONTRACTED
    with working(two, four):
        gone = refused_start(pond, "one", ROOT)
        assert "was written by" in gone
        assert CONTRACTED in gone
    assert {name for name, each in nodes_by_name(four).items() if each["state"] == "ready"} == {"two", "four"}
    assert two.stop() == 0
    assert four.stop() == 0
    # A command that wants the pond alone does not take what it does not know for its own.
    command = run("ask", "What does the heron eat?", data_dir=pond.folder / "one", **pond.settings("one"))
    assert command.returncode == 1
    assert "was written by" in command.stderr


def _first(server: Server) -> str:
    answer = server.client.post("/api/search", json={"query": "What does the heron eat?", "k": 1}).raise_for_status()
    return next((str(hit["document"]) for hit in answer.json()["hits"]), "")


@pytest.mark.timeout(1200)  # four starts of servers, one after the other
def test_nodes_of_the_version_before_are_replaced_behind_the_front(tmp_path: Path) -> None:
    """Clients of a front would notice an upgrade from the real version before, or lose what was acknowledged."""
    before = version_before(tmp_path)
    with postgres_server() as postgres:
        shared = {
            "database_url": postgres.url,
            "audit_key": tmp_path / "audit.key",
            "files_url": str(tmp_path / "files"),
        }
        trees = {"a": before, "b": before}
        with (
            running_nodes(tmp_path / "nodes", shared=shared, trees=trees) as nodes,
            haproxy(tmp_path / "front", nodes.addresses, _PATIENT) as front,
        ):
            with Clients(front, nodes.addresses) as clients:
                history = clients.history
                eventually(lambda: len(history.living()) >= LEAST_DOCUMENTS, what="documents")
                since = now()
                for name in ("b", "a"):
                    eventually(lambda: _serving(front) == {"a", "b"}, what="both nodes behind the front")
                    drained(nodes, name)
                    eventually(lambda name=name: not nodes.running(name), what="the end of the old node")
                    del nodes.trees[name]
                    nodes.up()
                    reached = len(history.attempts)
                    eventually(lambda reached=reached: len(history.attempts) > reached + 50, what="more requests")
                outcome = history.outcome(since, now())
            assert outcome.asked > 100
            assert (outcome.in_flight, outcome.soon, outcome.later, outcome.excused) == (0, 0, 0, 0), outcome.errors
            assert faults_of(history, nodes.addresses) == []
            rows = nodes_by_name(nodes["a"])
            assert {each["state"] for each in rows.values()} == {"ready"}
            engine = sa.create_engine(postgres.url, poolclass=sa.NullPool)
            with engine.connect() as connection:
                known = connection.exec_driver_sql("SELECT name, schema_revision FROM nodes").all()
            assert {tuple(row) for row in known} == {("a", HEAD), ("b", HEAD)}


def _serving(front: Front) -> set[str]:
    """Return the nodes that the front gives requests to."""
    rows = csv.DictReader(front.command("show stat").lstrip("# ").splitlines())
    return {row["svname"] for row in rows if row["pxname"] == "millpond" and row["status"] == "UP"} - {"BACKEND"}
