from __future__ import annotations

from services.knowledge.formats.pdf.pdf_scans import lines_in_order, page_text
from services.knowledge.recognition.recognized import RecognizedLine, RecognizedPicture, WordBox


def line(text: str, left: float, top: float, width: float = 400, height: float = 30) -> RecognizedLine:
    box = WordBox(left, top, left + width, top + height)
    return RecognizedLine(text, 0.99, box, box)


def picture(*lines: RecognizedLine) -> RecognizedPicture:
    return RecognizedPicture(1240, 1754, lines)


def test_two_columns_are_read_one_after_the_other() -> None:
    """Sorted by height alone, the lines of both columns would be mixed."""
    left = [line(f"left {number}", 100, 300 + 40 * number) for number in range(8)]
    right = [line(f"right {number}", 600, 310 + 40 * number) for number in range(8)]
    found = picture(line("A heading over both columns", 100, 200, 900), *right, *left)
    assert [each.text for each in lines_in_order(found)] == [
        "A heading over both columns",
        *(f"left {number}" for number in range(8)),
        *(f"right {number}" for number in range(8)),
    ]


def test_what_runs_over_columns_parts_them() -> None:
    """A heading in the middle of the page belongs between the columns above it and those below."""
    lines = []
    for top, name in ((100, "upper"), (700, "lower")):
        for number in range(5):
            lines.append(line(f"{name} left {number}", 100, top + 40 * number))
            lines.append(line(f"{name} right {number}", 600, top + 40 * number))
    lines.append(line("Over the whole page in the middle", 100, 500, 900))
    texts = [each.text for each in lines_in_order(picture(*lines))]
    assert texts[:5] == [f"upper left {number}" for number in range(5)]
    assert texts.index("Over the whole page in the middle") == 10
    assert texts[-5:] == [f"lower right {number}" for number in range(5)]


def test_rows_of_a_table_stay_together() -> None:
    """Cells beside each other are a row, not columns of text: each fee stays with its berth."""
    rows = [("Berth", "Fee", "Power"), ("North", "142", "yes"), ("East", "211", "no"), ("Visitor", "96", "no")]
    cells = [
        line(cell, 100 + 350 * column, 200 + 50 * row, width=16 * len(cell))
        for row, texts in enumerate(rows)
        for column, cell in enumerate(texts)
    ]
    text = page_text(picture(*cells))
    assert "| East | 211 | no |" in text.splitlines(), text


def test_paragraphs_are_parted_and_hyphens_joined() -> None:
    """A gap between lines ends a paragraph; a word parted at a line's end is one word."""
    found = picture(
        line("The harbour was rebuilt after the great win-", 100, 100),
        line("ter storm of 1987.", 100, 140),
        line("Since then it has two basins.", 100, 180),
        line("Another paragraph.", 100, 320),
    )
    assert page_text(found) == (
        "The harbour was rebuilt after the great winter storm of 1987.\nSince then it has two basins."
        "\n\nAnother paragraph."
    )


def test_a_page_without_lines_has_no_text() -> None:
    """Nothing found is nothing, not an error."""
    assert page_text(picture()) == ""
