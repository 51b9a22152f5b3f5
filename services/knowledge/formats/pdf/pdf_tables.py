"""Tables on a PDF page: rows of cells that stand in common columns, between lines or without."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from services.knowledge.formats.pdf.pdf_columns import (
    ALIGNED,
    Columns,
    as_run,
    column_of,
    free_columns,
    overlap,
    parted_columns,
    ruled_columns,
    split_at_columns,
    split_at_lines,
    with_split_words,
)
from services.knowledge.formats.pdf.pdf_grid import Grid
from services.knowledge.formats.pdf.pdf_page import Box, Fonts, Word
from services.knowledge.formats.pdf.pdf_rows import PlacedCell, PlacedRow, WordRun, joined

# Rows of a table are not further apart than this many heights of a line.
_ROW_DISTANCE = 2.4
# Lines of one cell each, between rows, that may belong to the table: a group's name, a row with one value.
_MAX_SINGLES = 3
_EVEN = 1.2  # gaps of a justified line that differ by less are the same
_DIGIT = re.compile(r"\d")
_AMOUNT = re.compile(r"[+-]?\d[\d.,]*")
_CLOSER = 1.15  # steps that differ by more are different distances
_LEADERS = re.compile(r"(?:\. ?){5,}|…{2,}")
_ITEM_MARK = re.compile(r"[^\w\s]{0,2}\w{0,3}[^\w\s]{0,2}|\[\w{1,8}\]")


@dataclass(slots=True)
class Table:
    """A table: its cells by row and column, and its place in the page's text."""

    rows: list[list[list[WordRun]]]
    columns: Columns
    boxes: list[Box]  # of its rows
    start: int
    end: int
    ruled: bool
    header_rows: int = 1  # if it has a header at all
    prose: bool = False  # columns of running text, drawn line by line over all columns


def find_tables(rows: Sequence[PlacedRow], grid: Grid, text: str, fonts: Fonts) -> list[Table]:
    """Return the tables among the rows of a page, in the order of its text.

    Args:
        rows: rows as they were drawn.
        grid: the lines and boxes of the page.
        text: the page's text.
        fonts: how its words were drawn.
    """
    tables: list[Table] = []
    at = 0
    for start, end in [part for found in _regions(rows) for part in _parts(rows, *found)]:
        region = _Region(list(rows[start:end]))
        if start > at and len(rows[start - 1].cells) == 1:
            region.above = rows[start - 1]
        if end < len(rows) and len(rows[end].cells) == 1:
            region.below = rows[end]
        tables.extend(_tables_of(region, grid, text, fonts))
        at = end
    return tables


@dataclass(slots=True)
class _Region:
    """Rows that may be a table, and the lines next to them, which may be rows whose cells touch."""

    rows: list[PlacedRow]
    above: PlacedRow | None = None
    below: PlacedRow | None = None


def _regions(rows: Sequence[PlacedRow]) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of rows below each other that begin and end with a row of several cells."""
    start = last = -1
    for at, row in enumerate(rows):
        if start >= 0 and (not _is_below(rows[at - 1], row) or at - last > _MAX_SINGLES):
            yield start, last + 1
            start = -1
        if len(row.cells) > 1:
            start = at if start < 0 else start
            last = at
    if start >= 0:
        yield start, last + 1


def _parts(rows: Sequence[PlacedRow], start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of the parts of rows that lines of text divide into tables with other columns."""
    at = start
    while at < end:
        while at < end and len(rows[at].cells) > 1:
            at += 1
        after = at
        while after < end and len(rows[after].cells) < 2:
            after += 1
        if at < after < end and _differ(rows[start:at], rows[after:end]):
            yield start, at
            start = after
        at = after
    yield start, end


def _differ(above: Sequence[PlacedRow], below: Sequence[PlacedRow]) -> bool:
    """Whether rows below a line of text have more or fewer cells, which stand at other places."""
    rows = [[row for row in part if len(row.cells) > 1] for part in (above, below)]
    fewer, more = sorted(rows, key=lambda part: max(len(row.cells) for row in part))
    if max(len(row.cells) for row in fewer) == max(len(row.cells) for row in more):
        return False
    known = [cell.box for row in more for cell in row.cells]
    cells = [cell.box for row in fewer for cell in row.cells[1:]]
    same = sum(
        any(min(abs(box.left - other.left), abs(box.right - other.right)) <= ALIGNED for other in known)
        for box in cells
    )
    return 2 * same < len(cells)


def _is_below(above: PlacedRow, below: PlacedRow) -> bool:
    height = min(above.box.height, below.box.height, 20.0)
    return -0.5 * height < above.box.bottom - below.box.top < _ROW_DISTANCE * height


