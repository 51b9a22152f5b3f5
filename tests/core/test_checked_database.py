"""Databases whose pages have checksums: what is damaged is refused or said, and no kill is taken for damage."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.core.database import Database
from services.core.database.page_checksums import PageChecksums
from services.core.database.sqlite import SqliteBackend
from services.core.errors import DamagedError
from tests.servers import ROOT, environment

SCHEMA = sa.MetaData()
NOTES = sa.Table("notes", SCHEMA, sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text))
TEXT = "the sluice gate " * 400  # more than a page
_WRITER = """
import sys
from tests.core.test_checked_database import NOTES, TEXT, open_at
database = open_at(sys.argv[1])
number = 0
while True:
    with database.write() as connection:
        connection.execute(NOTES.insert(), [{"text": f"{number} {TEXT}"}] * 3)
        connection.execute(NOTES.delete().where(NOTES.c.id % 7 == 3))
        connection.execute(NOTES.insert(), {"text": f"done {number}"})
    print(number, flush=True)
    if number % 40 == 17:
        database.empty_log()
    number += 1
"""


def open_at(path: Path | str) -> Database:
    database = Database(f"sqlite:///{path}", schema=SCHEMA, checked=True)
    database.create_tables()
    return database


def texts(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(sa.select(NOTES.c.text).order_by(NOTES.c.id)).scalars())


def flip(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        (old,) = file.read(1)
        file.seek(place)
        file.write(bytes([old ^ 4]))


def beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A database with twenty texts that was closed."""
    path = tmp_path / "notes.db"
    database = open_at(path)
    with database.write() as connection:
        connection.execute(NOTES.insert(), [{"text": f"{number} {TEXT}"} for number in range(20)])
    database.close()
    assert not beside(path, "-wal").exists()
    return path


@pytest.fixture
def killed(closed: Path, tmp_path: Path) -> Path:
    """The same with twenty more that are in the write-ahead log alone: the files as a kill leaves them."""
    work = tmp_path / "work"
    work.mkdir()
    for file in tmp_path.glob("notes.db*"):
        shutil.copy(file, work)
    database = open_at(work / closed.name)
    for number in range(20, 40):
        with database.write() as connection:
            connection.execute(NOTES.insert(), {"text": f"{number} {TEXT}"})
    left = tmp_path / "killed"
    left.mkdir()
    for file in work.iterdir():
        shutil.copy(file, left)
    database.close()
    return left / "notes.db"


def test_what_was_stored_is_there_after_a_close_and_after_a_kill(closed: Path, killed: Path) -> None:
    """Fails if a sound file is taken for a damaged one, or the log for nothing."""
    for path, count in ((closed, 20), (killed, 40)):
        database = open_at(path)
        assert texts(database) == [f"{number} {TEXT}" for number in range(count)]
        database.check_some(10_000)
        assert database.damage is None
        assert database.notes == []
        database.close()


def test_a_log_with_newer_states_of_all_its_pages_is_moved_in_after_its_reader(closed: Path) -> None:
    """A reader keeps the newer states out: nothing is copied then, which is no defect."""
    database = open_at(closed)
    change = NOTES.update().where(NOTES.c.id == 1)
    with database.write() as connection:
        connection.execute(change.values(text=f"once {TEXT}"))
    with database.read() as reader:
        rows = reader.execute(sa.select(NOTES.c.text))
        rows.fetchone()  # and the others later
        with database.write() as connection:
            connection.execute(change.values(text=f"twice {TEXT}"))
        assert not database.empty_log()
        rows.close()
    assert database.empty_log()
    database.close()
    database = open_at(closed)
    assert texts(database)[0] == f"twice {TEXT}"
    assert database.notes == []
    database.close()


def test_a_flipped_bit_of_a_text_is_refused_and_left_as_it_is(closed: Path) -> None:
    """SQLite would serve the other text; the message says which file, and what to do."""
    content = closed.read_bytes()
    place = content.index(b"sluice")
    flip(closed, place)
    with pytest.raises(DamagedError, match=r"notes\.db is damaged\. 1 page of") as caught:
        open_at(closed)
    assert "copy of the whole data folder" in caught.value.hint
    assert closed.read_bytes()[:place] == content[:place]
    flip(closed, place)
    assert len(texts(open_at(closed))) == 20


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _cut_one_frame(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4096 - 24)


