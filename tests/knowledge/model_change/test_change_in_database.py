"""The embedding model is changed where PostgreSQL searches the vectors: beside, then all at once, as in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.core.actor import SERVICE
from services.knowledge.vector_search.database_index import DatabaseIndex
from tests.databases import Engine, engine_in_use
from tests.knowledge.model_change.ponds import SMALL, Pond, about, held_back
from tests.servers import eventually

SEARCHED = {"vector_search": "database"}


@pytest.fixture(autouse=True)
def _over_postgresql() -> Iterator[None]:
    with engine_in_use(Engine.POSTGRESQL):
        yield


def tables(pond: Pond) -> set[str]:
    query = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename LIKE 'chunk_search%'"
    with pond.database.read() as connection:
        return set(connection.execute(sa.text(query)).scalars())


def cosines(pond: Pond, subject: str) -> list[tuple[int, float]]:
    """Return what is found with its cosines: scores depend on when the library was measured."""
    return [(chunk, dense) for chunk, _score, dense in pond.found([subject])[0]]


def serving_table(pond: Pond) -> str:
    index = pond.knowledge.index.index
    assert isinstance(index, DatabaseIndex)
    return index.table.name


def test_results_are_those_of_an_index_in_memory(tmp_path: Path) -> None:
    """Chunks, scores and cosines of whole questions; and what was taken in over an index in memory is found, too."""
    with Pond(tmp_path / "data", **SEARCHED) as pond:
        pond.fill()
        searched = pond.found()
        assert any(hit[2] is not None for hits in searched for hit in hits)
    with Pond(tmp_path / "data") as pond:
        assert pond.found() == searched
        pond.add("comets.txt", about("comets", 3))
        found = cosines(pond, "comets")
    with Pond(tmp_path / "data", **SEARCHED) as pond:
        assert cosines(pond, "comets") == found
        # Read again into other chunks: the vectors of those before are gone, the new ones are there.
        document = pond.knowledge.library.documents(SERVICE)[0]
        pond.knowledge.library.jobs.rechunk(SERVICE, [document.id], 30, 0)
        assert pond.knowledge.ingestion.wait_idle(60)
        assert pond.rows(serving_table(pond)) == pond.rows("chunks")


def test_a_change_answers_all_the_while_and_leaves_one_table(
    tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dense search fails during a change, misses new documents after it, or the table before stays."""
    with Pond(tmp_path / "data", **SEARCHED) as pond:
        pond.fill(3)
        before, first = pond.found(), serving_table(pond)
    with held_back(monkeypatch) as gate, Pond(tmp_path / "data", str(small), **SEARCHED) as pond:
        gate.permit(2)
        eventually(lambda: pond.status().done == 8, what="two batches")
        assert pond.found() == before
        pond.add("comets.txt", about("comets", 3))
        assert pond.found(["comets"])[0][0][2] is not None
        gate.open()
        pond.changed()
        assert pond.serving.files.name == SMALL
        assert tables(pond) == {serving_table(pond)} != {first}
        assert pond.rows(serving_table(pond)) == pond.rows("chunks")
        pond.add("meteors.txt", about("meteors", 3))
        assert pond.rows(serving_table(pond)) == pond.rows("chunks")
        after = pond.found()
        assert after != before
        assert all(hits[0][2] is not None for hits in after)
    with Pond(tmp_path / "data", str(small), **SEARCHED) as pond:
        assert pond.found() == after
        assert tables(pond) == {serving_table(pond)}
