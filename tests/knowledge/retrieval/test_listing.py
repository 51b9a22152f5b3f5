from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.knowledge.retrieval.listing import best_list
from services.knowledge.types import Chunk

HEAD = "| Code | Meaning |\n| --- | --- |\n"


def chunk(position: int, text: str, heading: tuple[str, ...] = ("Dishwasher: manual",)) -> Chunk:
    return Chunk(
        id=position,
        document_id=1,
        document="dishwasher.md",
        position=position,
        text=text,
        tokens=20,
        page=None,
        sheet="",
        heading=heading,
    )


def idf(words: Iterable[str]) -> Mapping[str, float]:
    return dict.fromkeys(words, 1.0)


def test_a_table_that_goes_on_in_the_next_chunk_is_one() -> None:
    """The second chunk has the header row, but not the title that stands above the first."""
    chunks = [
        chunk(0, f"5 Error codes\n\n{HEAD}| E01 | No water |\n| E04 | Water in the tray |"),
        chunk(1, f"{HEAD}| E22 | Door not closed |\n\nCall customer service for all others."),
    ]
    found = best_list("error codes", chunks, idf)
    assert found is not None
    assert found.entries == 3
    assert "E22" in found.shown
    assert found.title == "5 Error codes"


def test_tables_under_other_headings_are_others() -> None:
    """The same header row says nothing where something else stands between, or a new part begins."""
    first = chunk(0, f"5 Error codes\n\n{HEAD}| E01 | No water |\n| E04 | Water in the tray |")
    for second in (
        chunk(1, f"{HEAD}| P1 | Eco |\n| P2 | Quick |", ("Dishwasher: manual", "Programmes")),
        chunk(1, f"All others are rare.\n\n{HEAD}| P1 | Eco |\n| P2 | Quick |"),
    ):
        found = best_list("error codes", [first, second], idf)
        assert found is not None
        assert found.entries == 2
