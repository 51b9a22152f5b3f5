"""Tables in a full grid of lines on a PDF page: each word belongs to the cell that it lies in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from services.knowledge.formats.pdf.pdf_grid import Edge, Grid, covered, distinct
from services.knowledge.formats.pdf.pdf_page import Box, Word
from services.knowledge.formats.pdf.pdf_rows import WordRun, runs_of
from services.knowledge.formats.pdf.pdf_tables import Table

# Lines of a page, pieces of one line joined; pages with more are drawings.
_MAX_LINES = 400
_TOUCHING = 4.0
_LEAST_SHARE = 0.25  # of a table's width or height that a line between its cells covers
# Cells beside each other that all have more lines than this, at the same heights, are rows without lines between them.
_MAX_EQUAL_LINES = 2
_MAX_COLUMNS = 60
_MAX_REPEATED = 60  # words of a merged cell that stand in every cell that it covers


@dataclass(slots=True)
class _Component:
    """Lines that touch each other."""

    across: list[Edge]
    down: list[Edge]

    def box(self) -> Box:
        return Box(
            min(edge.start for edge in self.across),
            min(edge.start for edge in self.down),
            max(edge.end for edge in self.across),
            max(edge.end for edge in self.down),
        )


def find_ruled_tables(words: Sequence[Word], grid: Grid) -> list[Table]:
    """Return the tables whose cells are all between lines, in the order of the text."""
    tables: list[Table] = []
    for component in _components(grid):
        table = _table(component, words, grid)
        if table is not None and not any(table.start < other.end and other.start < table.end for other in tables):
            tables.append(table)
    return sorted(tables, key=lambda table: table.start)


def _components(grid: Grid) -> Iterator[_Component]:
    """Yield the groups of lines that touch each other and could enclose at least two rows and columns."""
    across, down = _long_lines(grid.across), _long_lines(grid.down)
    if len(across) < 3 or len(down) < 3 or len(across) + len(down) > _MAX_LINES:
        return
    group = list(range(len(across) + len(down)))

    def root(at: int) -> int:
        while group[at] != at:
            group[at] = group[group[at]]
            at = group[at]
        return at

    for one, horizontal in enumerate(across):
        for other, vertical in enumerate(down):
            if (
                horizontal.start - _TOUCHING <= vertical.at <= horizontal.end + _TOUCHING
                and vertical.start - _TOUCHING <= horizontal.at <= vertical.end + _TOUCHING
            ):
                group[root(len(across) + other)] = root(one)
    members: dict[int, _Component] = {}
    for at in range(len(group)):
        component = members.setdefault(root(at), _Component([], []))
        if at < len(across):
            component.across.append(across[at])
        else:
            component.down.append(down[at - len(across)])
    for component in members.values():
        if len(component.across) > 2 and len(component.down) > 2:
            yield component


def _long_lines(edges: Sequence[Edge]) -> list[Edge]:
    """Join pieces that lie in one line and touch."""
    lines: list[Edge] = []
    for edge in sorted(edges, key=lambda one: (round(one.at / 2), one.start)):
        before = lines[-1] if lines else None
        if before is not None and abs(before.at - edge.at) <= 2 and edge.start <= before.end + _TOUCHING:
            lines[-1] = Edge(before.at, before.start, max(before.end, edge.end))
        else:
            lines.append(edge)
    return lines


def _table(component: _Component, words: Sequence[Word], grid: Grid) -> Table | None:
    box = component.box()
    inside = [word for word in words if _is_inside(word.box, box)]
    if not inside:
        return None
    start, end = min(word.start for word in inside), max(word.end for word in inside)
    if sum(start <= word.start < end for word in words) != len(inside):
        return None
    near = grid.within(box, _TOUCHING)
    heights = [
        at
        for at in reversed(distinct(edge.at for edge in component.across))
        if covered([edge for edge in near.across if abs(edge.at - at) <= 3], box.left, box.right)
        >= _LEAST_SHARE * box.width
    ]
    places = [
        at
        for at in distinct(edge.at for edge in component.down)
        if covered([edge for edge in near.down if abs(edge.at - at) <= 3], box.bottom, box.top)
        >= _LEAST_SHARE * box.height
    ]
    if len(heights) < 3 or not 3 <= len(places) <= _MAX_COLUMNS:
        return None
    columns = list(pairwise(places))
    cells, wide = _cells(inside, heights, columns, near)
    if _has_rows_between(cells):
        return None
    rows = _rows(cells, heights, columns, near)
    _spread(rows, wide)
    kept = [number for number, row in enumerate(rows) if any(row)]
    filled = [number for number in range(len(columns)) if any(rows[row][number] for row in kept)]
    body = [[rows[row][number] for number in filled] for row in kept]
    if len(filled) < 2 or sum(sum(map(bool, row)) > 1 for row in body) < 2:
        return None
    boxes = [Box(box.left, heights[row + 1], box.right, heights[row]) for row in kept]
    table = Table(body, [columns[number] for number in filled], boxes, start, end, ruled=True)
    # Names over several columns, and below them one for each.
    titles = [band for band in kept if wide.get((band, 0)) == len(columns) - 1]
    first = next((band for band in kept if band not in titles), kept[0])
    if len(body) - len(titles) > 2 and any(band == first for band, _column in wide):
        table.header_rows = 2
    return table


def _is_inside(one: Box, box: Box) -> bool:
    x, y = (one.left + one.right) / 2, (one.bottom + one.top) / 2
    return box.left - 1 <= x <= box.right + 1 and box.bottom - 1 <= y <= box.top + 1


def _has_rows_between(cells: dict[tuple[int, int], list[Word]]) -> bool:
    """Whether rows without lines between them are in one band: at least three lines, the same in all its cells."""
    bands: dict[int, list[list[float]]] = {}
    for (band, _column), words in cells.items():
        heights = distinct((word.box.bottom + word.box.top) / 2 for word in words)
        bands.setdefault(band, []).append(heights)
    return any(
        len(found) > 1
        and len(found[0]) > _MAX_EQUAL_LINES
        and all(
            len(other) == len(found[0]) and all(abs(one - two) < 2 for one, two in zip(found[0], other, strict=True))
            for other in found[1:]
        )
        for found in bands.values()
    )


def _cells(
    words: Sequence[Word], heights: Sequence[float], columns: Sequence[tuple[float, float]], grid: Grid
) -> tuple[dict[tuple[int, int], list[Word]], dict[tuple[int, int], int]]:
    """Return the words by band and by the first column of the cell that they lie in, and the last one of wide cells."""
    cells: dict[tuple[int, int], list[Word]] = {}
    wide: dict[tuple[int, int], int] = {}
    edges: dict[int, list[float]] = {}
    for word in words:
        y = (word.box.bottom + word.box.top) / 2
        x = (word.box.left + word.box.right) / 2
        band = min(max(sum(at > y for at in heights) - 1, 0), len(heights) - 2)
        if band not in edges:
            edges[band] = grid.down_at((heights[band] + heights[band + 1]) / 2)
        left = max((at for at in edges[band] if at <= x), default=columns[0][0])
        right = min((at for at in edges[band] if at > x), default=columns[-1][1])
        column = min(range(len(columns)), key=lambda number: abs(columns[number][0] - left))
        last = min(range(len(columns)), key=lambda number: abs(columns[number][1] - right))
        cells.setdefault((band, column), []).append(word)
        if last > column:
            wide[band, column] = last
    return cells, wide


def _spread(rows: list[list[list[WordRun]]], wide: dict[tuple[int, int], int]) -> None:
    """Put the text of cells over several columns into each of them, except that of a title over all."""
    for (band, column), last in wide.items():
        runs = rows[band][column]
        whole = column == 0 and last == len(rows[band]) - 1
        if not whole and sum(len(run.words) for run in runs) <= _MAX_REPEATED:
            for number in range(column + 1, last + 1):
                rows[band][number] = rows[band][number] or runs


def _rows(
    cells: dict[tuple[int, int], list[Word]],
    heights: Sequence[float],
    columns: Sequence[tuple[float, float]],
    grid: Grid,
) -> list[list[list[WordRun]]]:
    """Return the runs of each cell; cells without a line between them are one, and stand in each of their rows."""
    bands = len(heights) - 1
    rows: list[list[list[WordRun]]] = [[[] for _column in columns] for _band in range(bands)]
    for number, (left, right) in enumerate(columns):
        first = 0
        for band in range(bands):
            below = heights[band + 1]
            parted = band + 1 == bands or any(
                abs(edge.at - below) <= 3 and min(edge.end, right) - max(edge.start, left) > (right - left) / 2
                for edge in grid.across
            )
            if not parted:
                continue
            words = [word for each in range(first, band + 1) for word in cells.get((each, number), ())]
            runs = runs_of(sorted(words, key=lambda word: word.start))
            if len(words) <= _MAX_REPEATED:
                for each in range(first, band + 1):
                    rows[each][number] = runs
            else:
                rows[first][number] = runs
            first = band + 1
    return rows
