from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.core.database import Database
from services.core.preferences import Preferences
from services.core.secret_box import KEY_FILE, SecretBox, UnreadableSecretError
from services.core.secret_store import SecretStore
from tests.databases import database_url

MARK = "sk-marker-7Qz9-of-a-secret"


@pytest.fixture
def preferences(tmp_path: Path) -> Iterator[Preferences]:
    database = Database(database_url(tmp_path))
    database.create_tables()
    yield Preferences(database)
    database.close()


@pytest.fixture
def store(preferences: Preferences, tmp_path: Path) -> SecretStore:
    return SecretStore(preferences, SecretBox(tmp_path))


def test_a_secret_is_for_its_place_alone(store: SecretStore, tmp_path: Path) -> None:
    """The key of one server is not found for another one, and no file has it."""
    store.set("chat server key", MARK, "http://a/v1")
    assert store.get("chat server key", "The key", "http://a/v1") == MARK
    assert store.get("chat server key", "The key", "http://b/v1") == ""
    assert store.has("chat server key", "http://a/v1")
    assert not store.has("chat server key")
    assert store.names() == {"chat server key": "http://a/v1"}
    assert [path.name for path in tmp_path.iterdir() if MARK.encode() in path.read_bytes()] == []
    assert store.remove("chat server key")
    assert not store.remove("chat server key")
    assert store.get("chat server key", "The key", "http://a/v1") == ""


def test_an_entry_that_was_given_another_place_does_not_open(store: SecretStore, preferences: Preferences) -> None:
    """Somebody who can write to the database could else have the key sent to a server of theirs."""
    store.set("chat server key", MARK, "http://a/v1")
    stored = preferences.get("secrets")
    assert stored is not None
    stored["chat server key"]["place"] = "http://evil/v1"
    preferences.set("secrets", stored)
    with pytest.raises(UnreadableSecretError, match="belongs to something else"):
        store.get("chat server key", "The key", "http://evil/v1")


def test_all_are_encrypted_anew_with_the_first_key(
    store: SecretStore, preferences: Preferences, tmp_path: Path
) -> None:
    """Those that cannot be decrypted are named and stay; nothing is written where nothing changes."""
    box = SecretBox(tmp_path)
    store.set("one", MARK)
    store.set("two", MARK, "place")
    stored = preferences.get("secrets")
    assert stored is not None
    preferences.set("secrets", stored | {"lost": {"sealed": "v1.abc.AAAA", "place": ""}})
    failed: list[str] = []
    assert store.reseal(failed=failed.append) == 0
    box.add_key()
    assert store.reseal() == 2
    box.drop_old_keys()
    assert (store.get("one", "It"), store.get("two", "It", "place")) == (MARK, MARK)
    assert failed == ["lost"]
    assert "lost" in store.names()


def test_a_new_secret_in_place_of_one_whose_key_is_lost(store: SecretStore, tmp_path: Path) -> None:
    """That is what people are told to do."""
    store.set("one", MARK)
    (tmp_path / KEY_FILE).unlink()
    with pytest.raises(UnreadableSecretError):
        store.get("one", "It")
    store.set("one", MARK + "2")
    assert store.get("one", "It") == MARK + "2"
