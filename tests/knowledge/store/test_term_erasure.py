from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.core.database import Database
from services.knowledge.embedding import Embedder
from services.knowledge.store import lexical as lexical_store
from services.knowledge.store import term_erasure
from services.knowledge.store.lexical import LexicalStore
from services.knowledge.store.term_erasure import TermErasure
from tests.databases import Engine
from tests.knowledge.stores import IndexedStore

WORD = "zqxwvutermmarker"


def terms_left(database: Database) -> int:
    """Return in how many records of the lexical index the end of the word is; its beginning may be shared."""
    blocks = "SELECT count(*) FROM chunk_terms_data WHERE instr(block, CAST(:word AS BLOB)) > 0"
    rows = "SELECT count(*) FROM chunk_vocabulary WHERE strpos(term, :word) > 0"
    with database.read() as connection:
        query = sa.text(blocks if connection.dialect.name == "sqlite" else rows)
        return int(connection.scalar(query, {"word": WORD[3:]}) or 0)


@pytest.fixture
def store(tmp_path: Path, embedder: Embedder) -> Iterator[IndexedStore]:
    store = IndexedStore(tmp_path, embedder)
    yield store
    store.close()


def test_terms_of_deleted_chunks_leave_the_lexical_index(
    store: IndexedStore, both_engines: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FTS5 keeps them, with a record that they are gone: a rare word stayed readable in the file."""
    monkeypatch.setattr(term_erasure, "_PAGES", 1)  # many short transactions
    for number in range(20):
        store.add(f"other {number}", [f"pumps and seals, page {number}"])
    store.add("secret", [f"the {WORD} of the pump", "seals"])
    erasure = TermErasure(store.database)
    assert erasure.erase()
    store.delete("secret")
    if both_engines is Engine.SQLITE:
        assert terms_left(store.database) > 0
        assert not erasure.erase(lambda: True)
    assert erasure.erase()
    assert terms_left(store.database) == 0
    lexical = LexicalStore(store.database)
    assert lexical.frequencies(["pump", WORD])[WORD] == 0
    assert len(lexical.search(["pump"], 50)) == 20


def test_what_was_deleted_before_a_kill_is_erased_after_it(store: IndexedStore) -> None:
    """How much is to be erased is counted in the deletion's own transaction."""
    TermErasure(store.database)
    store.add("secret", [f"the {WORD} of the pump"])
    store.delete("secret")
    assert TermErasure(store.database).erase()
    assert terms_left(store.database) == 0
    assert TermErasure(store.database).erase(pytest.fail)


def test_a_deleted_word_is_not_offered_for_a_typing_error(store: IndexedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts of frequent words may be old; a name that was deleted must not come back as a correction."""
    monkeypatch.setattr(lexical_store, "_FREQUENT", 2)
    store.add("secret", [f"{WORD} number {number}" for number in range(3)])
    store.add("other", [f"text {number} of another subject" for number in range(90)])
    lexical = LexicalStore(store.database)
    assert lexical.nearest(WORD[:-1]) == WORD
    store.delete("secret")
    assert lexical.frequencies([WORD]) == {WORD: 3}, "the count is no longer old: this test shows nothing"
    assert lexical.nearest(WORD[:-1]) is None
