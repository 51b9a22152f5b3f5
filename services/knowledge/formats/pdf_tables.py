"""Tables on a PDF page: rows of cells that stand in common columns, between lines or without."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from services.knowledge.formats.pdf_grid import Grid, distinct
from services.knowledge.formats.pdf_page import Box, Fonts, Word
from services.knowledge.formats.pdf_rows import Cell, Row, Run, joined, runs_of

# Rows of a table are not further apart than this many heights of a line.
_ROW_DISTANCE = 2.4
_MAX_COLUMNS = 60
# Lines of one cell each, between rows, that may belong to the table: a group's name, a row with one value.
_MAX_SINGLES = 3
# Cells that reach over several columns are rare in tables.
_MAX_SPANNING = 0.34
_EVEN = 1.2  # gaps of a justified line that differ by less are the same
_ALIGNED = 2.5  # points by which edges of one column may differ
_DIGIT = re.compile(r"\d")
_LEADERS = re.compile(r"(?:\. ?){5,}|…{2,}")
_ITEM_MARK = re.compile(r"[^\w\s]{0,2}\w{0,3}[^\w\s]{0,2}|\[\w{1,8}\]")


@dataclass(slots=True)
class Table:
    """A table: its cells by row and column, and its place in the page's text."""

    rows: list[list[list[Run]]]
    columns: list[tuple[float, float]]
    boxes: list[Box]  # of its rows
    start: int
    end: int
    ruled: bool
    prose: bool = False  # columns of running text, drawn line by line over all columns


def find_tables(rows: Sequence[Row], grid: Grid, text: str, fonts: Fonts) -> list[Table]:
    """Return the tables among the rows of a page, in the order of its text.

    Args:
        rows: rows as they were drawn.
        grid: the lines and boxes of the page.
        text: the page's text.
        fonts: how its words were drawn.
    """
    tables: list[Table] = []
    at = 0
    for start, end in _regions(rows):
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

    rows: list[Row]
    above: Row | None = None
    below: Row | None = None


def _regions(rows: Sequence[Row]) -> Iterator[tuple[int, int]]:
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


def _is_below(above: Row, below: Row) -> bool:
    height = min(above.box.height, below.box.height, 20.0)
    return -0.5 * height < above.box.bottom - below.box.top < _ROW_DISTANCE * height


def _tables_of(region: _Region, grid: Grid, text: str, fonts: Fonts) -> Iterator[Table]:
    """Yield the table that rows make, or those of its parts if its columns change."""
    rows = region.rows
    while sum(len(row.cells) > 1 for row in rows) > 1:
        box = _box_of(rows)
        near = grid.within(box, 12.0)
        columns = _ruled_columns(rows, near, box)
        ruled = bool(columns)
        if not columns:
            columns, fitting = _free_columns(rows, fonts)
            if fitting < len(rows):
                if fitting > 1:
                    yield from _tables_of(_Region(rows[:fitting], region.above), grid, text, fonts)
                region.above = rows[0] if fitting < 2 else None
                rows = rows[max(fitting, 1) :]
                while rows and len(rows[0].cells) < 2:
                    rows = rows[1:]
                continue
            columns = _parted_columns(rows, columns, fonts)
            rows = _with_touching_rows(region, rows, columns, fonts)
        table = _table([_with_split_words(row, columns, fonts) for row in rows], columns, near, fonts, ruled=ruled)
        if table is not None and _is_table(table, near, text, fonts):
            yield table
        return


def _parted_columns(rows: Sequence[Row], columns: list[tuple[float, float]], fonts: Fonts) -> list[tuple[float, float]]:
    """Part columns where touching cells begin below each other in most rows, and no word lies across."""
    starts: list[float] = []
    words: list[Word] = []
    for row in rows:
        for cell in row.cells:
            for run in cell.runs:
                words += run.words
                starts += [word.box.left for before, word in pairwise(run.words) if not fonts.together(before, word)]
    least = max(3, 0.6 * len(rows))
    for start in distinct(starts):
        if sum(abs(other - start) <= _ALIGNED for other in starts) < least or any(
            word.box.left < start - _ALIGNED and word.box.right > start + 1 for word in words
        ):
            continue
        for number, (left, right) in enumerate(columns):
            if left + _ALIGNED < start < right - _ALIGNED and len(columns) < _MAX_COLUMNS:
                ends = (word.box.right for word in words if left <= word.box.left < start - _ALIGNED)
                before = max(ends, default=start)
                columns[number : number + 1] = [(left, min(before, start)), (start, right)]
                break
    return columns


def _with_touching_rows(
    region: _Region,
    rows: list[Row],
    columns: Sequence[tuple[float, float]],
    fonts: Fonts,
) -> list[Row]:
    """Return the rows with the line above and below if it is a row, too, whose cells are too close to tell."""
    found = rows
    if region.above is not None and _is_below(region.above, rows[0]):
        row = _touching_row(region.above, columns, fonts)
        found = [row, *found] if row else found
    if region.below is not None and _is_below(rows[-1], region.below):
        row = _touching_row(region.below, columns, fonts)
        found = [*found, row] if row else found
    return found


