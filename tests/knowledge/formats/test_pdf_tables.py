"""Tables of PDFs keep their rows together: 20 tables of eight programs in two languages, and what is no table."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.lib.utils import simpleSplit
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate, Paragraph, SimpleDocTemplate, Table

from services.app.startup import Application
from services.chat.types import Finished, MessageRole
from services.core.actor import SERVICE
from services.core.settings import Settings
from services.knowledge.parsing.results import ParsedFile
from tests.knowledge.corpora import PAIRS
from tests.knowledge.formats.table_contents import TABLES
from tests.knowledge.formats.table_pdfs import table_pdfs

Parse = Callable[..., ParsedFile]
PDFS = table_pdfs()
DEADLINE_SECONDS = 90


def paragraphs(count: int) -> list[str]:
    """Return paragraphs of ten sentences each, every one in an order of its own."""
    sentences = [sentence for pair in PAIRS["LATIN"] for sentence in pair]
    return [" ".join(Random(number).sample(sentences, 10)) for number in range(count)]


def squeezed(text: str) -> str:
    return "".join(text.split())


def drawn(draw: Callable[[Canvas], Any]) -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out, invariant=1)
    draw(canvas)
    canvas.save()
    return out.getvalue()


def table_lines(found: ParsedFile) -> list[str]:
    return [line for section in found.sections for line in section.text.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_keeps_its_rows_and_its_header(parse: Parse, name: str) -> None:
    """Each row is one line of cells, the header stands above them, and the paragraphs around are whole."""
    content = TABLES[name]
    found = parse(PDFS[name], f"{name}.pdf")
    text = "\n".join(section.text for section in found.sections)
    lines = [squeezed(line) for line in table_lines(found)]
    rows = ["|" + "|".join(squeezed(cell) for cell in row) + "|" for row in (content.header, *content.rows)]
    assert [line for line in lines if "---" not in line] == rows
    assert lines[1] == "|" + "---|" * len(content.header)
    if name not in {"sales", "gauges"}:  # these pages have the table alone
        assert squeezed(content.before) in squeezed(text)
        assert squeezed(content.after) in squeezed(text)


def test_a_question_for_a_cell_is_answered_from_its_row(tmp_path: Path) -> None:
    """Of 40 questions at least 36 are answered with the row that they name, without a language model."""
    with Application(Settings(data_dir=tmp_path, answer_cache_mb=0)) as services:
        for name, data in PDFS.items():
            services.library.add(SERVICE, io.BytesIO(data), f"{name}.pdf")
        deadline = time.monotonic() + DEADLINE_SECONDS
        while services.library.counts(SERVICE).jobs_unfinished:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        services.retriever.measure_trust()
        missed = []
        for content in TABLES.values():
            for question, key, value in content.questions:
                stream = services.answers.complete(SERVICE, [(MessageRole.USER, question)])
                answer = next(event.message.text for event in stream if isinstance(event, Finished))
                rows = (squeezed(line) for line in answer.splitlines())
                if not any(squeezed(key) in row and squeezed(value) in row for row in rows):
                    missed.append(question)
    assert len(missed) <= 4, missed


def test_a_table_over_pages_keeps_its_header(parse: Parse) -> None:
    """The rows on the next pages get the header of the first one, so that each chunk can repeat it."""
    out = io.BytesIO()
    rows = [[f"Valve {number}", f"V-{number:03}", f"{number * 1.5:.2f}"] for number in range(1, 101)]
    SimpleDocTemplate(out).build([Table([["Name", "Number", "Price"], *rows])])
    found = parse(out.getvalue(), "valves.pdf")
    assert len(found.sections) > 1
    for section in found.sections:
        assert section.text.splitlines()[0] == "| Name | Number | Price |"
    assert "| Valve 100 | V-100 | 150.00 |" in found.sections[-1].text
    assert sum(line.startswith("| Valve") for line in table_lines(found)) == 100


def test_a_value_that_covers_several_rows_stands_in_each(parse: Parse) -> None:
    """A cell that reaches down over two rows belongs to both."""
    out = io.BytesIO()
    cells = [
        ["Hall", "Day", "Opens"],
        ["North", "Monday", "8:00"],
        ["", "Tuesday", "9:30"],
        ["South", "Monday", "10:15"],
    ]
    grid = ("GRID", (0, 0), (-1, -1), 1, "black")
    SimpleDocTemplate(out).build(
        [Table(cells, style=[grid, ("SPAN", (0, 1), (0, 2)), ("VALIGN", (0, 1), (0, 2), "MIDDLE")])]
    )
    lines = table_lines(parse(out.getvalue(), "halls.pdf"))
    assert "| North | Monday | 8:00 |" in lines
    assert "| North | Tuesday | 9:30 |" in lines


def test_a_header_of_two_rows_is_one(parse: Parse) -> None:
    """A name over several columns stands before the names below it; a title over all of them is no header."""
    out = io.BytesIO()
    cells = [
        ["Price list", "", "", ""],
        ["Item", "Price", "", ""],
        ["", "2023", "2024", "2025"],
        ["Oats", "1.10", "1.20", "1.30"],
        ["Rye", "2.10", "2.20", "2.30"],
    ]
    spans = [("SPAN", (0, 0), (-1, 0)), ("SPAN", (1, 1), (3, 1)), ("SPAN", (0, 1), (0, 2))]
    SimpleDocTemplate(out).build([Table(cells, style=[("GRID", (0, 0), (-1, -1), 1, "black"), *spans])])
    (section,) = parse(out.getvalue(), "prices.pdf").sections
    assert section.text.splitlines() == [
        "Price list",
        "",
        "| Item | Price 2023 | Price 2024 | Price 2025 |",
        "| --- | --- | --- | --- |",
        "| Oats | 1.10 | 1.20 | 1.30 |",
        "| Rye | 2.10 | 2.20 | 2.30 |",
    ]


def placed(lines: Sequence[tuple[float, Sequence[str]]], *, by_column: bool = False) -> Callable[[Canvas], None]:
    """Return a function that draws cells at fixed places, lines at the given heights."""

    def draw(canvas: Canvas) -> None:
        cells = [
            (72 + 120 * column, height, cell) for height, line in lines for column, cell in enumerate(line) if cell
        ]
        for left, height, cell in sorted(cells, key=lambda one: (one[0], -one[1])) if by_column else cells:
            canvas.drawString(left, height, cell)

    return draw


def test_columns_of_cells_drawn_one_after_another_are_rows(parse: Parse) -> None:
    """Grades of one letter below each other are cells of three rows, and not one word."""
    lines = [
        (700, ("Name", "Grade", "Points")),
        (680, ("Anna", "A", "91")),
        (660, ("Boris", "C", "64")),
        (640, ("Chen", "B", "78")),
    ]
    found = parse(drawn(placed(lines, by_column=True)), "grades.pdf")
    assert table_lines(found)[2:] == ["| Anna | A | 91 |", "| Boris | C | 64 |", "| Chen | B | 78 |"]


def test_lines_of_a_cell_drawn_line_by_line_are_one_cell(parse: Parse) -> None:
    """Lines that are closer to each other than rows are belong to the row above."""
    lines = [
        (700, ("Code", "Meaning", "Remedy")),
        (678, ("E1", "Pump does not", "Check the fuse")),
        (664, ("", "start at all", "and replace it")),
        (642, ("E2", "Leak in the", "Tighten the")),
        (628, ("", "lower hose", "clamp")),
    ]
    assert table_lines(parse(drawn(placed(lines)), "codes.pdf"))[2:] == [
        "| E1 | Pump does not start at all | Check the fuse and replace it |",
        "| E2 | Leak in the lower hose | Tighten the clamp |",
    ]


def test_two_tables_with_a_line_between_are_two(parse: Parse) -> None:
    """A letter's particulars and its table of items have columns of their own, although little is between them."""
    lines = [
        (700, ("Date", "3 May 2026")),
        (684, ("Customer", "48812")),
        (668, ("Dear Ms Lee,",)),
        (652, ("we charge you as follows:",)),
        (636, ("Work", "", "Hours", "Amount")),
        (620, ("Visit", "", "3", "1,200.00")),
        (604, ("Report", "", "1", "340.00")),
    ]
    canvas = placed([(height, line) for height, line in lines])
    text = parse(drawn(canvas), "bill.pdf").sections[0].text
    assert "Dear Ms Lee,\nwe charge you as follows:" in text
    assert "| Work | Hours | Amount |\n| --- | --- | --- |\n| Visit | 3 | 1,200.00 |" in text
    assert "Date" in text.split("Dear")[0]
    assert "3 May 2026" in text.split("Dear")[0]


