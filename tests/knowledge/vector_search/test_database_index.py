"""PostgreSQL searches the vectors: the same as in RAM, with rights as conditions, and what changes is true at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from services.app.tables import import_tables
from services.core.database import Database
from services.knowledge.index import VectorIndex
from services.knowledge.store.chunks import Vectors
from services.knowledge.store.deletions import delete
from services.knowledge.store.tables import documents
from services.knowledge.vector_search.database_index import LEAST_CANDIDATES, DatabaseIndexManager
from tests.databases import Engine, database_url, engine_in_use
from tests.knowledge.vector_search.clustered import (
    DIMENSION,
    MODEL,
    Changed,
    add_collections,
    add_document,
    clustered,
    nearest,
)

CHUNKS, PER_DOCUMENT = 1200, 10
HITS = 10


class Filled:
    """A database with documents in three collections, the third of which has one document in a hundred."""

    def __init__(self, folder: Path) -> None:
        import_tables()
        with engine_in_use(Engine.POSTGRESQL):
            self.database = Database(database_url(folder))
        self.database.create_tables()
        self.collections = add_collections(self.database, "most", "some", "few")
        self.vectors: dict[int, Vectors] = {}
        self.of: dict[int, int] = {}  # the collection of each chunk
        self.documents: dict[int, list[int]] = {}
        made = clustered(CHUNKS)
        with self.database.write() as connection:
            for number in range(CHUNKS // PER_DOCUMENT):
                part = made[number * PER_DOCUMENT : (number + 1) * PER_DOCUMENT]
                group = self.collections[2 if number == 50 else number % 2]
                switch = add_document(connection, part, group)
                self.documents[switch.document_id] = switch.added.tolist()
                self.vectors |= dict(zip(switch.added.tolist(), part, strict=True))
                self.of |= dict.fromkeys(switch.added.tolist(), group)

    def manager(self, exact_vectors: int = 0, model: str = MODEL) -> DatabaseIndexManager:
        """Return one that is started; with 0 the index is asked wherever there is more than its root."""
        manager = DatabaseIndexManager(
            self.database, dimension=DIMENSION, fingerprint=model, exact_vectors=exact_vectors
        )
        manager.start()
        return manager

    def among(self, *groups: int) -> list[int]:
        return [chunk for chunk, group in self.of.items() if group in groups]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    filled = Filled(tmp_path_factory.mktemp("filled"))
    yield filled
    filled.database.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Filled]:
    """One whose documents a test changes."""
    filled = Filled(tmp_path)
    yield filled
    filled.database.close()


@pytest.fixture
def by_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have few vectors be enough for the index to be asked."""
    monkeypatch.setattr("services.knowledge.vector_search.database_index.EXACT_ROOTS", 0)


def queries(count: int = 20) -> Vectors:
    return clustered(count, seed=9)


def test_all_vectors_are_compared_where_they_are_few(filled: Filled) -> None:
    """The same ids as in RAM, and scores equal to those of the float32 vectors but for the halves' last digit."""
    index = filled.manager(exact_vectors=4000).index
    in_ram = VectorIndex(DIMENSION)
    ids = np.array(list(filled.vectors), np.int64)
    in_ram.add(ids, np.stack(list(filled.vectors.values())), np.array([filled.of[each] for each in ids.tolist()]))
    for query in queries():
        found, scores = index.search(query, HITS)
        assert found.tolist() == nearest(query, filled.vectors, HITS, filled.vectors)
        np.testing.assert_allclose(scores, [filled.vectors[each] @ query for each in found.tolist()], atol=1e-3)
        rough, rough_scores = in_ram.search(query, 4 * HITS)
        assert set(found.tolist()) <= set(rough.tolist())
        np.testing.assert_allclose(scores, rough_scores[:HITS], atol=2e-2)
    assert len(index) == len(in_ram) == CHUNKS


