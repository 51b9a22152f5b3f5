"""Rows of cells on a PDF page: words joined to runs, runs to cells and rows, in the order in which they were drawn.

Programs draw tables cell by cell, row by row. A run that lies beside the one before it, far from it, begins a new cell;
one right below it continues its cell; anything else begins a new row. Columns of running text are drawn one after
another and so make no rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from services.knowledge.formats.pdf.pdf_page import Box, Word

# A gap of more than this many heights of a word separates cells; wide gaps of justified lines are narrower.
_CELL_GAP = 0.85
# A cell begins at most this many heights above the end of the one before: cells have several lines.
_MAX_STEP_UP = 12.0
# Lines of one cell are not further apart than this many heights, from top to top.
_LINE_PITCH = 1.9
_ALIGNED = 3.0  # points by which the lines of a cell may be shifted
# Cells beside each other with at least this many lines, all at the same heights, are columns, not a row.
_LEAST_COLUMN = 3
_EVEN = 1.12  # steps from line to line that differ by less are the same
# A word that is so much taller than wide, with more than a character, is written upwards.
_UPRIGHT = 1.8


@dataclass(slots=True)
class WordRun:
    """Words that follow each other in one line without a wide gap."""

    words: list[Word]
    box: Box

    @property
    def start(self) -> int:
        return self.words[0].start

    @property
    def end(self) -> int:
        return self.words[-1].end


@dataclass(slots=True)
class PlacedCell:
    """The runs of a cell, from top to bottom."""

    runs: list[WordRun]
    box: Box

    def add(self, run: WordRun) -> None:
        """Add a line below."""
        self.runs.append(run)
        self.box = joined(self.box, run.box)


@dataclass(slots=True)
class PlacedRow:
    """The cells of a row, from left to right."""

    cells: list[PlacedCell]
    box: Box = field(init=False)

    def __post_init__(self) -> None:
        self.box = self.cells[0].box
        for cell in self.cells[1:]:
            self.box = joined(self.box, cell.box)

    def add(self, cell: PlacedCell) -> None:
        """Add a cell on the right."""
        self.cells.append(cell)
        self.box = joined(self.box, cell.box)

    @property
    def start(self) -> int:
        return min(cell.runs[0].start for cell in self.cells)

    @property
    def end(self) -> int:
        return max(cell.runs[-1].end for cell in self.cells)


def joined(one: Box, other: Box) -> Box:
    """Return the box around two boxes."""
    return Box(
        min(one.left, other.left),
        min(one.bottom, other.bottom),
        max(one.right, other.right),
        max(one.top, other.top),
    )


def runs_of(words: Sequence[Word]) -> list[WordRun]:
    """Return the runs of a page in the order of its text."""
    runs: list[WordRun] = []
    for word in words:
        if runs:
            run = runs[-1]
            before = run.words[-1].box
            height = max(min(before.height, word.box.height), 1.0)
            gap = word.box.left - before.right
            if -height / 2 <= gap <= _CELL_GAP * height and _share(before, word.box) > 0.5:
                run.words.append(word)
                run.box = joined(run.box, word.box)
                continue
        runs.append(WordRun([word], word.box))
    return runs


def may_have_rows(words: Sequence[Word]) -> bool:
    """Whether at least two words lie beside the one before with a gap: cheap, and false for most running text."""
    beside = 0
    before = words[0].box if words else None
    for word in words:
        left, bottom, _right, top = box = word.box
        if before is not None:
            height = min(top - bottom, before[3] - before[1])
            overlap = min(top, before[3]) - max(bottom, before[1])
            # A word far above begins a column of running text, or a page's second block.
            if left - before[2] > _CELL_GAP * height and (overlap > 0 or bottom - before[3] < _MAX_STEP_UP * height):
                beside += bottom > before[1] - height
                if beside > 1:
                    return True
        before = box
    return False


def rows_of(runs: Sequence[WordRun]) -> list[PlacedRow]:
    """Return the rows of a page; lines of running text that follow each other are rows of one cell each."""
    rows: list[PlacedRow] = []
    for block in _blocks(runs):
        if rows and not _is_upright(block.runs[0]) and _is_beside(rows[-1], block):
            if len(rows[-1].cells) == 1:
                _divide_first(rows, block)
            rows[-1].add(block)
        else:
            rows.append(PlacedRow([block]))
    return [line for row in rows for line in (_lines(row) or [row])]


def _blocks(runs: Sequence[WordRun]) -> Iterator[PlacedCell]:
    """Yield runs that are drawn one below the other, closely: the lines of a cell, or of a paragraph."""
    block: PlacedCell | None = None
    pitch = 0.0
    for run in runs:
        if block is not None:
            above = block.runs[-1].box
            step = above.top - run.box.top
            if _continues(above, run.box) and (not pitch or step < pitch * _EVEN):
                block.add(run)
                pitch = pitch or step
                continue
            yield block
        block, pitch = PlacedCell([run], run.box), 0.0
    if block is not None:
        yield block


def _is_beside(row: PlacedRow, block: PlacedCell) -> bool:
    return (block.box.left >= row.cells[-1].box.right - 1 and _share(row.box, block.box) > 0.4) or (
        # Lines above a table are in one block with its first cell.
        len(row.cells) == 1
        and block.box.left >= row.cells[0].runs[-1].box.right - 1
        and _share(row.cells[0].runs[-1].box, block.box) > 0.4
    )


def _divide_first(rows: list[PlacedRow], block: PlacedCell) -> None:
    """Part the lines above a table's row from its first cell, which `block` lies beside."""
    lines = rows[-1].cells[0].runs
    if len(lines) < 2:
        return
    beside = [at for at, line in enumerate(lines) if _share(line.box, block.box) > 0.4]
    if not beside:
        return
    first, last = beside[0], beside[-1]
    start = 0
    if any(line.box.right > block.box.left + 1 for line in lines[:first]):
        start = first  # lines of a paragraph, wider than the cell
    elif first > 0:
        middle = (block.box.top + block.box.bottom) / 2
        box = rows[-1].cells[0].box
        centred = abs(middle - (box.top + box.bottom) / 2) < 0.3 * lines[0].box.height
        # Aligned at the bottom, or lines of their own above: these keep the distance that rows have.
        own = (
            last == len(lines) - 1 and len(rows) > 1 and _row_step(rows) < _EVEN * (lines[0].box.top - lines[1].box.top)
        )
        if not centred and (own or last < len(lines) - 1):
            start = first
    if start:
        rows[-1:] = [PlacedRow([_cell(lines[:start])]), PlacedRow([_cell(lines[start:])])]