def _flip_middle(path: Path) -> None:
    flip(path, path.stat().st_size // 2)


def _flip_start(path: Path) -> None:
    flip(path, 17)


def _flip_end(path: Path) -> None:
    flip(path, path.stat().st_size - 100)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize("damage", [_cut, _flip_middle, _flip_start, _empty, Path.unlink])
def test_a_damaged_file_is_refused(closed: Path, damage: Callable[[Path], None]) -> None:
    """Fails if a part of the file, or all of it, can be lost without a word."""
    damage(closed)
    with pytest.raises(DamagedError, match="Nothing in it was changed"):
        open_at(closed)


@pytest.mark.parametrize("damage", [_cut, _cut_one_frame, _flip_middle, _flip_start, _flip_end, _empty, Path.unlink])
def test_a_damaged_log_is_refused(killed: Path, damage: Callable[[Path], None]) -> None:
    """SQLite leaves out what follows a damaged frame, and would say nothing of the transactions that are lost."""
    damage(beside(killed, "-wal"))
    with pytest.raises(DamagedError, match="write-ahead log"):
        open_at(killed)


@pytest.mark.parametrize("damage", [_flip_middle, _flip_start, _empty, Path.unlink])
def test_the_index_of_the_log_is_not_needed(killed: Path, damage: Callable[[Path], None]) -> None:
    """The file -shm is made anew from the log; its damage costs nothing."""
    damage(beside(killed, "-shm"))
    database = open_at(killed)
    assert len(texts(database)) == 40
    database.close()


@pytest.mark.parametrize("damage", [_cut, _flip_middle, _flip_start, _empty, Path.unlink])
@pytest.mark.parametrize("state", ["closed", "killed"])
def test_damaged_checksums_are_made_anew(
    request: pytest.FixtureRequest, state: str, damage: Callable[[Path], None]
) -> None:
    """They are no damage to what is stored: SQLite checks the file, and the next damage is found again."""
    path: Path = request.getfixturevalue(state)
    damage(beside(path, "-sums"))
    database = open_at(path)
    count = len(texts(database))
    assert count == (20 if state == "closed" else 40)
    assert bool(database.notes) is (damage is not Path.unlink)
    database.close()
    flip(path, path.read_bytes().index(b"sluice"))
    with pytest.raises(DamagedError):
        open_at(path)


def test_a_file_of_an_older_version_gets_checksums(tmp_path: Path) -> None:
    """Data folders of 0.1.0 have none; they open, and are protected from then on."""
    path = tmp_path / "notes.db"
    older = Database(f"sqlite:///{path}", schema=SCHEMA)
    older.create_tables()
    with older.write() as connection:
        connection.execute(NOTES.insert(), {"text": TEXT})
    older.close()
    database = open_at(path)
    assert texts(database) == [TEXT]
    database.close()
    flip(path, path.read_bytes().index(b"sluice"))
    with pytest.raises(DamagedError):
        open_at(path)


def test_who_writes_without_checksums_deletes_them(closed: Path) -> None:
    """A store that keeps none would make them wrong, and the next start would refuse a sound file."""
    other = Database(f"sqlite:///{closed}", schema=SCHEMA)
    with other.write() as connection:
        connection.execute(NOTES.insert(), {"text": "one more"})
    other.close()
    database = open_at(closed)
    assert len(texts(database)) == 21
    database.close()
    assert beside(closed, "-sums").exists()


def test_checksums_that_cannot_be_written_are_given_up(closed: Path) -> None:
    """On a full disk they would lag behind the file, which the next start would take for damage."""
    database = open_at(closed)
    with database.write() as connection:
        connection.execute(NOTES.insert(), {"text": "before"})
    assert isinstance(database._backend, SqliteBackend)
    checked = database._backend._file
    assert checked is not None

    def full(_changed: object, _pages: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    checked.sums.follow = full  # type: ignore[method-assign]
    assert database.empty_log() is False
    with database.write() as connection:
        connection.execute(NOTES.insert(), {"text": "after"})
    database.check_some(1 << 30)
    assert database.damage is None
    database.close()
    database = open_at(closed)
    assert texts(database)[-2:] == ["before", "after"]
    database.close()


def test_damage_is_found_while_it_runs(closed: Path) -> None:
    """The check in the background reads what nobody asks for; it is said once, and what is sound is served on."""
    database = open_at(closed)
    found: list[DamagedError] = []
    database.on_damage(found.append)
    flip(closed, closed.read_bytes().index(b"7 the sluice") + 40)
    for _round in range(3):
        database.check_some(10_000)
    assert [error.message for error in found] == [database.damage.message if database.damage else ""]
    assert "1 page of" in found[0].message
    assert len(texts(database)) == 20
    database.close()


def test_a_reader_of_an_older_state_does_not_disturb_the_checksums(closed: Path) -> None:
    """The log is then copied in part: checksums of the rest must wait with it."""
    database = open_at(closed)
    with database.read() as reader:
        reader.exec_driver_sql("BEGIN")
        reader.execute(sa.select(NOTES)).first()
        for number in range(50):
            with database.write() as connection:
                connection.execute(NOTES.insert(), [{"text": f"{number} {TEXT}"}] * 20)
            if number == 30:
                reader.exec_driver_sql("ROLLBACK")
                reader.exec_driver_sql("BEGIN")
                reader.execute(sa.select(NOTES)).first()
        assert database.empty_log() is False
        database.check_some(100_000)
    assert database.empty_log() is True
    database.check_some(100_000)
    assert database.damage is None
    database.close()
    database = open_at(closed)
    assert len(texts(database)) == 1020
    database.close()


def test_no_kill_is_taken_for_damage(tmp_path: Path) -> None:
    """A process is killed at any moment, while it copies the log, too: what it had acknowledged is there."""
    path = tmp_path / "notes.db"
    for lap in range(4):
        command = [sys.executable, "-c", _WRITER, str(path)]
        with subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for line in writer.stdout:
                if int(line) >= 7 * lap + 2:
                    break
            writer.send_signal(signal.SIGKILL)
            rest = writer.stdout.read().split()
        last = int(rest[-1]) if rest else int(line)
        database = open_at(path)
        # A transaction after it may have been committed, and have deleted its row.
        assert {f"done {last}", f"done {last + 1}"} & set(texts(database))
        with database.read() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        database.check_some(1 << 30)
        assert database.damage is None
        database.close()
        check = PageChecksums(path)
        assert check.check(seconds=10).damaged == ()
        check.close()
