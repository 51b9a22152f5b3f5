"""Upgrades of the database that do not go well: no room, a kill, a newer version's folder; and the copy from before."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from services.app.tables import import_tables
from services.core.database import Database
from services.core.errors import ConflictError, StorageError
from services.core.migrations import upgrade
from services.core.migrations.backup import back_up, backups_of, remove_old
from services.core.migrations.upgrade import needs_upgrade, open_schema
from services.core.preferences import Preferences
from services.core.schema_version import HEAD, REVISIONS
from tests.core.test_migrations import RELEASED, unpacked
from tests.knowledge.test_full_disk import file_size_limit, small_disk
from tests.servers import ROOT, environment, run

BEFORE = "data-before-migrations.tar.xz"
DAY = 86_400
NAMES = ["Offer.eml", "Offer.eml › ropes.txt", "handbook.pdf", "tolls.csv", "weir.md", "磨坊.txt"]
# Upgrades the database named first, and is killed at the place named second.
_KILLED = """
import os, signal, sys
import sqlalchemy as sa
from services.app.tables import import_tables
from services.core.database import Database
from services.core.migrations import backup, upgrade

def end(*_arguments):
    os.kill(os.getpid(), signal.SIGKILL)

place = sys.argv[2]
import_tables()
database = Database("sqlite:///" + sys.argv[1], checked=True)
if place == "copying":
    backup.sync = end
elif place == "committed":
    database.engine.dispose = end
else:
    @sa.event.listens_for(database.engine, "after_cursor_execute")
    def at(_connection, _cursor, statement, *_more):
        if statement.lstrip().startswith(place):
            end()
upgrade.open_schema(database)
"""


def opened(path: Path) -> Database:
    import_tables()
    return Database(f"sqlite:///{path}", checked=True)


def stored(path: Path) -> tuple[str, list[str], list[str]]:
    """What a program that knows nothing of Millpond finds: the check of SQLite, names of documents, and of tables."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return (
            connection.execute("PRAGMA integrity_check").fetchone()[0],
            sorted(name for (name,) in connection.execute("SELECT name FROM documents")),
            sorted(name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")),
        )


def upgrade_again(path: Path) -> None:
    """Fails unless the next start does the upgrade."""
    database = opened(path)
    assert open_schema(database) is not None
    database.close()
    assert "alembic_version" in stored(path)[2]
    assert stored(path)[:2] == ("ok", NAMES)


def test_the_copy_has_what_was_in_the_log(tmp_path: Path) -> None:
    """Fails if it lacks what was only in the write-ahead log, others can read it, or it needs files beside it."""
    database = Database(f"sqlite:///{tmp_path / 'millpond.db'}", checked=True)
    database.create_tables()
    database.empty_log()
    Preferences(database).set("only.in.the.log", {"found": True})
    assert (tmp_path / "millpond.db-wal").stat().st_size
    copy = back_up(database, tmp_path / "millpond.db", "0002_next")
    assert copy == tmp_path / "millpond.db.before-0002_next"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.glob("*before*")] == [copy.name]
    database.close()
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT value FROM preferences").fetchall() == [('{"found": true}',)]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_copy_put_back_is_opened_again(tmp_path: Path) -> None:
    """Fails if the way back that is told does not work: the copy in place of the database, its checksums deleted."""
    path = unpacked(BEFORE, tmp_path)
    database = opened(path)
    done = open_schema(database)
    database.close()
    assert done is not None
    assert done.backup is not None
    assert stored(done.backup)[:2] == ("ok", NAMES)
    assert "alembic_version" not in stored(done.backup)[2]
    done.backup.replace(path)
    (tmp_path / "millpond.db-sums").unlink()
    upgrade_again(path)


def test_only_the_newest_copy_is_kept_and_only_for_days(tmp_path: Path) -> None:
    """Fails if copies pile up, or one outlives its time: each holds what was deleted since."""
    path = tmp_path / "millpond.db"
    for number, age in enumerate((30, 3, 5)):
        copy = tmp_path / f"millpond.db.before-000{number}_x"
        copy.write_bytes(b"copy")
        os.utime(copy, (1e9 - age * DAY,) * 2)
    for left in ("millpond.db.before-0004_x.part", "millpond.db.before-0004_x.part-journal"):
        (tmp_path / left).write_bytes(b"half")
    path.write_bytes(b"database")
    (tmp_path / "millpond.db.before-0001_x-wal").touch()  # somebody has looked into the copy
    removed = remove_old(path, days=14, now=1e9)
    assert {old.name for old in removed} == {"millpond.db.before-0000_x", "millpond.db.before-0002_x"}
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "millpond.db",
        "millpond.db.before-0001_x",
        "millpond.db.before-0001_x-wal",
    ]
    assert remove_old(path, days=14, now=1e9 + 10 * DAY) == []
    assert remove_old(path, days=14, now=1e9 + 11 * DAY) == [tmp_path / "millpond.db.before-0001_x"]
    assert backups_of(path) == []
    assert [each.name for each in tmp_path.iterdir()] == ["millpond.db"]