def _row_step(rows: list[PlacedRow]) -> float:
    """Return the distance of the last line of the row before the last to the first line of the last."""
    above = min(rows[-2].cells, key=lambda cell: cell.box.bottom).runs[-1].box
    return above.top - rows[-1].cells[0].runs[0].box.top


def _cell(runs: list[WordRun]) -> PlacedCell:
    box = runs[0].box
    for run in runs[1:]:
        box = joined(box, run.box)
    return PlacedCell(runs, box)


def _lines(row: PlacedRow) -> list[PlacedRow]:
    """Return the lines of a row of one cell, or of columns that were drawn one after another, as rows; else none."""
    first = row.cells[0].runs
    if len(row.cells) == 1:
        return [PlacedRow([_cell([run])]) for run in first]
    if len(first) < _LEAST_COLUMN or not all(
        len(cell.runs) == len(first)
        and all(_share(run.box, one.box) > 0.8 for run, one in zip(cell.runs, first, strict=True))
        for cell in row.cells[1:]
    ):
        return []
    return [PlacedRow([_cell([cell.runs[at]]) for cell in row.cells]) for at in range(len(first))]


def _continues(above: Box, below: Box) -> bool:
    """Whether a line right below another one belongs to it: close, and aligned with it."""
    step = above.top - below.top
    height = max(above.height, below.height)
    if not 0.5 * height < step < _LINE_PITCH * height:
        return False
    left, right = below.left - above.left, below.right - above.right
    return min(abs(left), abs(right), abs(left + right) / 2) < _ALIGNED


def _share(one: Box, other: Box) -> float:
    """Return how much of the lower of two boxes lies at the height of the other."""
    overlap = min(one.top, other.top) - max(one.bottom, other.bottom)
    return overlap / max(min(one.height, other.height), 0.1)


def _is_upright(run: WordRun) -> bool:
    word = max(run.words, key=lambda one: one.end - one.start)
    return word.end - word.start > 2 and word.box.height > _UPRIGHT * word.box.width
