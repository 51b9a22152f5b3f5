from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.core.database import Database
from services.core.preferences import Preferences
from tests.databases import database_url


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(database_url(tmp_path))
    database.create_tables()
    yield database
    database.close()


def test_value_survives_a_new_connection(database: Database, tmp_path: Path) -> None:
    """What was set is read back by another process over the same file."""
    Preferences(database).set("chat.model", {"kind": "openai", "名": ["一", 2, None]})
    again = Database(database_url(tmp_path))
    try:
        assert Preferences(again).get("chat.model") == {"kind": "openai", "名": ["一", 2, None]}
    finally:
        again.close()


def test_last_value_wins_and_can_be_removed(database: Database) -> None:
    """Setting a key twice keeps one value, the last; removing it leaves none and other keys alone."""
    preferences = Preferences(database)
    preferences.set("a", {"x": 1})
    preferences.set("b", {"y": 1})
    preferences.set("a", {"x": 2})
    assert preferences.get("a") == {"x": 2}
    preferences.remove("a")
    assert preferences.get("a") is None
    assert preferences.get("b") == {"y": 1}