@pytest.mark.usefixtures("by_the_index")
def test_the_index_finds_nearly_all(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what an exact comparison finds; fails if the planner sorts instead of asking the index, too."""
    index = filled.manager().index
    asked: list[int] = []
    search = index.table.search
    monkeypatch.setattr(
        index.table,
        "search",
        lambda *args, candidates: (asked.append(candidates), search(*args, candidates=candidates))[1],
    )
    right = 0
    for query in queries():
        found, scores = index.search(query, HITS)
        right += len(set(found.tolist()) & set(nearest(query, filled.vectors, HITS, filled.vectors)))
        assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    assert right >= 0.99 * HITS * len(queries())
    assert asked == [LEAST_CANDIDATES] * len(queries())


@pytest.mark.usefixtures("by_the_index")
def test_the_planner_takes_the_index(filled: Filled) -> None:
    """It would compare a million vectors for each question."""
    index = filled.manager().index
    plans: list[str] = []

    @sa.event.listens_for(filled.database.engine, "before_cursor_execute", retval=True)
    def explain(_connection: object, cursor: object, statement: str, parameters: object, *_more: object) -> object:
        if "<#>" in statement:
            cursor.execute(f"EXPLAIN {statement}", parameters)  # type: ignore[attr-defined]
            plans.append("\n".join(row[0] for row in cursor.fetchall()))  # type: ignore[attr-defined]
        return statement, parameters

    try:
        index.search(queries(1)[0], HITS, filled.collections[:2])
    finally:
        sa.event.remove(filled.database.engine, "before_cursor_execute", explain)
    assert "_hnsw" in plans[0]
    assert "Sort" not in plans[0]


@pytest.mark.parametrize("exact_vectors", [0, 4000])
@pytest.mark.usefixtures("by_the_index")
def test_collections_are_conditions(filled: Filled, exact_vectors: int) -> None:
    """Also where less than one in a hundred may be read: what is found is what there is, however far it is."""
    index = filled.manager(exact_vectors).index
    few = filled.among(filled.collections[2])
    for query in queries():
        found, _scores = index.search(query, HITS, [filled.collections[2]])
        assert found.tolist() == nearest(query, filled.vectors, HITS, few)
        found, _scores = index.search(query, HITS, filled.collections[1:])
        assert {filled.of[each] for each in found.tolist()} <= {*filled.collections[1:]}
        assert len(found) == HITS
    assert index.search(queries(1)[0], HITS, [])[0].tolist() == []
    assert index.search(queries(1)[0], HITS, [99])[0].tolist() == []


@pytest.mark.parametrize("exact_vectors", [0, 4000])
@pytest.mark.usefixtures("by_the_index")
def test_what_changes_is_true_with_its_commit(own: Filled, exact_vectors: int) -> None:
    """Before anybody has followed the change: what is disabled, moved, or deleted is not found, what is new is."""
    index = own.manager(exact_vectors).index
    document, chunks = next(iter(own.documents.items()))
    query = own.vectors[chunks[0]]
    first, second = own.collections[:2]
    assert index.search(query, 1)[0].tolist() == chunks[:1]

    def change(**values: object) -> None:
        with own.database.write() as connection:
            connection.execute(documents.update().where(documents.c.id == document).values(**values))

    change(enabled=False)
    assert not {*index.search(query, 50)[0].tolist()} & {*chunks}
    change(enabled=True, collection_id=second)
    assert chunks[0] not in index.search(query, 50, [first])[0].tolist()
    assert index.search(query, 1, [second])[0].tolist() == chunks[:1]
    with own.database.write() as connection:
        delete(connection, document)
        assert connection.exec_driver_sql(f"SELECT count(*) FROM {index.table.name}").scalar() == CHUNKS - PER_DOCUMENT
    assert not {*index.search(query, 50)[0].tolist()} & {*chunks}


def test_what_is_added_is_found_once_it_is_active(own: Filled) -> None:
    """What is hidden is written ahead, and is found by nobody before its revision answers."""
    manager = own.manager()
    vectors = clustered(30, seed=17)
    with own.database.write() as connection:
        hidden = add_document(connection, vectors[:15], own.collections[0], active=False)
        manager.store(connection, Changed(hidden=[hidden.added]))
    assert hidden.added[0] not in manager.index.search(vectors[0], 50)[0]
    with own.database.write() as connection:
        switch = add_document(connection, vectors[15:], own.collections[0])
        manager.store(connection, Changed(switches=[switch]))
    assert manager.index.search(vectors[15], 1)[0].tolist() == switch.added[:1].tolist()
    manager.apply(Changed(switches=[switch]))
    assert len(manager.index) == CHUNKS + 15


def test_what_is_rolled_back_is_not_there(own: Filled) -> None:
    """A row without its chunk would be found for ever."""
    manager = own.manager()

    def write() -> None:
        with own.database.write() as connection:
            switch = add_document(connection, clustered(3, seed=5), own.collections[0])
            manager.store(connection, Changed(switches=[switch]))
            raise LookupError

    with pytest.raises(LookupError):
        write()
    assert manager.index.table.rows() == CHUNKS


def test_a_start_goes_on_where_one_stopped(own: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill in the middle must not cost what is written, nor leave holes; nor a time without this search."""
    monkeypatch.setattr("services.knowledge.store.search_table.PORTION_CHUNKS", 50)
    monkeypatch.setattr("services.knowledge.vector_search.database_index._ENTER_SECONDS", 0)
    stages: list[str] = []

    class KilledError(Exception):
        pass

    def killed(stage: str) -> None:
        stages.append(stage)
        if len(stages) == 3:
            raise KilledError

    first = DatabaseIndexManager(own.database, dimension=DIMENSION, fingerprint=MODEL, enter=killed)
    with pytest.raises(KilledError):
        first.start()
    assert not first.ready
    assert stages[0].endswith(f"50 of {CHUNKS}")
    written: list[int] = []

    @sa.event.listens_for(own.database.engine, "before_cursor_execute")
    def count(_c: object, _cursor: object, statement: str, parameters: dict[str, list[int]], *_more: object) -> None:
        if statement.startswith("INSERT INTO chunk_search_"):
            written.append(len(parameters["ids"]))

    manager = own.manager()
    sa.event.remove(own.database.engine, "before_cursor_execute", count)
    assert sum(written) == CHUNKS - 150
    assert manager.index.table.rows() == CHUNKS
    assert manager.index.table.is_indexed
    with own.database.write() as connection:  # a node whose index is in RAM adds nothing to the table
        added = add_document(connection, clustered(3, seed=5), own.collections[0]).added
    assert own.manager().index.table.missing() == {}
    assert own.manager().index.search(clustered(3, seed=5)[0], 1)[0].tolist() == added[:1].tolist()


def test_vectors_of_another_model_are_left_out(own: Filled) -> None:
    """They cannot be compared; a warning says so."""
    with own.database.write() as connection:
        other = add_document(connection, clustered(4, 48, seed=5), own.collections[0], model="other-48")
    manager = own.manager()
    assert manager.index.table.rows() == CHUNKS
    assert not {*other.added.tolist()} & {*manager.index.search(queries(1)[0], CHUNKS + 4)[0].tolist()}
    assert manager.warnings == [
        "4 chunks were embedded by another model; only their words are searched until re-embedded."
    ]


def test_tables_of_models_that_are_gone_go(own: Filled) -> None:
    """A kill between a change of the model and its end would leave gigabytes."""
    before = own.manager().index.table.name
    after = own.manager(model="next-32").index.table.name
    with own.database.read() as connection:
        query = sa.text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        found = {name for name in connection.execute(query).scalars() if name.startswith("chunk_search")}
    assert found == {after} != {before}
