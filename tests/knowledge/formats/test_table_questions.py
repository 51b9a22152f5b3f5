from __future__ import annotations

from pathlib import Path

from services.core.actor import SERVICE
from services.knowledge.embedding import Embedder
from services.knowledge.retrieval import Retriever
from tests.knowledge.formats.table_set import tables
from tests.knowledge.library_harness import LibraryHarness

LEAST_SHARE = 0.9
ROOT = Path(__file__).resolve().parents[3]
PROSE = ("README.md", "CONTRIBUTING.md")


def test_questions_for_cells_are_answered_from_their_rows(tmp_path: Path, embedder: Embedder) -> None:
    """In tables of many shapes, beside prose, the row of the asked cell is in the first hit, and is what is quoted."""
    asked = found = quoted = 0
    misses: list[str] = []
    with LibraryHarness(tmp_path / "data", embedder) as harness:
        made = tables()
        for table in made:
            harness.add(table.name, table.data)
        for name in PROSE:
            harness.add(name, (ROOT / name).read_bytes())
        harness.idle()
        retriever = Retriever(harness.database, harness.chunks, embedder, harness.index_manager)
        retriever.measure_trust()
        for table in made:
            for question, key, answer in table.questions:
                result = retriever.search(SERVICE, question)
                first = retriever.quotes(question, result)[:1]
                in_row = any(key in line and answer in line for line in result.hits[0].text.split("\n"))
                said = any(key in (one.shown or one.text) and answer in (one.shown or one.text) for one in first)
                asked += 1
                found += in_row
                quoted += said
                if not (in_row and said):
                    misses.append(f"{table.name}: {question} {first}")
    assert len(made) >= 20
    assert asked >= 60
    assert found >= LEAST_SHARE * asked, misses
    assert quoted >= LEAST_SHARE * asked, misses
