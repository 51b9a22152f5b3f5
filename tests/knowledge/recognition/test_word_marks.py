from __future__ import annotations

import pytest

from services.knowledge.recognition.recognized import (
    SCALE,
    RecognizedWord,
    WordBox,
    packed_words,
    unpacked_words,
)
from services.knowledge.recognition.word_marks import marks


def words(*lines: str) -> list[RecognizedWord]:
    """Return words of 1000 units in lines of 500 units."""
    return [
        RecognizedWord(word, WordBox(1000 * column, 500 * row, 1000 * column + 900, 500 * row + 400))
        for row, line in enumerate(lines)
        for column, word in enumerate(line.split())
    ]


def test_words_that_follow_each_other_are_one_box_a_line() -> None:
    """A quote over two lines is marked on both, and only there."""
    page = words("Leave that was not", "taken is lost.")
    found = marks(page, ["not taken"])
    assert found == [(0.3, 0.0, 0.39, 0.04), (0.0, 0.05, 0.09, 0.09)]
    assert marks(page, ["leave that"]) == [(0.0, 0.0, 0.19, 0.04)]


def test_parts_of_words_are_not_marked() -> None:
    """ "art" is no word of "artist"."""
    assert marks(words("The artist paints"), ["art"]) == []


def test_characters_without_blanks_are_found_anywhere() -> None:
    """Chinese has no word borders."""
    page = [
        RecognizedWord(sign, WordBox(500 * at, 0, 500 * at + 480, 400)) for at, sign in enumerate("员工年假为十五天")
    ]
    assert marks(page, ["年假"]) == [(pytest.approx(0.1), 0.0, pytest.approx(0.198), 0.04)]


def test_a_quote_of_which_a_part_is_on_another_page_is_marked_by_clauses() -> None:
    """A chunk that goes on over the page's end shows what is here."""
    page = words("The gate opens at nine.")
    assert marks(page, ["The gate opens at nine. It closes at five on the next page."])


def test_a_row_of_a_table_is_marked_cell_by_cell() -> None:
    """The bars of a table are not on the page."""
    page = words("Berth Fee", "North 142", "East 211")
    assert len(marks(page, ["| East | 211 |"])) >= 1
    assert all(top >= 1000 / SCALE for _left, top, _right, _bottom in marks(page, ["| East | 211 |"]))


def test_words_survive_being_kept() -> None:
    """What comes out of the database is what went in."""
    page = words("Gates öffnen um neun", "员 工")
    assert unpacked_words(packed_words(page)) == page
