"""The columns of a table on a PDF page: where its cells begin and end, and which of them a run of words lies in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from services.knowledge.formats.pdf.pdf_grid import Grid, distinct
from services.knowledge.formats.pdf.pdf_page import Box, Fonts, Word
from services.knowledge.formats.pdf.pdf_rows import PlacedCell, PlacedRow, WordRun, joined, runs_of

Columns = list[tuple[float, float]]
MAX_COLUMNS = 60
# Cells that reach over several columns are rare in tables.
_MAX_SPANNING = 0.34
ALIGNED = 2.5  # points by which edges of one column may differ


def ruled_columns(rows: Sequence[PlacedRow], grid: Grid, box: Box) -> Columns:
    """Return the columns between vertical lines; none if there are no such lines through most rows."""
    counted: dict[float, int] = {}
    for row in rows:
        middle = (row.box.bottom + row.box.top) / 2
        for at in grid.down_at(middle):
            near = next((known for known in counted if abs(known - at) <= ALIGNED), at)
            counted[near] = counted.get(near, 0) + 1
    inner = sorted(
        at for at, count in counted.items() if count >= max(2, len(rows) * 0.5) and box.left + 2 < at < box.right - 2
    )
    if not inner or len(inner) >= MAX_COLUMNS:
        return []
    edges = [box.left - 1, *inner, box.right + 1]
    return list(pairwise(edges))


def free_columns(rows: Sequence[PlacedRow], fonts: Fonts) -> tuple[Columns, int]:
    """Return the columns that cells without lines stand in, and how many of the first rows they fit."""
    columns: Columns = []
    order = sorted(range(len(rows)), key=lambda at: -len(rows[at].cells))
    spanning: set[int] = set()
    for at in order:
        columns = _without_wide(columns, rows[at])
        for cell in rows[at].cells:
            over = [number for number, column in enumerate(columns) if overlap(cell.box, column) > 1.0]
            if len(over) > 1:
                spanning.add(at)
            elif over:
                left, right = columns[over[0]]
                columns[over[0]] = (min(left, cell.box.left), max(right, cell.box.right))
            elif len(columns) < MAX_COLUMNS:
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


def _without_wide(columns: Columns, row: PlacedRow) -> Columns:
    """Return the columns without those that two cells of a row stand in, cells in no other column."""
    alone = [cell for cell in row.cells if sum(overlap(cell.box, column) > 1.0 for column in columns) == 1]
    return [column for column in columns if sum(overlap(cell.box, column) > 1.0 for cell in alone) < 2]


def _splits(row: PlacedRow, columns: Sequence[tuple[float, float]], fonts: Fonts) -> bool:
    return all(
        len(split_at_columns(run, columns, fonts)) > 1 or sum(overlap(run.box, column) > 1.0 for column in columns) < 2
        for cell in row.cells
        for run in cell.runs
    )


def parted_columns(rows: Sequence[PlacedRow], columns: Columns, fonts: Fonts) -> Columns:
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
        if sum(abs(other - start) <= ALIGNED for other in starts) < least or any(
            word.box.left < start - ALIGNED and word.box.right > start + 1 for word in words
        ):
            continue
        for number, (left, right) in enumerate(columns):
            if left + ALIGNED < start < right - ALIGNED and len(columns) < MAX_COLUMNS:
                ends = (word.box.right for word in words if left <= word.box.left < start - ALIGNED)
                before = max(ends, default=start)
                columns[number : number + 1] = [(left, min(before, start)), (start, right)]
                break
    return columns


def with_split_words(row: PlacedRow, columns: Sequence[tuple[float, float]], fonts: Fonts) -> PlacedRow:
    """Return a row with words parted that reach over two columns and were drawn in parts."""

    def words(run: WordRun) -> Iterator[Word]:
        for word in run.words:
            over = sum(overlap(word.box, column) > 1.0 for column in columns)
            yield from fonts.split(word) if over > 1 else [word]

    return PlacedRow([PlacedCell([as_run(list(words(run))) for run in cell.runs], cell.box) for cell in row.cells])


def split_at_lines(run: WordRun, columns: Sequence[tuple[float, float]], grid: Grid) -> list[WordRun]:
    """Split a run where vertical lines cross its line."""
    middle = (run.box.bottom + run.box.top) / 2
    edges = [at for at in grid.down_at(middle) if run.box.left + 1 < at < run.box.right - 1]
    edges = [at for at in edges if any(abs(at - right) <= ALIGNED for _left, right in columns[:-1])]
    if not edges:
        return [run]
    parts: list[list[Word]] = [[] for _edge in range(len(edges) + 1)]
    for word in run.words:
        centre = (word.box.left + word.box.right) / 2
        parts[sum(at < centre for at in edges)].append(word)
    return [part for words in parts if words for part in runs_of(words)]


def split_at_columns(run: WordRun, columns: Sequence[tuple[float, float]], fonts: Fonts) -> list[WordRun]:
    """Split a run that lies over several columns where a word begins or ends at the edge of one."""
    over = [number for number, column in enumerate(columns) if overlap(run.box, column) > 1.0]
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
        if abs(words[at].box.left - column[0]) <= ALIGNED:
            return at
    for at in places:
        ends = abs(words[at - 1].box.right - before[1]) <= ALIGNED
        if ends or words[at].box.left - words[at - 1].box.right > 0.6 * words[at].box.height:
            return at
    for at in places:
        if words[at].box.left > before[1] - ALIGNED and not fonts.together(words[at - 1], words[at]):
            return at
    return 0


def as_run(words: list[Word]) -> WordRun:
    """Return words as one run."""
    box = words[0].box
    for word in words[1:]:
        box = joined(box, word.box)
    return WordRun(words, box)


def column_of(box: Box, columns: Sequence[tuple[float, float]]) -> int:
    """Return the column that a box lies in: the first that holds a good part of it, else the nearest."""
    width = max(box.width, 0.1)
    for number, column in enumerate(columns):
        share = overlap(box, column)
        if share > 0.5 * width or share > 0.5 * (column[1] - column[0]):
            return number
    return max(range(len(columns)), key=lambda number: overlap(box, columns[number]))


def overlap(box: Box, column: tuple[float, float]) -> float:
    """Return how far a box and a column lie over each other; negative is the distance between them."""
    return min(box.right, column[1]) - max(box.left, column[0])
