"""The text of a PDF page in reading order, its tables as lines of cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from services.knowledge.formats.pdf.pdf_grid import Grid
from services.knowledge.formats.pdf.pdf_page import Fonts, Word
from services.knowledge.formats.pdf.pdf_rows import WordRun, may_have_rows, rows_of, runs_of
from services.knowledge.formats.pdf.pdf_ruled import find_ruled_tables
from services.knowledge.formats.pdf.pdf_tables import Table, find_tables

# A table goes on over a page's end if no more than this stands between: footers, page numbers.
_MAX_BETWEEN = 160
_SAME_COLUMN = 6.0  # points by which its columns may be shifted
_DIGIT = re.compile(r"\d")
_NUMERIC = re.compile(r"[^\w\s]{0,3}\s?[+-]?\d[\d.,:/\s-]*\s?[^\W\d_]{0,4}[%‰°²³€$£¥)]{0,2}")
_SPACED = re.compile(r"\s+")
_UNSPACED = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef"
_UNSPACED_BREAK = re.compile(rf"(?<=[{_UNSPACED}])\n(?=[{_UNSPACED}])")


@dataclass(slots=True)
class OpenTable:
    """The table at the end of a page, which may go on on the next one; no header: there is none."""

    header: str = ""
    columns: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PageText:
    """A page's text, the words of it that are shown, its edges, and how its words were drawn.

    `is_exact`: all words are shown, and white space is between them.
    """

    text: str
    words: Sequence[Word]
    is_exact: bool
    grid: Callable[[], Grid]
    fonts: Fonts


def laid_out(page: PageText, open_table: OpenTable, clean: Callable[[str], str]) -> str:
    """Return a page's text, tables as rows of cells between bars; `open_table` is updated.

    Text outside tables stays as PDFium orders it, in the order in which it was drawn.
    """
    if not may_have_rows(page.words):
        open_table.header = ""
        return clean(_shown(page, 0, len(page.text)))
    tables = [table for table in _tables(page) if _holds_all(table, page.words)]
    parts: list[str] = []
    at = 0
    for number, table in enumerate(tables):
        before = clean(_shown(page, at, table.start))
        parts.append(before)
        at = table.end
        if table.prose:
            parts.append(_columns_text(table, page, clean))
            open_table.header = ""
            continue
        rows = [[_cell_text(cell, page.text, clean) for cell in row] for row in table.rows]
        while len(rows) > 2 and table.ruled and not any(rows[0][1:]):
            parts.append(rows[0][0])  # a title over all columns
            rows, table.rows = rows[1:], table.rows[1:]
        if table.header_rows > 1:
            rows = [[" ".join(dict.fromkeys(names)).strip() for names in zip(*rows[:2], strict=True)], *rows[2:]]
            table.rows = table.rows[1:]
        header = _line(rows[0]) if table.header_rows > 1 or _has_header(table, rows, page) else ""
        continued = number == 0 and len(before) <= _MAX_BETWEEN and open_table.header and _same(open_table, table)
        if continued and header != open_table.header:
            header = open_table.header
        elif header:
            rows = rows[1:]
        lines = [_line(row) for row in rows]
        parts.append("\n".join([header, "|" + " --- |" * len(table.columns), *lines] if header else lines))
        open_table.header, open_table.columns = header, table.columns
    after = clean(_shown(page, at, len(page.text)))
    parts.append(after)
    if len(after) > _MAX_BETWEEN or not tables:
        open_table.header = ""
    return "\n\n".join(part for part in parts if part)


def _tables(page: PageText) -> Iterator[Table]:
    """Yield the tables of a page in the order of its text: in a grid of lines, and in what lies between those."""
    grid = page.grid()
    at = 0
    for table in [*find_ruled_tables(page.words, grid), None]:
        end = table.start if table is not None else len(page.text)
        words = [word for word in page.words if at <= word.start < end]
        yield from find_tables(rows_of(runs_of(words)), grid, page.text, page.fonts)
        if table is not None:
            yield table
            at = table.end


def _holds_all(table: Table, words: Sequence[Word]) -> bool:
    """Whether a table has each word of its place in the text once."""
    inside = sum(word.end - word.start for word in words if table.start <= word.start < table.end)
    held = {word.start: word.end for row in table.rows for cell in row for run in cell for word in run.words}
    return inside == sum(end - start for start, end in held.items())


def _shown(page: PageText, start: int, end: int) -> str:
    """Return a part of the text without the words that the page does not show, touching words in lines of their own."""
    if page.is_exact:
        return page.text[start:end]
    parts: list[str] = []
    at = -1
    for word in page.words:
        if not start <= word.start < end:
            continue
        if at >= 0:
            between = page.text[at : word.start]
            parts.append("\n" if "\n" in between or not between else " ")
        parts.append(page.text[word.start : word.end])
        at = word.end
    return "".join(parts)


def _cell_text(cell: Sequence[WordRun], text: str, clean: Callable[[str], str]) -> str:
    lines = (_SPACED.sub(" ", text[run.start : run.end]) for run in sorted(cell, key=_reading_place))
    joined = _UNSPACED_BREAK.sub("", clean("\n".join(lines)))
    return _SPACED.sub(" ", joined).replace("|", "¦").strip()


def _reading_place(run: WordRun) -> tuple[int, float]:
    """Order the runs of a cell by line, from left to right."""
    return round(-run.box.top / 3), run.box.left


def _columns_text(table: Table, page: PageText, clean: Callable[[str], str]) -> str:
    """Return columns of running text one after another."""
    columns = []
    for number in range(len(table.columns)):
        lines = [page.text[run.start : run.end] for row in table.rows for run in row[number]]
        columns.append(clean("\n".join(lines)))
    return "\n".join(columns)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _same(open_table: OpenTable, table: Table) -> bool:
    """Whether a table has the columns of the one at the end of the page before."""
    if len(open_table.columns) != len(table.columns):
        return False
    return all(
        min(abs(one[0] - other[0]), abs(one[1] - other[1]), abs(sum(one) - sum(other)) / 2) <= _SAME_COLUMN
        for one, other in zip(open_table.columns, table.columns, strict=True)
    )


def _has_header(table: Table, rows: Sequence[Sequence[str]], page: PageText) -> bool:
    """Whether the first row names the columns: set apart by bold letters, by a line, or by words over numbers."""
    first, body = rows[0], rows[1:]
    names = [cell for cell in first if cell]
    # The corner above the names of rows may be empty.
    if not all(first[1:]) or any(_NUMERIC.fullmatch(cell) and not _is_year(cell) for cell in names):
        return False
    numeric = [
        number
        for number in range(len(first))
        if sum(bool(_NUMERIC.fullmatch(row[number])) for row in body) > len(body) / 2
    ]
    if numeric:
        return True
    if _is_bold(table.rows[0], page) and not all(_is_bold(row, page) for row in table.rows[1:3]):
        return True
    return len(first) > 2 and not any(_DIGIT.search(cell) for cell in names)


def _is_year(cell: str) -> bool:
    return len(cell) == 4 and cell.isdigit() and cell[:2] in {"19", "20"}


def _is_bold(row: Sequence[Sequence[WordRun]], page: PageText) -> bool:
    """Whether all cells of a row begin with a bold word."""
    return all(page.fonts.is_bold(cell[0].words[0]) for cell in row if cell)