def test_a_table_on_a_turned_page_is_a_table(parse: Parse) -> None:
    """What counts is how the page is shown."""

    def draw(canvas: Canvas) -> None:
        canvas.rotate(90)
        for number, (part, price) in enumerate(
            [("Part", "Price"), ("Bolt", "1.20"), ("Washer", "0.15"), ("Nut", "0.30")]
        ):
            canvas.drawString(100, -100 - 20 * number, part)
            canvas.drawString(300, -100 - 20 * number, price)
        canvas.setPageRotation(90)

    assert "| Washer | 0.15 |" in table_lines(parse(drawn(draw), "turned.pdf"))


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_prose_is_no_table(parse: Parse, columns: int) -> None:
    """Justified paragraphs, however narrow their columns and wide their gaps, stay text in the order of reading."""
    style = getSampleStyleSheet()["BodyText"]
    style.alignment = 4
    prose = paragraphs(20)
    width = 500 / columns
    out = io.BytesIO()
    document = BaseDocTemplate(out)
    frames = [Frame(50 + number * width, 50, width - 10, 740) for number in range(columns)]
    document.addPageTemplates([PageTemplate(frames=frames)])
    document.build([Paragraph(text, style) for text in prose])
    found = parse(out.getvalue(), "prose.pdf")
    assert table_lines(found) == []
    text = squeezed("".join(section.text for section in found.sections))
    assert squeezed(prose[3]) in text


