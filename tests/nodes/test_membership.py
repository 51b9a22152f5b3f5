"""Joining, falling silent, being taken over, waking up: with the database's own clock and locks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import sqlalchemy as sa

from services.app.tables import import_tables
from services.core.database import Database
from services.core.database.change_log import Change, Topic, changes, read_after, record
from services.core.errors import ConflictError, DatabaseAwayError, TakenOverError
from services.nodes.follower import Follower
from services.nodes.store.lease_store import LeaseStore
from services.nodes.store.node_store import NodeStore
from services.nodes.store.node_tables import nodes
from services.nodes.types import SILENT_SECONDS, NodeState
from tests.postgres_server import PostgresServer, postgres_server
from tests.servers import eventually

AGREED = {"audit key": "a", "place of the original files": "b"}


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        import_tables()
        database = Database(server.url)
        database.create_tables()
        database.close()
        yield server


@pytest.fixture
def first(postgres: PostgresServer) -> Iterator[Database]:
    database = Database(postgres.url)
    with database.write() as connection:
        for table in ("leases", "nodes", "changes"):
            connection.execute(sa.text(f"DELETE FROM {table}"))
    yield database
    database.close()


@pytest.fixture
def second(postgres: PostgresServer) -> Iterator[Database]:
    database = Database(postgres.url)
    yield database
    database.close()


def join(database: Database, name: str, **agreed: str) -> int:
    joined = NodeStore(database).join(name, url="http://node", version="1", agreed=AGREED | agreed)
    database.join(joined.number, joined.epoch)
    return joined.number


def fall_silent(database: Database, number: int) -> None:
    with database.aside() as connection:
        past = nodes.c.seen_at - SILENT_SECONDS - 1
        connection.execute(nodes.update().where(nodes.c.id == number).values(seen_at=past))


def write(database: Database) -> None:
    with database.write() as connection:
        record(database, connection, Topic.QUEUE, "something")


def test_who_was_taken_over_writes_nothing(first: Database, second: Database) -> None:
    """Stopped for too long, a process would go on in the middle of what another one does by now."""
    old = join(first, "first")
    join(second, "second")
    write(first)
    ended: list[int] = []
    store = NodeStore(second, lambda _connection, number, _claims: ended.append(number))
    assert store.silent() == []
    assert not store.take_over(old)
    fall_silent(first, old)
    assert store.silent() == [old]
    assert store.take_over(old)
    assert ended == [old]
    assert not store.take_over(old)
    with pytest.raises(TakenOverError):
        write(first)
    assert not NodeStore(first).beat(old, 1, state=NodeState.READY, applied=0, report={})
    assert join(first, "first") == old
    write(first)
    assert [node.state for node in store.all()] == [NodeState.STARTING, NodeState.STARTING]


def test_what_is_in_the_middle_of_a_transaction_ends_before(first: Database, second: Database) -> None:
    """The lock of writers holds a take-over up; what is committed then is the old node's, and nothing after it."""
    old = join(first, "first")
    join(second, "second")
    fall_silent(first, old)
    with first.write() as connection:
        record(first, connection, Topic.QUEUE)
        second._backend._patience = 0.2  # type: ignore[attr-defined]
        second_store = NodeStore(second)
        with pytest.raises(Exception, match="busy"):
            second_store.take_over(old)
    assert NodeStore(second).take_over(old)
    with second.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(changes)) == 1


def test_a_name_is_one_nodes(first: Database, second: Database) -> None:
    join(first, "pond")
    with pytest.raises(ConflictError, match="pond is running already"):
        join(second, "pond")


@pytest.mark.parametrize("what", AGREED)
def test_who_has_something_else_does_not_join(first: Database, second: Database, what: str) -> None:
    number = join(first, "first")
    with pytest.raises(ConflictError, match=f"another {what} than first"):
        join(second, "second", **{what: "other"})
    NodeStore(first).leave(number, 1)
    join(second, "second", **{what: "other"})


def test_a_lease_ends_with_its_node(first: Database, second: Database) -> None:
    old = join(first, "first")
    join(second, "second")
    with LeaseStore(first).held("backup") as mine:
        assert mine
        with LeaseStore(second).held("backup") as theirs:
            assert not theirs
        assert LeaseStore(second).owner("backup") == "first"
        fall_silent(first, old)
        assert NodeStore(second).take_over(old)
        with LeaseStore(first).held("sweep") as claimed:
            assert not claimed  # it does not know yet
        with LeaseStore(second).held("backup") as theirs:
            assert theirs
    with LeaseStore(second).held("backup") as theirs:
        assert theirs


def test_what_ended_while_the_database_was_away_is_released(
    first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A conversation would stay answered for as long as its node runs."""
    join(first, "first")
    join(second, "second")
    store = LeaseStore(first)

    def away() -> None:
        raise DatabaseAwayError("away", "again")

    with monkeypatch.context() as broken, store.held("conversation") as mine:
        assert mine
        broken.setattr(first, "aside", away)
    assert LeaseStore(second).owner("conversation") == "first"
    store.release_left()
    with LeaseStore(second).held("conversation") as theirs:
        assert theirs


def test_changes_of_others_are_followed_in_order(first: Database, second: Database) -> None:
    """Its own are not told to a node, and none is missed, however many there are at once."""
    join(first, "first")
    follower = Follower(second, after=NodeStore(second).join("second", url="", version="", agreed=AGREED).change)
    second.join(NodeStore(second).all()[1].number, 1)
    told: list[int] = []
    follower.on(Topic.INDEX, told.extend)
    with second.write() as connection:
        record(second, connection, Topic.INDEX, -1)
    for start in range(0, 1200, 300):
        with first.write() as connection:
            for number in range(start, start + 300):
                record(first, connection, Topic.INDEX, number)
    follower.start()
    try:
        eventually(lambda: len(told) >= 1200, what="what was before")
        with first.write() as connection:
            record(first, connection, Topic.INDEX, 1200)
        eventually(lambda: len(told) > 1200, seconds=1.0, what="a change that is told at once")
    finally:
        follower.close()
    assert told == [*range(1201)]


def test_what_all_have_followed_is_deleted(first: Database, second: Database) -> None:
    """Names of deleted documents are in it; whoever is behind needs it."""
    number = join(first, "first")
    other = join(second, "second")
    for _each in range(3):
        write(first)
    with first.read() as connection:
        last = int(connection.scalar(sa.select(sa.func.max(changes.c.id))) or 0)
    store = NodeStore(first)
    assert store.beat(number, 1, state=NodeState.READY, applied=last, report={})
    assert store.beat(other, 1, state=NodeState.READY, applied=last - 2, report={})
    store.delete_followed()
    assert [change.id for change in _changes(first)] == [last - 1, last]
    assert store.beat(other, 1, state=NodeState.READY, applied=last, report={})
    store.delete_followed()
    assert [(change.id, change.content) for change in _changes(first)] == [(last, None)]


def _changes(database: Database) -> Sequence[Change]:
    with database.read() as connection:
        return read_after(connection, 0) or ()


def test_who_missed_changes_reads_anew(first: Database, second: Database) -> None:
    join(first, "first")
    write(first)
    with first.read() as connection:
        last = int(connection.scalar(sa.select(sa.func.max(changes.c.id))) or 0)
    follower = Follower(second, after=last)
    gaps: list[bool] = []
    follower.on_gap(lambda: gaps.append(True))
    for _number in range(3):
        write(first)
    with first.write() as connection:
        connection.execute(changes.delete().where(changes.c.id <= last + 1))
    assert follower.follow()
    assert gaps == [True]
    assert not follower.follow()
