"""The tables of a sheet or a CSV file: told apart by empty rows and columns, each with its titles and its header.

Rows come one by one and are not kept: a block is judged by its first rows, the rest of it follows the judgement.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from services.knowledge.formats.sheets.table_headers import TableStart, find_start
from services.knowledge.formats.sheets.table_rows import CellCounter, Row, TableWriter, cell_text, is_number
from services.knowledge.types import Section

# A block is judged by so many rows.
_WINDOW = 400
_LONG_TEXT = 60
_UNNAMED = re.compile(
    r"(?:Table|Tabelle|Tableau|Tabla|Tabela|Tabella|Таблица|表|__Anonymous_Sheet_DB__)_?\d*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Area:
    """A range of a sheet that its author made a table: its name, its bounds, and how many header rows it has."""

    name: str
    top: int
    bottom: int
    left: int
    right: int
    header_rows: int = 1


def table_sections(
    rows: Iterable[Row], sheet: str = "", *, areas: Sequence[Area] = (), side_by_side: bool = True
) -> Iterator[Section]:
    """Yield the sections of a sheet.

    Args:
        rows: those that are not empty, from the top.
        sheet: its name.
        areas: ranges that are known to be tables.
        side_by_side: whether an empty column may separate tables.

    Raises:
        TooLargeError: it has more filled cells than a table that people read.
    """
    counter = CellCounter()
    lane = _Lane(sheet, side_by_side=side_by_side)
    ahead = sorted(areas, key=lambda area: (area.top, area.left))
    running: list[tuple[Area, _Lane]] = []
    for row in rows:
        counter.add(len(row.cells))
        while ahead and ahead[0].top <= row.number:
            area = ahead.pop(0)
            titles = [] if area.name == "" or _UNNAMED.fullmatch(area.name) else [area.name.replace("_", " ")]
            titles = lane.title_lines() or titles
            yield from lane.end_block()
            running.append((area, _Lane(sheet, side_by_side=False, levels=area.header_rows, titles=titles)))
        for area, inner in running:
            if row.number > area.bottom:
                yield from inner.close()
                continue
            inside = row.part(area.left, area.right)
            if inside.cells:
                yield from inner.add(inside)
                row = row.without(inside)  # noqa: PLW2901 - what is left of it
        running = [(area, inner) for area, inner in running if row.number <= area.bottom]
        if row.cells:
            yield from lane.add(row)
    for _area, inner in running:
        yield from inner.close()
    yield from lane.close()


@dataclass(slots=True)
class _Lane:
    """Rows that follow each other: the present block, and the tables that its rows go to once it is judged."""

    sheet: str
    side_by_side: bool
    levels: int | None = None
    titles: list[str] = field(default_factory=list)
    _block: list[Row] = field(default_factory=list)
    _tables: list[tuple[int, TableWriter]] = field(default_factory=list)  # the first column of each
    _held: list[Row] = field(default_factory=list)  # a row by itself that may be a header
    _judged: bool = False  # the present block
    _header_style: int | None = None
    _last: int = 0

    def add(self, row: Row) -> Iterator[Section]:
        """Add a row; one that does not follow the last row ends the block."""
        if self._last and row.number > self._last + 1 and self.levels is None:
            yield from self.end_block()
        self._last = row.number
        if row.down and len(row.down) == len(row.cells):
            return  # the lower part of a merged title
        if self._judged:
            yield from self._write(row)
            return
        self._block.append(row)
        if len(self._block) >= _WINDOW:
            yield from self._judge()

    def title_lines(self) -> list[str]:
        """Return the lines of the present block if they are titles of what follows; the block is over then."""
        if self._judged or not 0 < len(self._block) <= 3 or any(row.distinct > 1 for row in self._block):
            return []
        lines = [cell_text(next(iter(row.cells.values()))) for row in self._block]
        self._block = []
        return lines

    def end_block(self) -> Iterator[Section]:
        """Judge what has come together; the next row begins a block."""
        if self._block:
            yield from self._judge()
        self._judged = False

    def close(self) -> Iterator[Section]:
        """Yield what is left."""
        yield from self.end_block()
        yield from self._write_held()
        yield from self._close_tables()
        if self.titles:  # nothing came below them
            yield Section("\n".join(self.titles), sheet=self.sheet)
            self.titles = []

    def _is_titles(self) -> bool:
        """Whether there is nothing yet but titles of what follows."""
        return len(self._tables) == 1 and not self._tables[0][1].columns

    def _close_tables(self) -> Iterator[Section]:
        tables, self._tables = self._tables, []
        for _first, table in tables:
            yield from table.close()

    def _write(self, row: Row) -> Iterator[Section]:
        """Write a row to the table of its columns; what is left of the first table belongs to that."""
        if len(self._tables) == 1:
            yield from self._tables[0][1].add(row.cells)
            return
        for at, (first, table) in enumerate(self._tables):
            begin = first if at else 0
            end = self._tables[at + 1][0] if at + 1 < len(self._tables) else 1 << 30
            cells = {column: text for column, text in row.cells.items() if begin <= column < end}
            if cells:
                yield from table.add(cells)

    def _judge(self) -> Iterator[Section]:
        """Find the tables of the block, and write its rows to them."""
        block, self._block = self._block, []
        bounds = _column_bounds(block) if self.side_by_side else []
        self._judged = True
        if len(bounds) < 2:
            yield from self._judge_part(block)
            return
        if self._is_titles():
            self.titles, self._tables = [*self._tables[0][1].titles, *self.titles], []
        yield from self._write_held()
        yield from self._close_tables()
        tables: list[tuple[int, TableWriter]] = []
        for first, last in bounds:
            # Empty rows separate tables in a group of columns, too.
            for part in _row_blocks([row.part(first, last) for row in block]):
                yield from self._judge_part(part)
                tables = [one for one in tables if one[0] != first] + [(first, each) for _first, each in self._tables]
            self._tables = []
        self._tables = tables

    def _judge_part(self, rows: list[Row]) -> Iterator[Section]:
        if self.levels is None and max(row.distinct for row in rows) == 1 and not self._is_list(rows):
            yield from self._text_block(rows)
            return
        start = find_start(rows, levels=self.levels, forms=self.side_by_side)
        if self._continues(rows, start):
            for row in rows:
                yield from self._write(row)
            return
        if self._held:
            if _are_names(self._held[0], rows, start):
                rows = [*self._held, *rows]
                start = find_start(rows, forms=False)
                self._held = []
            else:
                yield from self._write_held()
        elif len(rows) == 1 and self.levels is None and not any(map(is_number, rows[0].cells.values())):
            self._held = rows  # the names of columns, and an empty row below them
            return
        yield from self._begin(rows, start)

    def _begin(self, rows: Sequence[Row], start: TableStart) -> Iterator[Section]:
        """Begin a table with these rows."""
        yield from self._close_tables()
        columns = sorted({*start.header, *(column for row in rows[start.first :] for column in row.cells)})
        titles, self.titles = [*self.titles, *start.titles], []
        self._header_style = rows[start.first - 1].style if start.header else None
        self._tables = [(columns[0] if columns else 0, TableWriter(self.sheet, columns, start.header, titles))]
        for row in rows[start.first :]:
            yield from self._write(row)

    def _write_held(self) -> Iterator[Section]:
        held, self._held = self._held, []
        if held:
            yield from self._begin(held, find_start(held, forms=self.side_by_side))

    def _is_list(self, rows: Sequence[Row]) -> bool:
        """Whether rows of one cell each are a table of one column, not lines of text."""
        texts = [next(iter(row.cells.values())) for row in rows]
        return len(rows) > 2 and max(map(len, texts)) <= _LONG_TEXT and len({min(row.cells) for row in rows}) == 1

    def _text_block(self, rows: list[Row]) -> Iterator[Section]:
        """Yield the lines of a block that is no table, or keep them as titles of the table that follows."""
        lines = [cell_text(next(iter(row.cells.values()))) for row in rows]
        if self._is_titles():
            lines, self._tables = [*self._tables[0][1].titles, *lines], []  # a title, an empty row, a line below it
        yield from self._write_held()
        yield from self._close_tables()
        if len(lines) <= 3 and max(map(len, lines)) <= 2 * _LONG_TEXT and not self.titles:
            self._tables = [(0, TableWriter(self.sheet, [], titles=lines))]
            return
        yield Section("\n".join(lines), sheet=self.sheet)

    def _continues(self, rows: Sequence[Row], start: TableStart) -> bool:
        """Whether a block goes on with the table above it: no title, and columns of that table without a header."""
        if len(self._tables) != 1 or self.levels is not None:
            return False
        table = self._tables[0][1]
        if not table.columns:
            # A text above: the title of this table.
            self.titles, self._tables = [*table.titles, *self.titles], []
            return False
        columns = {column for row in rows for column in row.cells}
        if start.titles or not columns <= set(table.columns) or min(columns) != min(table.columns):
            return False
        if not start.header or start.header == table.header:
            return True
        if self._header_style is not None and rows[0].style != rows[-1].style:
            return rows[0].style != self._header_style
        return not start.strong and len(columns) <= len(table.columns)


def _are_names(row: Row, rows: Sequence[Row], start: TableStart) -> bool:
    """Whether a row by itself is the header of the block below the empty row that follows it."""
    columns = {column for each in rows for column in each.cells}
    table = len(rows) > 1 or len(row.cells) > 2
    return table and not start.titles and not start.strong and columns <= row.cells.keys()


def _row_blocks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    block: list[Row] = []
    for row in rows:
        if not row.cells:
            continue
        if block and row.number > block[-1].number + 1:
            yield block
            block = []
        block.append(row)
    if block:
        yield block


def _column_bounds(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Return the first and last columns of the tables that stand side by side in a block.

    An empty column separates them if what is right of it has at least two columns and begins with one of words: a
    table without words for its rows belongs to the words on its left.
    """
    filled = sorted({column for row in rows for column in row.cells if column not in row.across})
    bounds: list[tuple[int, int]] = []
    for column in filled:
        if bounds and column <= bounds[-1][1] + 1:
            bounds[-1] = (bounds[-1][0], column)
        else:
            bounds.append((column, column))
    if len(bounds) < 2:
        return bounds
    joined = bounds[:1]
    for first, last in bounds[1:]:
        before = joined[-1]
        if last > first and before[1] > before[0] and _has_keys(rows, first):
            joined.append((first, last))
        else:
            joined[-1] = (before[0], last)
    return joined


def _has_keys(rows: Sequence[Row], column: int) -> bool:
    texts = [row.cells[column] for row in rows if column in row.cells]
    return sum(not is_number(text) for text in texts) > 0.5 * len(texts) + 0.5