def _tables_of(region: _Region, grid: Grid, text: str, fonts: Fonts) -> Iterator[Table]:
    """Yield the table that rows make, or those of its parts if its columns change."""
    rows = region.rows
    while sum(len(row.cells) > 1 for row in rows) > 1:
        box = _box_of(rows)
        near = grid.within(box, 12.0)
        columns = ruled_columns(rows, near, box)
        ruled = bool(columns)
        if not columns:
            columns, fitting = free_columns(rows, fonts)
            if fitting < len(rows):
                if fitting > 1:
                    yield from _tables_of(_Region(rows[:fitting], region.above), grid, text, fonts)
                region.above = rows[0] if fitting < 2 else None
                rows = rows[max(fitting, 1) :]
                while rows and len(rows[0].cells) < 2:
                    rows = rows[1:]
                continue
            columns = parted_columns(rows, columns, fonts)
            rows = _with_touching_rows(region, rows, columns, fonts)
        table = _table([with_split_words(row, columns, fonts) for row in rows], columns, near, fonts, ruled=ruled)
        if table is not None and _is_table(table, near, text, fonts):
            yield table
        return


def _with_touching_rows(
    region: _Region,
    rows: list[PlacedRow],
    columns: Sequence[tuple[float, float]],
    fonts: Fonts,
) -> list[PlacedRow]:
    """Return the rows with the line above and below if it is a row, too, whose cells are too close to tell."""
    found = rows
    if region.above is not None and _is_below(region.above, rows[0]):
        row = _touching_row(region.above, columns, fonts)
        found = [row, *found] if row else found
    if region.below is not None and _is_below(rows[-1], region.below):
        row = _touching_row(region.below, columns, fonts)
        found = [*found, row] if row else found
    return found


def _touching_row(row: PlacedRow, columns: Sequence[tuple[float, float]], fonts: Fonts) -> PlacedRow | None:
    """Return a line as a row of cells if what was drawn at once stands in columns of its own."""
    row = with_split_words(row, columns, fonts)
    words = [word for cell in row.cells for run in cell.runs for word in run.words]
    pieces: list[list[Word]] = [words[:1]]
    for before, word in pairwise(words):
        if fonts.together(before, word):
            pieces[-1].append(word)
        else:
            pieces.append([word])
    if not 1 < len(pieces) <= len(columns):
        return None
    cells = [PlacedCell([each], each.box) for each in map(as_run, pieces)]
    numbers = [column_of(cell.box, columns) for cell in cells]
    if numbers != sorted(set(numbers)):
        return None
    full = len(cells) == len(columns) > 2
    for cell, number in zip(cells, numbers, strict=True):
        left, right = columns[number]
        aligned = min(abs(cell.box.left - left), abs(cell.box.right - right)) <= ALIGNED
        if not aligned and not (full and overlap(cell.box, columns[number]) > 0):
            return None
    return PlacedRow(cells)


def _box_of(rows: Sequence[PlacedRow]) -> Box:
    box = rows[0].box
    for row in rows[1:]:
        box = joined(box, row.box)
    return box


def _table(rows: Sequence[PlacedRow], columns: Columns, grid: Grid, fonts: Fonts, *, ruled: bool) -> Table | None:
    """Put the runs of rows into columns; None if they do not fit."""
    body: list[list[list[WordRun]]] = []
    boxes: list[Box] = []
    for row in rows:
        cells: list[list[WordRun]] = [[] for _column in columns]
        for cell in row.cells:
            for run in cell.runs:
                for part in split_at_lines(run, columns, grid) if ruled else split_at_columns(run, columns, fonts):
                    cells[column_of(part.box, columns)].append(part)
        body.append(cells)
        boxes.append(row.box)
    table = Table(body, columns, boxes, min(row.start for row in rows), max(row.end for row in rows), ruled)
    if not ruled:
        _join_names_beside(table)
        _join_continued(table)
    return _without_empty_columns(table)


def _join_names_beside(table: Table) -> None:
    """Join a column that has only its name with the one beside it that has no name: aligned left over right."""
    number = 0
    while number + 1 < len(table.columns):
        here, after = ([row[at] for row in table.rows] for at in (number, number + 1))
        apart = not any(one and other for one, other in zip(here, after, strict=True))
        if apart and len(here) > 2 and (not any(here[1:]) or not any(after[1:])):
            table.columns[number : number + 2] = [(table.columns[number][0], table.columns[number + 1][1])]
            for row in table.rows:
                row[number : number + 2] = [[*row[number], *row[number + 1]]]
        else:
            number += 1


