from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.core.errors import TooLargeError
from services.knowledge.formats.sheets.table_layout import Area, table_sections
from services.knowledge.formats.sheets.table_rows import MAX_CELLS, Row, is_number

WORDS = ("word", "17", "2025", "3.5 %", "long text " * 12, "Total:", "2026-03-09")
GRIDS = st.dictionaries(
    st.tuples(st.integers(1, 14), st.integers(0, 8)), st.sampled_from(WORDS), min_size=1, max_size=60
)
AREAS = st.lists(
    st.builds(
        lambda top, left, high, wide, header: Area("T", top, top + high, left, left + wide, header),
        st.integers(1, 10), st.integers(0, 6), st.integers(0, 5), st.integers(0, 3), st.integers(0, 1),
    ),
    max_size=1,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(GRIDS, AREAS, st.booleans())
@example({(1, 0): "word", (1, 7): "word", (1, 8): "word", (2, 1): "word", (2, 7): "word", (4, 0): "word"}, [], True)
def test_no_cell_is_lost(grid: dict[tuple[int, int], str], areas: list[Area], side_by_side: bool) -> None:
    """Whatever stands where on a sheet, with tables by name and without: each cell is in the sections."""
    rows: dict[int, dict[int, str]] = {}
    for (number, column), text in sorted(grid.items()):
        rows.setdefault(number, {})[column] = f"c{number}x{column} {text}"
    made = (Row(number, dict(cells)) for number, cells in rows.items())
    text = "\n".join(section.text for section in table_sections(made, "S", areas=areas, side_by_side=side_by_side))
    for number, column in grid:
        assert text.count(f"c{number}x{column} ") >= 1, text


@pytest.mark.parametrize(
    "text", ["17", "-3.5", "1,234.50", "15 %", "(120)", "€ 5", "12 kg", "2026-03-09", "07:30", "1e-5"]
)
def test_what_counts_as_a_number(text: str) -> None:
    """Amounts, shares, dates and times are data, not names of columns."""
    assert is_number(text)
    assert not is_number(f"No. {text} in the list")


def test_only_filled_cells_count() -> None:
    """The limit is for cells that are filled."""
    list(table_sections(Row(number, {0: "x"}) for number in range(1, 100_000, 7)))
    with pytest.raises(TooLargeError, match="cells"):
        list(table_sections([Row(1, dict.fromkeys(range(MAX_CELLS + 1), "x"))]))