@pytest.mark.parametrize("place", ["copying", "CREATE TABLE", "INSERT INTO schema_history", "committed"])
def test_a_kill_in_the_middle_leaves_a_usable_database(tmp_path: Path, place: str) -> None:
    """Fails if a killed upgrade leaves half a schema, the next start takes it for damage, or an upgrade is missing."""
    path = unpacked(BEFORE, tmp_path)
    before = stored(path)
    ended = subprocess.run(
        [sys.executable, "-c", _KILLED, str(path), place], cwd=ROOT, env=environment(), check=False, capture_output=True
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    database = opened(path)
    done = open_schema(database)
    assert (done is None) is (place == "committed")
    if done is not None:
        assert done.backup is not None
        assert stored(done.backup) == before
    remove_old(path, days=14, now=0)
    database.close()
    assert stored(path)[:2] == before[:2]
    assert [each.name for each in tmp_path.glob("*before*")] == [f"millpond.db.before-{REVISIONS[0]}"]


def test_no_room_for_the_copy(tmp_path: Path) -> None:
    """Fails if a folder is upgraded without a copy, half a copy is left, or nobody is told how much room is missing."""
    with small_disk(tmp_path / "disk", 8):
        path = unpacked(BEFORE, tmp_path / "disk")
        before = path.read_bytes()
        database = opened(path)
        with pytest.raises(
            StorageError, match=r"MB are free on the disk, and 16 MB are needed\. Nothing in the"
        ) as told:
            open_schema(database)
        database.close()
        assert "the version before can go on" in told.value.hint
        assert path.read_bytes() == before
        assert list(path.parent.glob("*before*")) == []


def test_the_disk_runs_full_while_it_is_copied(tmp_path: Path) -> None:
    """Fails if half a copy is taken for a whole one."""
    path = unpacked(BEFORE, tmp_path)
    before = stored(path)
    database = opened(path)
    with pytest.raises(StorageError, match="the copy could not be written"), file_size_limit(100_000):
        open_schema(database)
    database.close()
    assert stored(path) == before
    assert list(tmp_path.glob("*before*")) == []
    upgrade_again(path)


def test_the_disk_runs_full_while_it_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if half a migration stays, or the copy, which would fill the disk for nothing."""
    path = unpacked(BEFORE, tmp_path)
    before = stored(path)
    database = opened(path)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    def copied_then_full(*arguments: object) -> Path:
        copy = back_up(*arguments)  # type: ignore[arg-type]
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limit[1]))
        return copy

    with monkeypatch.context() as patched:
        patched.setattr(upgrade, "back_up", copied_then_full)
        try:
            with pytest.raises(StorageError, match="what was stored before is kept"):
                open_schema(database)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    database.close()
    assert stored(path) == before
    assert list(tmp_path.glob("*before*")) == []
    upgrade_again(path)


def test_another_program_that_writes_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if a migration that could not begin is a defect: it says why, and the next start does it."""
    path = unpacked(BEFORE, tmp_path)
    import_tables()
    database = Database(f"sqlite:///{path}", patience=0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match=r"database is locked\. It is as it was before"):
            open_schema(database)
    database.close()
    upgrade_again(path)


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of a newer version."""
    folder = tmp_path_factory.mktemp("newer")
    database = opened(folder / "millpond.db")
    database.create_tables()
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9001_later'")
        connection.exec_driver_sql("INSERT INTO schema_history VALUES ('9001_later', '9.1.0', 1)")
    database.close()
    (folder / "millpond.db.before-9001_later").write_bytes(b"its copy")
    return folder


@pytest.mark.parametrize(
    "command",
    [("serve", "--port", "0"), ("ask", "How deep is the pond?"), ("ingest", "README.md")],
    ids=lambda command: command[0],
)
def test_a_newer_folder_is_refused_with_words(newer: Path, command: tuple[str, ...]) -> None:
    """A real process: exit code 1, which version wrote it, what to do; nothing is changed, no traceback."""
    before = (newer / "millpond.db").read_bytes()
    files = {each.name for each in newer.glob("millpond.db*")}
    ended = run(*command, "--data-dir", str(newer))
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "was written by Millpond 9.1.0: its schema has the revision 9001_later" in ended.stderr
    assert f"those up to {HEAD}. Nothing was changed." in ended.stderr
    assert "Start Millpond 9.1.0 on it. To go back to this version, put the copy millpond.db.before-9" in ended.stderr
    assert (newer / "millpond.db").read_bytes() == before
    assert {each.name for each in newer.glob("millpond.db*")} == files


def test_a_newer_folder_of_an_unknown_version(tmp_path: Path) -> None:
    """Fails if a newer version that keeps no record of itself is called by a made-up name."""
    database = opened(tmp_path / "millpond.db")
    database.create_tables()
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9001_later'")
        connection.exec_driver_sql("DROP TABLE schema_history")
    for refuse in (open_schema, needs_upgrade):
        with pytest.raises(ConflictError, match="was written by a newer version of Millpond: its schema"):
            refuse(database)
    database.close()


def test_the_status_of_an_older_folder(tmp_path: Path) -> None:
    """Fails if `status` counts in tables that are not there yet, or upgrades a folder that somebody only asks about."""
    path = unpacked(RELEASED[0], tmp_path)
    before = stored(path)
    ended = run("status", "--data-dir", str(tmp_path))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "written by an older version; the next start brings its database to this one" in ended.stdout
    assert stored(path) == before
