from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.core.database import Database
from services.core.errors import DamagedError


def test_nobody_else_can_read_the_database(tmp_path: Path) -> None:
    """The database and its journals belong to their owner alone, even in a folder that is open to others."""
    tmp_path.chmod(0o755)
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    database.create_tables()
    with database.read() as connection:
        connection.exec_driver_sql("SELECT 1")
        modes = {path.name: oct(path.stat().st_mode & 0o077) for path in tmp_path.iterdir()}
    database.close()
    assert modes.keys() >= {"test.db", "test.db-wal"}
    assert set(modes.values()) == {"0o0"}


def test_a_kill_while_tables_are_made_leaves_none_without_its_index(tmp_path: Path) -> None:
    """A table whose index was still to come would be without it for good: none is there before all are."""
    schema = sa.MetaData()
    for number in range(3):
        sa.Table(f"t{number}", schema, sa.Column("value", sa.Integer, index=True))
    database = Database(f"sqlite:///{tmp_path / 'test.db'}", schema=schema)
    made = []

    @sa.event.listens_for(database.engine, "after_cursor_execute")
    def end(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        made.append(statement)
        if "CREATE TABLE t1" in statement:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        database.create_tables()
    with database.read() as connection:
        assert sa.inspect(connection).get_table_names() == []
    database.close()
    assert any("CREATE INDEX" in statement for statement in made)


def test_a_missing_index_is_made(tmp_path: Path) -> None:
    """A folder of an older version, or one that lost an index to a kill, has every index after the next start."""
    schema = sa.MetaData()
    sa.Table("numbers", schema, sa.Column("value", sa.Integer, index=True))
    database = Database(f"sqlite:///{tmp_path / 'test.db'}", schema=schema)
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE numbers (value INTEGER)")
    database.create_tables()
    with database.read() as connection:
        assert [each["name"] for each in sa.inspect(connection).get_indexes("numbers")] == ["ix_numbers_value"]
    database.close()


def test_cached_pages_are_given_back(tmp_path: Path) -> None:
    """A connection that is in use would be taken away, an idle one keep its pages, or what is stored suffer."""
    database = Database(f"sqlite:///{tmp_path}/pages.db")
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE numbers (number INTEGER)")
        connection.exec_driver_sql("INSERT INTO numbers VALUES (7)")
    with ExitStack() as three:
        for _number in range(3):
            three.enter_context(database.read())
    assert database.shrink() == 3
    with database.read() as busy:
        assert database.shrink() == 2
        assert busy.exec_driver_sql("SELECT number FROM numbers").scalar() == 7
    database.close()
    assert database.shrink() == 0


def test_a_file_that_is_no_database_is_reported(tmp_path: Path) -> None:
    """A damaged database gets a message with a way out, and stays as it is."""
    path = tmp_path / "test.db"
    path.write_bytes(b"not what it should be" * 1000)
    database = Database(f"sqlite:///{path}")
    with pytest.raises(DamagedError, match="database in the data folder is damaged") as caught:
        database.create_tables()
    with pytest.raises(DamagedError), database.read():
        pass
    database.close()
    assert caught.value.hint
    assert path.read_bytes() == b"not what it should be" * 1000


def test_work_that_reads_often_uses_one_connection(tmp_path: Path) -> None:
    """Inside of `reading` each `read` of the thread is over the same connection; afterwards it is given back."""
    database = Database(f"sqlite:///{tmp_path / 'shared.db'}")
    others: list[int] = []

    def read_elsewhere() -> None:
        with database.read() as connection:
            others.append(id(connection.connection.dbapi_connection))

    with database.reading():
        with database.read() as first, database.read() as second:
            assert first is second
            own = id(first.connection.dbapi_connection)
        elsewhere = threading.Thread(target=read_elsewhere)
        elsewhere.start()
        elsewhere.join()
        with database.reading(), database.read() as inner:
            assert inner is first
        with database.read() as again:
            assert again is first
    assert others != [own]
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    database.close()