def _join_continued(table: Table) -> None:
    """Join lines without a first cell to the row above where they are closer to it than rows are to each other."""
    steps = [above.top - below.top for above, below in pairwise(table.boxes)]
    begun = [step for step, row in zip(steps, table.rows[1:], strict=True) if row[0]]
    if not begun:
        return
    for at in range(len(table.rows) - 1, 0, -1):
        if not table.rows[at][0] and steps[at - 1] * _CLOSER < min(begun):
            table.rows[at - 1] = [
                [*above, *below] for above, below in zip(table.rows[at - 1], table.rows[at], strict=True)
            ]
            table.boxes[at - 1] = joined(table.boxes[at - 1], table.boxes[at])
            del table.rows[at], table.boxes[at]


def _without_empty_columns(table: Table) -> Table | None:
    kept = [number for number in range(len(table.columns)) if any(row[number] for row in table.rows)]
    table.columns = [table.columns[number] for number in kept]
    table.rows = [[row[number] for number in kept] for row in table.rows]
    return table if len(kept) > 1 and len(table.rows) > 1 else None


def _is_table(table: Table, grid: Grid, text: str, fonts: Fonts) -> bool:
    """Whether rows in columns are a table, not a list, contents, or running text in columns (then `prose` is set)."""
    multiple = [row for row in table.rows if sum(map(bool, row)) > 1]
    if len(multiple) < 2 or _LEADERS.search(text, table.start, table.end):
        return False
    if table.ruled or len(grid.crossing(table.columns[0][0], table.columns[-1][1], 0.7)) > 1:
        return True
    even = sum(_is_even(row, fonts) for row in multiple)
    if _is_list_or_code(table, multiple, text, fonts) or even > 0.5 * len(multiple):
        return False
    if _is_prose(table, multiple, text):
        table.prose = len(multiple) == len(table.rows)
        return table.prose
    return True


def _is_list_or_code(table: Table, rows: Sequence[list[list[WordRun]]], text: str, fonts: Fonts) -> bool:
    """Whether rows are items behind marks or numbers, program code, or two lines that are no names with numbers."""
    if len(table.columns) == 2 and all(_ITEM_MARK.fullmatch(_plain(row[0], text)) for row in table.rows):
        return True
    if all(fonts.is_typewriter(run.words[0]) for row in rows[:4] for cell in row for run in cell[:1]):
        return len(table.columns) < 3 or not _has_column_of_numbers(rows, text)
    return len(rows) == 2 and not _has_numbers_below_words(rows, text)


def _has_column_of_numbers(rows: Sequence[list[list[WordRun]]], text: str) -> bool:
    """Whether a word stands over a column of numbers."""
    cells = [[_plain(cell, text) for cell in row] for row in rows]
    return any(
        not _DIGIT.search(name)
        and sum(bool(_AMOUNT.fullmatch(row[number])) for row in cells[1:]) > 0.6 * len(cells[1:])
        for number, name in enumerate(cells[0])
        if name
    )


def _is_even(row: Sequence[Sequence[WordRun]], fonts: Fonts) -> bool:
    """Whether a row is a justified line: drawn at once, with equal gaps between its words."""
    words = [word for cell in row for run in cell for word in run.words]
    gaps = [after.box.left - before.box.right for before, after in pairwise(words)]
    return max(gaps) < _EVEN * min(gaps) + 0.5 and all(fonts.together(*pair) for pair in pairwise(words))


def _has_numbers_below_words(rows: Sequence[list[list[WordRun]]], text: str) -> bool:
    """Whether two full rows of three cells or more are names and what they name."""
    upper, lower = ([_plain(cell, text) for cell in row] for row in rows)
    return (
        len(upper) > 2
        and all(upper)
        and all(lower)
        and any(not _DIGIT.search(name) and _DIGIT.match(value) for name, value in zip(upper, lower, strict=True))
    )


def _is_prose(table: Table, rows: Sequence[list[list[WordRun]]], text: str) -> bool:
    """Whether most cells of each column are full lines of words."""
    for number, (left, right) in enumerate(table.columns):
        cells = [row[number] for row in rows if row[number]]
        full = [
            cell
            for cell in cells
            if len(cell) == 1 and cell[0].box.width > 0.75 * (right - left) and len(_plain(cell, text)) > 18
        ]
        if len(full) < 0.6 * len(cells):
            return False
    return True


def _plain(cell: Sequence[WordRun], text: str) -> str:
    return " ".join(text[run.start : run.end] for run in cell)
