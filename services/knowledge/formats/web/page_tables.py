"""Tables of web pages: data becomes rows with merged cells filled, layout becomes the text of its cells in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from services.knowledge.formats.blocks import Block, TableGrid

# A table of one row with cells of this many characters is a way to lay out text in columns.
_LONG_CELL = 300
_MOST_DOWN = 65_534


@dataclass(slots=True)
class PageCell:
    """A cell: what it holds, the columns and rows that it covers, and whether it is a header."""

    across: int
    down: int
    is_header: bool
    blocks: list[Block] = field(default_factory=list)

    def text(self) -> str:
        """Return the cell's text as one line; a table within as "a, b; c, d"."""
        return " ".join(_unframed(block.text) if block.text.startswith("| ") else block.text for block in self.blocks)


@dataclass(slots=True)
class PageRow:
    """A row, whether it stands in the head of its table, and whether it ends a group of rows."""

    is_head: bool
    cells: list[PageCell] = field(default_factory=list)
    ends_group: bool = False


@dataclass(slots=True)
class PageTable:
    """A table while it is read."""

    is_layout: bool
    is_ruled: bool
    rows: list[PageRow] = field(default_factory=list)
    captions: list[Block] = field(default_factory=list)
    is_in_head: bool = False
    cell: PageCell | None = None

    def begin_row(self) -> None:
        """Begin a row."""
        self.cell = None
        self.rows.append(PageRow(self.is_in_head))

    def begin_cell(self, across: str | None, down: str | None, *, is_header: bool) -> None:
        """Begin a cell with the spans that its attributes state."""
        if not self.rows:
            self.begin_row()
        reach = _number(down)
        self.cell = PageCell(max(_number(across), 1), reach or _MOST_DOWN, is_header)
        self.rows[-1].cells.append(self.cell)

    def end_group(self) -> None:
        """End a group of rows: cells do not reach beyond it."""
        self.cell = None
        self.is_in_head = False
        if self.rows:
            self.rows[-1].ends_group = True

    def blocks(self) -> Iterator[Block]:
        """Yield the table, or the contents of its cells if it only lays them out."""
        yield from self.captions
        rows = [row for row in self.rows if any(cell.blocks for cell in row.cells)]
        if self._lays_out(rows):
            yield from (block for row in rows for cell in row.cells for block in cell.blocks)
            return
        grid = TableGrid()
        for row in rows:
            cells = [(cell.text(), cell.across, cell.down) for cell in row.cells]
            grid.add_row(cells, header=row.is_head or _is_header(row))
            if row.ends_group:
                grid.end_group()
        if not grid.header_rows and any(row.cells[0].is_header for row in rows if row.cells):
            grid.header_rows = -1  # the names stand in the first column
        yield from grid.blocks()

    def _lays_out(self, rows: list[PageRow]) -> bool:
        cells = [cell for row in rows for cell in row.cells]
        if self.is_layout or len(cells) == 1:
            return True
        if self.is_ruled or any(row.is_head for row in rows) or any(cell.is_header for cell in cells):
            return False
        blocks = [block for cell in cells for block in cell.blocks]
        return (
            any(block.level or block.text.startswith("| ") for block in blocks)
            or all(len(row.cells) == 1 for row in rows)
            or (len(rows) == 1 and any(len(cell.text()) > _LONG_CELL for cell in cells))
        )


def _is_header(row: PageRow) -> bool:
    return len(row.cells) > 1 and all(cell.is_header or not cell.blocks for cell in row.cells)


def _number(text: str | None) -> int:
    text = (text or "1").strip()
    return min(int(text), _MOST_DOWN) if text.isdecimal() and len(text) < 9 else 1


def _unframed(table: str) -> str:
    """Return the lines of a table as running text."""
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if not line.startswith("| --- ")]
    return "; ".join((": " if len(row) == 2 else ", ").join(row) for row in rows)
