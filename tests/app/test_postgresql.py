"""A real server over a real PostgreSQL: what is refused while that does not answer, and that it goes on by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.core.database import Database
from services.core.errors import ConflictError, UnavailableError
from tests.postgres_server import PostgresServer, postgres_server
from tests.servers import Server, eventually, run, serving

TEXT = b"The heron stands in the shallow water of the mill pond and waits for trout. " * 20


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="module")
def console(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("console") / "data", database_url=postgres.url) as server:
        yield server


def add(console: Server, name: str) -> int:
    answer = console.client.post("/api/documents", files=[("file", (name, TEXT + name.encode()))])
    return int(answer.status_code)


def find(console: Server) -> tuple[int, set[str]]:
    answer = console.client.post("/api/search", json={"query": "Where does the heron stand?"})
    return answer.status_code, {hit["document"] for hit in answer.json().get("hits", ())}


def idle(console: Server) -> bool:
    return not unfinished(console)


def test_a_second_console_that_shares_no_key_is_refused(
    console: Server, postgres: PostgresServer, tmp_path: Path
) -> None:
    """Two with keys and folders of their own would sign what the other cannot verify, and lack its original files."""
    second = run("serve", "--port", "0", data_dir=tmp_path / "other", database_url=postgres.url)
    assert second.returncode == 1
    assert "another audit key" in second.stderr
    assert "docs/nodes.md" in second.stderr


def test_it_goes_on_once_the_database_answers_again(console: Server, postgres: PostgresServer) -> None:
    """A crash of the database costs what was not acknowledged: no start anew, no defect, nothing lost."""
    assert add(console, "before.txt") == 202
    eventually(lambda: idle(console), what="ingestion")
    assert find(console) == (200, {"before.txt"})
    postgres.stop("immediate")
    try:
        answer = console.client.post("/api/search", json={"query": "Where does the heron stand?"})
        assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "2")
        assert "database does not answer" in answer.json()["detail"]
        assert add(console, "meanwhile.txt") == 503
        assert console.client.get("/readyz").status_code == 503
        assert console.client.get("/healthz").status_code == 200
    finally:
        postgres.start()
    eventually(lambda: console.client.get("/readyz").status_code == 200, what="readiness")
    assert add(console, "after.txt") == 202
    eventually(lambda: idle(console), what="ingestion")
    assert find(console) == (200, {"before.txt", "after.txt"})
    assert '"event": "defect"' not in console.log.read_text()


def test_ingestion_waits_for_the_database_and_goes_on(console: Server, postgres: PostgresServer) -> None:
    """Crashes in the middle of the work, one of them longer than the pipeline's longest pause: each stage asks in vain.

    A file would fail for it, a thread end and the queue stand still, or the index lack what was committed.
    """
    client = console.client
    for number, seconds in enumerate((0.5, 0.5, 7.0)):
        large = "\n\n".join(f"# Part {number}.{part}\n\nEels pass weir {part} at night." for part in range(700))
        small = [("file", (f"many-{number}-{each}.txt", f"{number} {each} {TEXT.decode()}" * 2)) for each in range(14)]
        files = [("file", (f"large-{number}.md", large.encode())), *small]
        answer = client.post("/api/documents", files=files, timeout=60)
        assert answer.status_code == 202
        left = unfinished(console)
        eventually(lambda left=left: unfinished(console) < left, what="progress")
        assert not idle(console)
        postgres.stop("immediate")
        time.sleep(seconds)  # an outage has a length
        postgres.start()
        eventually(lambda: answers(console), what="readiness")
    eventually(lambda: idle(console), what="the end of the work", seconds=180)
    status = client.get("/api/documents", params={"limit": 1, "status": "failed"}).json()
    assert status["total"] == 0
    counts = client.get("/api/status").raise_for_status().json()["counts"]
    assert counts["documents"] == counts["searchable"]
    eventually(lambda: vectors(console) == counts["chunks"], what="an index as the database says")
    assert '"event": "defect"' not in console.log.read_text()
    assert '"event": "ingestion defect"' not in console.log.read_text()


def answers(console: Server) -> bool:
    return console.client.get("/readyz").status_code == 200


def vectors(console: Server) -> int:
    metrics = console.client.get("/metrics").raise_for_status().text
    return int(float(metrics.split("\nmillpond_index_vectors ")[1].split()[0]))


def unfinished(console: Server) -> int:
    return int(console.client.get("/api/status").raise_for_status().json()["counts"]["jobs_unfinished"])


def end_sessions(postgres: PostgresServer) -> None:
    """End every session, as a switch-over to another server does."""
    engine = sa.create_engine(postgres.url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename <> ''"
            )
        )


def test_who_lost_the_database_to_another_does_not_write() -> None:
    """After a switch-over the lock is taken again; if somebody else was quicker, two would write without knowing."""
    with postgres_server() as server:
        first, second = Database(server.url), Database(server.url)
        first.hold(alone=True)
        end_sessions(server)
        first.check_some(1)
        with pytest.raises(ConflictError):
            second.hold(alone=True)
        end_sessions(server)
        second.hold(alone=True)
        first.check_some(1)
        with pytest.raises(UnavailableError, match="taken the database over"):
            first.ask()
        with pytest.raises(UnavailableError, match="taken the database over"), first.write():
            pytest.fail("it could write")
        first.close()
        with second.write():
            pass
        second.close()
