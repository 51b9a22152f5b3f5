"""Rows of a table as text: a line for each, in sections that begin with the header."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from services.core.errors import TooLargeError
from services.core.i18n import _
from services.knowledge.formats.text import MAX_SECTION_CHARACTERS
from services.knowledge.types import Section

# Filled cells of one sheet; empty ones cost nothing.
MAX_CELLS = 3_000_000
# Rows of one section; each repeats the header.
_SECTION_ROWS = 200
# Wider headers are parted: a section for each group of columns, the first column repeated.
_WIDEST_HEADER = 6000
_LONGEST_HEADING = 120
_NO_NAMES = "| |\n| --- |"
_NUMBER = re.compile(
    r"""[(+\-−±~≈<>≤≥]*\s*(?:[$€£¥₹]|[A-Z]{3}\s)?\s*[-−]?[\d.,]*\d[\d.,'’\s:/\-−]*(?:[eE][+-]?\d+)?(?:[TZ][\d:.]*Z?)?
        \s*(?:%|‰|[A-Za-zµΩ°€$£¥²³/]{1,4})?\)?""",
    re.VERBOSE,
)


@dataclass(slots=True)
class Row:
    """A row: its number from 1, and the text by column of the cells that are filled, in order.

    `across` and `down` are the columns that repeat a merged cell which begins to their left, or above. `style` tells
    rows apart that look different.
    """

    number: int
    cells: dict[int, str]
    across: AbstractSet[int] = frozenset()
    down: AbstractSet[int] = frozenset()
    style: int = 0

    @property
    def distinct(self) -> int:
        """How many cells are filled, merged ones counted once."""
        return len(self.cells) - len(self.across)

    def part(self, first: int, last: int) -> Row:
        """Return the row with the columns from `first` to `last` alone."""
        cells = {column: text for column, text in self.cells.items() if first <= column <= last}
        # A cell that is merged with one outside is the first of its part.
        across = {column for column in self.across if column in cells and column != min(cells)}
        return Row(self.number, cells, across, {column for column in self.down if column in cells}, self.style)

    def without(self, other: Row) -> Row:
        """Return the row without the columns of another part of it."""
        cells = {column: text for column, text in self.cells.items() if column not in other.cells}
        return Row(self.number, cells, self.across - other.across, self.down - other.down, self.style)


class CellCounter:
    """Counts the filled cells of a sheet."""

    def __init__(self) -> None:
        self._cells = 0

    def add(self, count: int) -> None:
        """Count cells.

        Raises:
            TooLargeError: the sheet has more than any table that people read.
        """
        self._cells += count
        if self._cells > MAX_CELLS:
            raise TooLargeError(
                _("The table has more than {most} cells.").format(most=MAX_CELLS),
                _("Split it into smaller tables, or export only the columns that matter."),
            )


def is_number(text: str) -> bool:
    """Whether a cell is a number, an amount, a date or a time."""
    return len(text) < 40 and _NUMBER.fullmatch(text.strip()) is not None


def cell_text(text: str) -> str:
    """Return the text of a cell on one line, without the mark that separates cells."""
    return " ".join(text.split()).replace("|", "¦")


def table_line(cells: Sequence[str]) -> str:
    """Return a row as a line, empty cells at its end left out; "" for an empty row."""
    filled = len(cells)
    while filled and not cells[filled - 1]:
        filled -= 1
    return "| " + " | ".join(cells[:filled]) + " |" if filled else ""


@dataclass(slots=True)
class TableWriter:
    """Collects the rows of one table and makes sections of them.

    `columns` are those of the table, `header` their names (none: a table without a header), `titles` the lines above
    it: the first one that is short is its heading.
    """

    sheet: str
    columns: list[int]
    header: dict[int, str] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)
    _rows: list[list[str]] = field(default_factory=list)
    _size: int = 0
    _sent: bool = False
    _column_set: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._column_set = set(self.columns)

    def add(self, cells: Mapping[int, str]) -> Iterator[Section]:
        """Add a row; yields a section when enough have come together. Cells outside of the table get a column."""
        if not self._column_set.issuperset(cells):
            self.columns = sorted(self._column_set | cells.keys())
            yield from self.flush()
            self._column_set = set(self.columns)
        row = [cell_text(cells.get(column, "")) for column in self.columns]
        self._rows.append(row)
        self._size += sum(map(len, row)) + 3 * len(row)
        if len(self._rows) >= _SECTION_ROWS or self._size >= MAX_SECTION_CHARACTERS // 2:
            yield from self.flush()

    def close(self) -> Iterator[Section]:
        """Yield the last section; a header without rows is one, too."""
        if self._rows or not self._sent:
            yield from self.flush()

    def flush(self) -> Iterator[Section]:
        """Yield the rows that have come together, and begin anew."""
        rows, self._rows, self._size = self._rows, [], 0
        header = [cell_text(self.header.get(column, "")) for column in self.columns] if self.header else []
        if not rows and (self._sent or not (header or self.titles)):
            return
        heading = tuple(self.titles[:1]) if self.titles and len(self.titles[0]) <= _LONGEST_HEADING else ()
        above = "" if self._sent or not self.titles else "\n".join(self.titles) + "\n\n"
        self._sent = True
        width = max((len(row) for row in rows), default=len(header))
        size = len(header) + sum(map(len, header)) + max((sum(map(len, row)) for row in rows), default=0)
        if width < 3 or size <= _WIDEST_HEADER:
            yield Section(above + _table_text(header, rows), sheet=self.sheet, heading=heading)
            return
        for part in _column_groups(header, rows, width):
            text = _table_text(
                [header[at] for at in part] if header else [], [[row[at] for at in part] for row in rows]
            )
            if text:
                yield Section(above + text, sheet=self.sheet, heading=heading)
                above = ""


def _table_text(header: list[str], rows: list[list[str]]) -> str:
    lines = [line for row in rows if (line := table_line(row))]
    if any(header):
        lines = [table_line(header), "|" + " --- |" * len(header), *lines]
    elif len(lines) > 1:
        lines = [_NO_NAMES, *lines]  # the first row must not pass for the names of columns
    return "\n".join(lines)


def _column_groups(header: list[str], rows: list[list[str]], width: int) -> Iterator[list[int]]:
    """Yield groups of columns whose longest row is short enough, each with the first column of the table."""
    key = _longest(header, rows, 0)
    group, size = [0], key
    for at in range(1, width):
        cost = _longest(header, rows, at)
        if len(group) > 1 and size + cost > _WIDEST_HEADER // 2:
            yield group
            group, size = [0], key
        group.append(at)
        size += cost
    yield group


def _longest(header: list[str], rows: list[list[str]], at: int) -> int:
    return 3 + (len(header[at]) if header else 0) + max((len(row[at]) for row in rows), default=0)