def _with_split_words(row: Row, columns: Sequence[tuple[float, float]], fonts: Fonts) -> Row:
    """Return a row with words parted that reach over two columns and were drawn in parts."""

    def words(run: Run) -> Iterator[Word]:
        for word in run.words:
            over = sum(_overlap(word.box, column) > 1.0 for column in columns)
            yield from fonts.split(word) if over > 1 else [word]

    return Row([Cell([as_run(list(words(run))) for run in cell.runs], cell.box) for cell in row.cells])


def _touching_row(row: Row, columns: Sequence[tuple[float, float]], fonts: Fonts) -> Row | None:
    """Return a line as a row of cells if what was drawn at once stands in columns of its own."""
    row = _with_split_words(row, columns, fonts)
    words = [word for cell in row.cells for run in cell.runs for word in run.words]
    pieces: list[list[Word]] = [words[:1]]
    for before, word in pairwise(words):
        if fonts.together(before, word):
            pieces[-1].append(word)
        else:
            pieces.append([word])
    if not 1 < len(pieces) <= len(columns):
        return None
    cells = [Cell([each], each.box) for each in map(as_run, pieces)]
    numbers = [_column_of(cell.box, columns) for cell in cells]
    if numbers != sorted(set(numbers)):
        return None
    full = len(cells) == len(columns) > 2
    for cell, number in zip(cells, numbers, strict=True):
        left, right = columns[number]
        aligned = min(abs(cell.box.left - left), abs(cell.box.right - right)) <= _ALIGNED
        if not aligned and not (full and _overlap(cell.box, columns[number]) > 0):
            return None
    return Row(cells)


def _box_of(rows: Sequence[Row]) -> Box:
    box = rows[0].box
    for row in rows[1:]:
        box = joined(box, row.box)
    return box


def _ruled_columns(rows: Sequence[Row], grid: Grid, box: Box) -> list[tuple[float, float]]:
    """Return the columns between vertical lines; none if there are no such lines through most rows."""
    counted: dict[float, int] = {}
    for row in rows:
        middle = (row.box.bottom + row.box.top) / 2
        for at in grid.down_at(middle):
            near = next((known for known in counted if abs(known - at) <= _ALIGNED), at)
            counted[near] = counted.get(near, 0) + 1
    inner = sorted(
        at for at, count in counted.items() if count >= max(2, len(rows) * 0.5) and box.left + 2 < at < box.right - 2
    )
    if not inner or len(inner) >= _MAX_COLUMNS:
        return []
    edges = [box.left - 1, *inner, box.right + 1]
    return list(pairwise(edges))


def _free_columns(rows: Sequence[Row], fonts: Fonts) -> tuple[list[tuple[float, float]], int]:
    """Return the columns that cells without lines stand in, and how many of the first rows they fit."""
    columns: list[tuple[float, float]] = []
    order = sorted(range(len(rows)), key=lambda at: -len(rows[at].cells))
    spanning: set[int] = set()
    for at in order:
        columns = _without_wide(columns, rows[at])
        for cell in rows[at].cells:
            over = [number for number, column in enumerate(columns) if _overlap(cell.box, column) > 1.0]
            if len(over) > 1:
                spanning.add(at)
            elif over:
                left, right = columns[over[0]]
                columns[over[0]] = (min(left, cell.box.left), max(right, cell.box.right))
            elif len(columns) < _MAX_COLUMNS:
                columns.append((cell.box.left, cell.box.right))
                columns.sort()
    multiple = [at for at, row in enumerate(rows) if len(row.cells) > 1]
    wrong = [at for at in multiple if at in spanning and not _splits(rows[at], columns, fonts)]
    if len(wrong) > _MAX_SPANNING * len(multiple) and len(rows) > 2:
        # The columns change somewhere: the first rows alone, up to where the number of cells changes.
        first = len(rows[multiple[0]].cells)
        end = next((at for at in multiple if len(rows[at].cells) != first), len(rows))
        return columns, min(end, len(rows) - 1)
    return columns, len(rows)


def _without_wide(columns: list[tuple[float, float]], row: Row) -> list[tuple[float, float]]:
    """Return the columns without those that two cells of a row stand in, cells in no other column."""
    alone = [cell for cell in row.cells if sum(_overlap(cell.box, column) > 1.0 for column in columns) == 1]
    return [column for column in columns if sum(_overlap(cell.box, column) > 1.0 for cell in alone) < 2]


def _splits(row: Row, columns: Sequence[tuple[float, float]], fonts: Fonts) -> bool:
    return all(
        len(_parts(run, columns, fonts)) > 1 or sum(_overlap(run.box, column) > 1.0 for column in columns) < 2
        for cell in row.cells
        for run in cell.runs
    )


def _overlap(box: Box, column: tuple[float, float]) -> float:
    return min(box.right, column[1]) - max(box.left, column[0])


