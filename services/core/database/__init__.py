"""The database: transactions (`database.py`) over SQLite (`sqlite.py`) or PostgreSQL (`postgres.py`)."""

from services.core.database.database import Database, metadata

__all__ = ["Database", "metadata"]
