from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.core import erasure as erasure_module
from services.core.database import Database
from services.core.erasure import Erasure
from services.core.errors import StorageError
from services.core.preferences import Preferences
from tests.servers import eventually

MARK = "zqerasuremarker"
schema = sa.MetaData()
notes = sa.Table("notes", schema, sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}", schema=schema)
    database.create_tables()
    yield database
    database.close()


@pytest.fixture
def erasure(database: Database) -> Iterator[Erasure]:
    erasure = Erasure(database, company=0.05)
    erasure.start()
    yield erasure
    erasure.close()


def left(tmp_path: Path) -> list[str]:
    return [path.name for path in sorted(tmp_path.iterdir()) if MARK.encode() in path.read_bytes()]


def insert(database: Database, count: int = 1) -> None:
    with database.write() as connection:
        connection.execute(notes.insert(), [{"text": f"{MARK} {number}"} for number in range(count)])


def erased(erasure: Erasure) -> None:
    eventually(lambda: erasure.status().pending_seconds == 0, seconds=20, what="erasure")


@pytest.mark.usefixtures("erasure")
def test_what_is_not_deleted_waits_for_nothing(database: Database, erasure: Erasure) -> None:
    """A log that is emptied after every insert would cost each upload."""
    erased(erasure)
    insert(database)
    assert erasure.status().pending_seconds == 0


@pytest.mark.parametrize("statement", [notes.delete(), notes.update().values(text="other")])
def test_deleted_and_replaced_text_leaves_the_files(
    database: Database, erasure: Erasure, tmp_path: Path, statement: sa.Delete | sa.Update
) -> None:
    """It stayed in the write-ahead log for hours, in the file for good where SQLite does not overwrite."""
    insert(database, 100)
    assert left(tmp_path)
    with database.write() as connection:
        connection.execute(statement)
    erased(erasure)
    assert left(tmp_path) == []


def test_a_secret_that_was_replaced_leaves_the_files(tmp_path: Path) -> None:
    """The key of a chat server that somebody removed from the settings stayed readable."""
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    database.create_tables()
    erasure = Erasure(database, company=0.05)
    erasure.start()
    stored = Preferences(database)
    stored.set("chat.model", {"api_key": MARK})
    assert left(tmp_path)
    stored.set("chat.model", {"api_key": ""})
    erased(erasure)
    assert left(tmp_path) == []
    erasure.close()
    database.close()


def test_a_reader_of_an_old_state_is_waited_for(
    database: Database, erasure: Erasure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program that reads keeps what it may still need; that is said, and writers do not wait."""
    monkeypatch.setattr(erasure_module, "LATE_SECONDS", 0.1)
    monkeypatch.setattr(erasure_module, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(erasure_module, "_LATE_RETRY_SECONDS", 0.05)
    insert(database)
    with closing(sqlite3.connect(tmp_path / "test.db", isolation_level=None)) as other:
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM notes").fetchone() == (1,)
        with database.write() as connection:
            connection.execute(notes.delete())
        eventually(lambda: "another program" in erasure.status().waiting_for, seconds=20, what="a reason")
        insert(database)
        assert left(tmp_path)
        other.execute("COMMIT")
    with database.write() as connection:
        connection.execute(notes.delete())
    erased(erasure)
    assert left(tmp_path) == []


def test_steps_of_others_come_before_the_log(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that fails is tried again, and the log is emptied after the one that erased."""
    monkeypatch.setattr(erasure_module, "RETRY_SECONDS", 0.05)
    erasure = Erasure(database, company=0.01)
    outcomes: list[object] = [StorageError("the disk is full"), ValueError("a defect"), False, True]
    seen = threading.Event()

    def step(_stop: object) -> bool:
        outcome = outcomes.pop(0) if len(outcomes) > 1 else True
        if isinstance(outcome, Exception):
            raise outcome
        if outcome:
            with database.write() as connection:
                connection.execute(notes.insert().values(text="made by the step"))
            seen.set()
        return bool(outcome)

    erasure.add_step(step)
    erasure.start()
    try:
        assert seen.wait(20)
        erased(erasure)
        assert (tmp_path / "test.db-wal").stat().st_size == 0
    finally:
        erasure.close()


def test_what_a_killed_process_left_is_erased_at_the_start(tmp_path: Path, database: Database) -> None:
    """A kill between deletion and erasure leaves the log; nobody deletes again for a long time perhaps."""
    insert(database)
    with database.write() as connection:
        connection.execute(notes.delete())
    assert left(tmp_path)
    again = Erasure(database, company=0.01)
    again.start()
    erased(again)
    again.close()
    assert left(tmp_path) == []
