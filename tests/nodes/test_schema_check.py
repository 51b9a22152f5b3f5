"""Which nodes go on while the schema changes: each says which one it knows, and is held against what is to come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.core.errors import ConflictError, TakenOverError
from services.core.schema_version import HEAD, REVISIONS, alembic_version, schema_compatibility
from services.nodes.store import schema_check
from services.nodes.store.node_tables import nodes
from services.nodes.store.schema_check import require_nodes_go_on
from services.nodes.types import SILENT_SECONDS
from tests.nodes.joined import JoinedNode, two_joined


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[JoinedNode, JoinedNode]]:
    with ExitStack() as closing:
        yield closing.enter_context(two_joined(tmp_path))


def known(node: JoinedNode, revision: str | None) -> None:
    """Have a node be one that knows the schema up to a revision; None: of a version that did not say."""
    with node.database.write() as connection:
        query = nodes.update().where(nodes.c.id == node.nodes.membership.number)
        connection.execute(query.values(schema_revision=revision))


def check(node: JoinedNode) -> None:
    with node.database.write() as connection:
        require_nodes_go_on(connection)


@pytest.mark.parametrize("revision", [REVISIONS[-2], None])
def test_a_node_that_works_and_is_too_old_stops_a_migration(
    pair: tuple[JoinedNode, JoinedNode], revision: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would work on tables that it does not know any more."""
    one, two = pair
    known(two, revision)
    check(one)  # one that only expands
    monkeypatch.setattr(schema_check, "OLDEST_AT_WORK", HEAD)
    with pytest.raises(ConflictError, match=r"could not go on \(two\)"):
        check(one)
    two.nodes.membership.close()
    check(one)  # it has ended


def test_a_silent_node_that_is_too_old_is_shut_out(
    pair: tuple[JoinedNode, JoinedNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would wake after the migration and write as if nothing had happened; or its death would stop every upgrade."""
    one, two = pair
    known(two, REVISIONS[-2])
    with one.database.write() as connection:
        query = nodes.update().where(nodes.c.id == two.nodes.membership.number)
        connection.execute(query.values(seen_at=nodes.c.seen_at - 2 * SILENT_SECONDS))
    monkeypatch.setattr(schema_check, "OLDEST_AT_WORK", HEAD)
    check(one)
    with pytest.raises(TakenOverError), two.database.write():
        pass
    with pytest.raises(TakenOverError):
        two.database.ask()
    one.database.ask()
    # What it was doing is left to whoever takes it over.
    assert two.nodes.membership.number in one.store.silent()


@pytest.mark.parametrize("oldest", [REVISIONS[-2], HEAD, "9999_later", None])
def test_who_joins_must_be_able_to_work_on_what_is_there(
    pair: tuple[JoinedNode, JoinedNode], oldest: str | None
) -> None:
    """A node that looked before a migration, or wakes after one, would join and work on what it does not know."""
    one, two = pair
    with one.database.write() as connection:
        connection.execute(sa.update(alembic_version).values(version_num="9999_later"))
        if oldest is not None:
            connection.execute(sa.update(schema_compatibility).values(revision="9999_later", oldest_at_work=oldest))
    one.take_over(two)
    if oldest in REVISIONS:
        two.nodes.membership.join()
        two.database.ask()
        return
    with pytest.raises(ConflictError, match="9999_later"):
        two.nodes.membership.join()
    with pytest.raises(TakenOverError):
        two.database.ask()
