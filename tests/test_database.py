from __future__ import annotations

from pathlib import Path

from services.database import Database


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