def _table(
    rows: Sequence[Row], columns: list[tuple[float, float]], grid: Grid, fonts: Fonts, *, ruled: bool
) -> Table | None:
    """Put the runs of rows into columns; None if they do not fit."""
    body: list[list[list[Run]]] = []
    boxes: list[Box] = []
    for row in rows:
        cells: list[list[Run]] = [[] for _column in columns]
        for cell in row.cells:
            for run in cell.runs:
                for part in _by_lines(run, columns, grid) if ruled else _parts(run, columns, fonts):
                    cells[_column_of(part.box, columns)].append(part)
        body.append(cells)
        boxes.append(row.box)
    table = Table(body, columns, boxes, min(row.start for row in rows), max(row.end for row in rows), ruled)
    return _without_empty_columns(table)


def _by_lines(run: Run, columns: Sequence[tuple[float, float]], grid: Grid) -> list[Run]:
    """Split a run where vertical lines cross its line."""
    middle = (run.box.bottom + run.box.top) / 2
    edges = [at for at in grid.down_at(middle) if run.box.left + 1 < at < run.box.right - 1]
    edges = [at for at in edges if any(abs(at - right) <= _ALIGNED for _left, right in columns[:-1])]
    if not edges:
        return [run]
    parts: list[list[Word]] = [[] for _edge in range(len(edges) + 1)]
    for word in run.words:
        centre = (word.box.left + word.box.right) / 2
        parts[sum(at < centre for at in edges)].append(word)
    return [part for words in parts if words for part in runs_of(words)]


def _parts(run: Run, columns: Sequence[tuple[float, float]], fonts: Fonts) -> list[Run]:
    """Split a run that lies over several columns where a word begins or ends at the edge of one."""
    over = [number for number, column in enumerate(columns) if _overlap(run.box, column) > 1.0]
    starts = [0]
    for number in over[1:]:
        at = _first_word(run.words, starts[-1] + 1, columns[number - 1], columns[number], fonts)
        if at:
            starts.append(at)
    if len(starts) < len(over):
        return [run]
    return [as_run(run.words[at:end]) for at, end in zip(starts, [*starts[1:], len(run.words)], strict=True)]


def _first_word(
    words: Sequence[Word], least: int, before: tuple[float, float], column: tuple[float, float], fonts: Fonts
) -> int:
    """Return the number of the word that begins a column's cell; 0 if none does clearly."""
    places = range(least, len(words))
    for at in places:
        if abs(words[at].box.left - column[0]) <= _ALIGNED:
            return at
    for at in places:
        ends = abs(words[at - 1].box.right - before[1]) <= _ALIGNED
        if ends or words[at].box.left - words[at - 1].box.right > 0.6 * words[at].box.height:
            return at
    for at in places:
        if words[at].box.left > before[1] - _ALIGNED and not fonts.together(words[at - 1], words[at]):
            return at
    return 0


def as_run(words: list[Word]) -> Run:
    """Return words as one run."""
    box = words[0].box
    for word in words[1:]:
        box = joined(box, word.box)
    return Run(words, box)


def _column_of(box: Box, columns: Sequence[tuple[float, float]]) -> int:
    """Return the column that a box lies in: the first that holds a good part of it, else the nearest."""
    width = max(box.width, 0.1)
    for number, column in enumerate(columns):
        share = _overlap(box, column)
        if share > 0.5 * width or share > 0.5 * (column[1] - column[0]):
            return number
    return max(range(len(columns)), key=lambda number: _overlap(box, columns[number]))


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
    if _is_list_or_code(table, multiple, text, fonts) or sum(_is_even(row, fonts) for row in multiple) > 0.5 * len(
        multiple
    ):
        return False
    if _is_prose(table, multiple, text):
        table.prose = len(multiple) == len(table.rows)
        return table.prose
    return True


def _is_list_or_code(table: Table, rows: Sequence[list[list[Run]]], text: str, fonts: Fonts) -> bool:
    """Whether rows are items behind marks or numbers, program code, or two lines that are no names with numbers."""
    if len(table.columns) == 2 and all(_ITEM_MARK.fullmatch(_plain(row[0], text)) for row in table.rows):
        return True
    if all(fonts.is_typewriter(run.words[0]) for row in rows[:4] for cell in row for run in cell[:1]):
        return True
    return len(rows) == 2 and not _has_numbers_below_words(rows, text)


def _is_even(row: Sequence[Sequence[Run]], fonts: Fonts) -> bool:
    """Whether a row is a justified line: drawn at once, with equal gaps between its words."""
    words = [word for cell in row for run in cell for word in run.words]
    gaps = [after.box.left - before.box.right for before, after in pairwise(words)]
    return max(gaps) < _EVEN * min(gaps) + 0.5 and all(fonts.together(*pair) for pair in pairwise(words))


def _has_numbers_below_words(rows: Sequence[list[list[Run]]], text: str) -> bool:
    """Whether two full rows of three cells or more are names and what they name."""
    upper, lower = ([_plain(cell, text) for cell in row] for row in rows)
    return (
        len(upper) > 2
        and all(upper)
        and all(lower)
        and any(not _DIGIT.search(name) and _DIGIT.match(value) for name, value in zip(upper, lower, strict=True))
    )


def _is_prose(table: Table, rows: Sequence[list[list[Run]]], text: str) -> bool:
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


def _plain(cell: Sequence[Run], text: str) -> str:
    return " ".join(text[run.start : run.end] for run in cell)
