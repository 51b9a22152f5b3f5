from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.app.tables import import_tables
from services.core.database import Database
from tests.databases import database_url
from tests.identity.house import House


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    import_tables()
    database = Database(database_url(tmp_path))
    database.create_tables()
    yield database
    database.close()


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    """Identity over a database of its own, with an administrator and cheap hashes."""
    return House(database, tmp_path)
