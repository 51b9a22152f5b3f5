from __future__ import annotations

from pathlib import Path

import pytest

from services.database import Database
from services.errors import DamagedError


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


def test_a_file_that_is_no_database_is_told_of(tmp_path: Path) -> None:
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
