"""The database: transactions (`database.py`) over SQLite (`sqlite.py`) or PostgreSQL (`postgres.py`)."""

from services.core.database.database import WHOLE, Database, metadata

__all__ = ["WHOLE", "Database", "metadata"]
