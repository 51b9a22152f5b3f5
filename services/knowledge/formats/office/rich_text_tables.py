"""Tables of RTF: cells end at positions, not in columns, so that columns come out when all rows are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from services.knowledge.formats.blocks import Block, TableGrid

# Ends of cells that differ by less (in twips, 1/1440 inch) are the same.
_TOLERANCE = 30
_MOST_COLUMNS = 200


@dataclass(slots=True)
class RichCell:
    """How a cell is defined: where it ends, and whether it begins or continues a merged one, across and down."""

    end: int = 0
    begins_down: bool = False
    goes_on_down: bool = False
    goes_on_across: bool = False


@dataclass(slots=True)
class RichRow:
    """A row: its cells' definitions and texts."""

    cells: list[RichCell] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    is_header: bool = False


@dataclass(slots=True)
class RichTable:
    """The rows of a table and the row that is being read."""

    rows: list[RichRow] = field(default_factory=list)
    row: RichRow = field(default_factory=RichRow)
    _next: RichCell = field(default_factory=RichCell)

    def define(self, word: str, number: int) -> None:
        """Take a control word that defines the row or its next cell."""
        match word:
            case "trowd":
                self.row.cells, self.row.is_header, self._next = [], False, RichCell()
            case "trhdr":
                self.row.is_header = True
            case "clvmgf":
                self._next.begins_down = True
            case "clvmrg":
                self._next.goes_on_down = True
            case "clmrg":
                self._next.goes_on_across = True
            case "cellx":
                self._next.end = number
                self.row.cells.append(self._next)
                self._next = RichCell()

    def end_row(self) -> None:
        """End the row; the next one has the same cells unless it says otherwise."""
        if self.row.texts:
            self.rows.append(self.row)
        self.row = RichRow(list(self.row.cells), is_header=self.row.is_header)

    def blocks(self) -> Iterator[Block]:
        """Yield the table."""
        ends: list[int] = []
        for end in sorted({cell.end for row in self.rows for cell in row.cells}):
            if (not ends or end - ends[-1] > _TOLERANCE) and len(ends) < _MOST_COLUMNS:
                ends.append(end)
        grid = TableGrid()
        for row in self.rows:
            grid.add_row(self._cells(row, ends, grid), header=row.is_header)
        if len(self.rows) == 1 and len(self.rows[0].texts) == 1:
            yield Block(self.rows[0].texts[0])
        else:
            yield from grid.blocks()

    @staticmethod
    def _cells(row: RichRow, ends: list[int], grid: TableGrid) -> Iterator[tuple[str, int, int]]:
        column = 0
        before = ""
        for at, text in enumerate(row.texts):
            cell = row.cells[at] if at < len(row.cells) else RichCell()
            last = next((place for place, end in enumerate(ends) if end >= cell.end - _TOLERANCE), column)
            span = max(1, last - column + 1) if cell.end else 1
            own = before if cell.goes_on_across else text
            own = grid.merged_down(column, own, begins=cell.begins_down, goes_on=cell.goes_on_down)
            yield own, span, 1
            column += span
            before = own
