"""Terms of older versions are made anew, whatever interrupts that."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from services.knowledge.store import term_version
from services.knowledge.store.lexical_index import lexical_index
from services.knowledge.store.tables import chunks, counters, revisions
from services.knowledge.store.term_version import TermRebuild
from services.knowledge.text.terms import TERMS_VERSION, query_terms
from tests.knowledge.encoders import Multilingual
from tests.knowledge.stores import IndexedStore, check_terms


def with_old_terms(folder: Path) -> IndexedStore:
    """A store whose terms another version made: traditional characters as they are, no dates."""
    store = IndexedStore(folder, Multilingual())
    for number in range(5):
        store.add(f"hours {number}", [f"圖書館開放時間 {number}", f"On 9 March 2026 the ＭＩＬＬ {number} opens."])
    with store.database.write() as connection:
        lexical_index(connection).remove(connection, sa.true(), {})
        connection.execute(chunks.update().where(chunks.c.text.like("圖%")).values(terms="圖書 書館 館開 開放"))
        connection.execute(chunks.update().where(chunks.c.text.like("On%")).values(terms="on 9 march 2026"))
        lexical_index(connection).add(connection, sa.true(), {})
        connection.execute(counters.delete().where(counters.c.name == "terms_version"))
    return store


def found(store: IndexedStore, question: str) -> int:
    return len(store.retriever.lexical.find(query_terms(question), 20))


def test_old_terms_are_made_anew(tmp_path: Path) -> None:
    """What the old terms did not find is found, the old terms are gone from the index, and it is sound."""
    store = with_old_terms(tmp_path)
    assert found(store, "图书馆") == 0
    rebuild = TermRebuild(store.database)
    assert rebuild.needed()
    assert rebuild.run(60)
    assert not rebuild.needed()
    assert found(store, "图书馆") == found(store, "圖書館") == 5
    assert len(store.retriever.lexical.find(["d20260309"], 20)) == 5
    assert store.retriever.lexical.find(["圖書"], 20) == {}
    with store.database.write() as connection:
        check_terms(connection)
    store.close()


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch) -> None:
    """After a kill between two batches nothing is lost or done twice, and the rest follows."""
    monkeypatch.setattr(term_version, "BATCH", 3)
    monkeypatch.setattr(term_version, "_CHUNKS", term_version._CHUNKS.limit(3))
    store = with_old_terms(tmp_path)
    turns = iter([False, False, True])
    assert not TermRebuild(store.database).run(60, cancelled=lambda: next(turns))
    assert 0 < found(store, "图书馆") < 5
    again = TermRebuild(store.database)
    assert again.needed()
    assert again.run(60)
    assert found(store, "图书馆") == 5
    with store.database.read() as connection:
        names = dict(connection.execute(sa.select(counters.c.name, counters.c.value)).all())
    assert names["terms_version"] == TERMS_VERSION
    assert "terms_position" not in names
    store.close()


def test_only_what_the_embedder_reads_differently_is_embedded_again(tmp_path: Path) -> None:
    """Vectors of texts in their usual width stay valid."""
    store = with_old_terms(tmp_path)
    store.add("plain", ["The mill by the pond was built in 1850。"])
    TermRebuild(store.database).run(60)
    with store.database.read() as connection:
        fingerprints = list(connection.execute(sa.select(revisions.c.fingerprint).order_by(revisions.c.id)).scalars())
    assert fingerprints == [""] * 5 + ["hashing"]
    store.close()


def test_an_empty_folder_needs_nothing(tmp_path: Path) -> None:
    """A new folder has the present version from the start."""
    store = IndexedStore(tmp_path, Multilingual())
    assert not TermRebuild(store.database).needed()
    store.add("plain", ["The mill by the pond."])
    assert not TermRebuild(store.database).needed()
    store.close()