def test_columns_drawn_line_by_line_are_read_one_after_another(parse: Parse) -> None:
    """Some programs draw the lines of both columns side by side; the sentences are put together again."""
    left = simpleSplit(" ".join(paragraphs(8)[:4]), "Helvetica", 10, 230)[:40]
    right = simpleSplit(" ".join(paragraphs(8)[4:]), "Helvetica", 10, 230)[:40]

    def draw(canvas: Canvas) -> None:
        canvas.setFont("Helvetica", 10)
        for number, (one, other) in enumerate(zip(left, right, strict=False)):
            canvas.drawString(50, 780 - 13 * number, one)
            canvas.drawString(310, 780 - 13 * number, other)

    (section,) = parse(drawn(draw), "columns.pdf").sections
    lines = min(len(left), len(right))
    assert squeezed(section.text) == squeezed("".join(left[:lines]) + "".join(right[:lines]))


def test_lists_and_contents_are_no_tables(parse: Parse) -> None:
    """Items behind numbers or bullets, and a table of contents with dots, stay as they are."""

    def draw(canvas: Canvas) -> None:
        for number in range(1, 6):
            canvas.drawString(72, 780 - 16 * number, f"{number}.")
            canvas.drawString(102, 780 - 16 * number, f"Item with some words, the one of number {number}")
            canvas.drawString(72, 600 - 16 * number, f"Chapter {number} {'. ' * 40}")
            canvas.drawString(480, 600 - 16 * number, str(number * 7))

    assert table_lines(parse(drawn(draw), "list.pdf")) == []


@pytest.mark.parametrize("rows", [90, 300])
def test_a_page_full_of_lines_and_words_is_read_in_time(parse: Parse, rows: int) -> None:
    """Thousands of small strings among thousands of lines take seconds at most; none is lost."""

    def draw(canvas: Canvas) -> None:
        canvas.setFont("Helvetica", 2)
        for row in range(rows):
            for column in range(100):
                canvas.drawString(5 + 5.8 * column, 830 - 2.7 * row, f"{(row * 7 + column) % 10}{column % 10}")
        for number in range(3000):
            canvas.line(5, number / 4, 590, number / 4)
            canvas.line(number / 6, 5, number / 6, 800)

    data = drawn(draw)
    start = time.monotonic()
    found = parse(data, "crowded.pdf")
    assert time.monotonic() - start < 20
    assert sum(character.isdigit() for section in found.sections for character in section.text) == rows * 200
    assert [kind for kind, _count, _place in found.notes] == (["crowded_pages"] if rows == 300 else [])
