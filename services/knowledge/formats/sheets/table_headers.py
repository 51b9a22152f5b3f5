"""Where a table begins in a block of rows: titles above it, header rows of one or more levels, units below them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from services.knowledge.formats.sheets.table_rows import Row, cell_text, is_number

# Rows that are looked at.
_SAMPLE_ROWS = 60
_MOST_TITLES = 40
_MOST_LEVELS = 4
_LONGEST_NAME = 200
_LONGEST_UNIT = 14
_YEAR = re.compile(r"(?:19|20)\d\d")
_LABEL_END = (":", "：")


@dataclass(frozen=True, slots=True)
class TableStart:
    """How a block begins: lines above the table, the names of columns, and the first row that holds data.

    `strong`: the header differs from what is below it by more than its place.
    """

    titles: tuple[str, ...]
    header: dict[int, str]
    first: int
    strong: bool = False


def find_start(rows: Sequence[Row], *, levels: int | None = None, forms: bool = True) -> TableStart:
    """Return how a block of rows begins.

    Args:
        rows: the block.
        levels: the number of header rows, where it is known.
        forms: whether pairs of label and value may be a form; in a CSV file they are a table.
    """
    if levels is not None:
        return TableStart((), _joined(rows[:levels]), levels, strong=True)
    titles = _title_rows(rows)
    body = rows[titles:]
    lines = tuple(" ".join(_line_of(row).split()) for row in rows[:titles])
    depth, strong = _header_depth(body, forms=forms)
    if not depth:
        return TableStart(lines, {}, titles)
    header = _joined(body[:depth])
    if _is_units(body, depth):
        header = {
            column: _with_unit(header.get(column, ""), body[depth].cells.get(column, ""))
            for column in sorted(header.keys() | body[depth].cells.keys())
        }
        depth += 1
    return TableStart(lines, header, titles + depth, strong)


def _line_of(row: Row) -> str:
    """Return a row above a table as text: "Station: Berlin"."""
    cells = [cell_text(text) for column, text in row.cells.items() if column not in row.across]
    first = cells[0]
    joint = " " if first.endswith(_LABEL_END) or len(cells) > 2 or first.startswith("#") else ": "
    return joint.join(cells)


def _title_rows(rows: Sequence[Row]) -> int:
    """Return how many rows stand above the table: those with a cell or two where the table has more."""
    sample = rows[:_SAMPLE_ROWS]
    # What a row of the table has, as most rows are rows of the table.
    typical = max(median(row.distinct for row in sample), median(len(row.cells) for row in sample[len(sample) // 2 :]))
    if typical < 2:
        return 0
    most = 1 if typical < 5 else 2
    left = min(min(row.cells) for row in sample)
    count = 0
    for at, row in enumerate(rows[:_MOST_TITLES]):
        after = rows[at + 1] if at + 1 < len(rows) else None
        columns = [column for column in row.cells if column not in row.across]
        if after is None or len(columns) > most:
            break
        # The upper level of a header stands over other columns than the first.
        if len(columns) == 2 and (columns[1] != columns[0] + 1 or min(after.cells) > left):
            break
        if columns[0] > left and len(row.across) + 1 < typical and not _only_one(row, after):
            break
        count += 1
    return count


def _only_one(row: Row, after: Row) -> bool:
    """Whether a row is a single cell over a wider row: a title that somebody centred."""
    return row.distinct == 1 and after.distinct > 1 and min(after.cells) <= min(row.cells) and not row.across


def _header_depth(rows: Sequence[Row], *, forms: bool) -> tuple[int, bool]:
    """Return how many of the first rows are the header, and whether more than its place says so."""
    if len(rows) < 2:
        return 0, False
    first = rows[0]
    depth = 1
    while depth < min(len(rows) - 1, _MOST_LEVELS) and _continues(rows[:depth], rows[depth]):
        depth += 1
    if depth > 1 and _evidence(rows[depth - 1], rows[depth:]) >= 0:
        return depth, True
    evidence = _evidence(first, rows[1:])
    if evidence:
        return (1, True) if evidence > 0 else (0, False)
    if forms and _is_form(rows):
        return 0, False
    names = list(first.cells.values())
    width = max(len(row.cells) for row in rows[:_SAMPLE_ROWS])
    is_header = (
        len(names) >= 0.6 * width
        and not any(is_number(name) for name in names)
        and max(map(len, names)) <= _LONGEST_NAME
        and (len(set(names)) == len(names) or len(names) > 3)
    )
    return int(is_header), False


def _continues(header: Sequence[Row], row: Row) -> bool:
    """Whether `row` is a further level of the header that begins above it."""
    above = header[-1]
    if row.down and not any(is_number(text) and not _YEAR.fullmatch(text) for text in row.cells.values()):
        # Cells that are merged with the header above.
        names = {column for first in header for column in first.cells}
        if row.down & names and (len(row.down) < len(row.cells)) and above.across:
            return True
    if above.across and row.distinct > above.distinct:
        return not any(is_number(text) and not _YEAR.fullmatch(text.strip()) for text in row.cells.values())
    # A merged header in a file that knows no merged cells: gaps behind each name of the upper level.
    first = min(*row.cells, *above.cells)
    filled = [column for column in above.cells if column > first]
    begin = min(filled, default=0)
    gaps = any(column > begin and column not in above.cells for column in row.cells)
    if len(above.cells) < 0.75 * len(row.cells) and gaps and len(filled) >= 2:
        return not any(is_number(text) and not _YEAR.fullmatch(text.strip()) for text in row.cells.values())
    return False


def _evidence(first: Row, below: Sequence[Row]) -> int:
    """Return 1 where the types of the first row say that it is a header, -1 that it is data, 0 if they say nothing."""
    sample = below[:_SAMPLE_ROWS]
    named = same = 0
    series: list[str] = []
    for column, text in first.cells.items():
        values = [row.cells[column] for row in sample if column in row.cells]
        if not values or sum(map(_is_data, values)) < 0.6 * len(values):
            continue
        if not _is_data(text):
            named += 1
        elif _YEAR.fullmatch(text.strip()) and not all(_YEAR.fullmatch(value.strip()) for value in values):
            series.append(text)
        else:
            same += 1
            series.append(text)
    if named and same <= named:
        return 1
    if series and _is_series(series) and not is_number(next(iter(first.cells.values()))):
        return 1
    return -1 if same else 0


def _is_data(text: str) -> bool:
    """Whether a cell is no name: a number, a formula, an error, true or false."""
    return is_number(text) or text[0] in "=#" or text in {"TRUE", "FALSE", "true", "false"}


def _is_series(names: Sequence[str]) -> bool:
    """Whether names of columns are a series: one or two years, three or more numbers in steps of one, or dates."""
    if len(names) < 3:
        return all(_YEAR.fullmatch(name.strip()) for name in names)
    if not all(name.strip().isdigit() for name in names):
        return len(set(names)) == len(names) and all(re.search(r"[-/.:]", name) for name in names)
    numbers = [int(name) for name in names]
    return all(after - before == 1 for before, after in pairwise(numbers))


def _is_form(rows: Sequence[Row]) -> bool:
    """Whether a block is made of labels and values, a pair in each row, with values of several kinds."""
    sample = rows[:_SAMPLE_ROWS]
    if max(len(row.cells) for row in sample) != 2 or len(rows) > _SAMPLE_ROWS:
        return False
    labels = [next(iter(row.cells.values())) for row in sample]
    if sum(label.rstrip().endswith(_LABEL_END) for label in labels) >= 0.5 * len(labels):
        return True
    values = [list(row.cells.values())[1] for row in sample if len(row.cells) == 2]
    numbers = sum(map(is_number, values))
    return len(set(labels)) == len(labels) and len(labels) >= 3 and 0.2 <= numbers / max(len(values), 1) <= 0.8


def _is_units(body: Sequence[Row], depth: int) -> bool:
    """Whether the row below the header has the units of columns: short words over numbers alone."""
    if len(body) < depth + 2 or max(map(len, (row.cells for row in body[:depth]))) < 2:
        return False
    row, below = body[depth], body[depth + 1 : depth + 1 + _SAMPLE_ROWS]
    texts = row.cells.values()
    if not texts or any(is_number(text) or len(text) > _LONGEST_UNIT for text in texts):
        return False
    numeric = {
        column
        for column in {column for each in below for column in each.cells}
        if (values := [each.cells[column] for each in below if column in each.cells])
        and sum(map(is_number, values)) >= 0.6 * len(values)
    }
    bracketed = all(text.strip()[0] in "[(" and text.strip()[-1] in "])" for text in texts)
    return bool(numeric) and (bracketed or row.cells.keys() <= numeric)


def _with_unit(name: str, unit: str) -> str:
    unit = unit.strip()
    if not unit:
        return name
    return f"{name} {unit}".strip() if unit[0] in "[(" or not name else f"{name} ({unit})"


def _joined(levels: Sequence[Row]) -> dict[int, str]:
    """Return the name of each column, the levels of the header joined: "2025 / Q1"."""
    columns = sorted({column for row in levels for column in row.cells})
    names: dict[int, list[str]] = {column: [] for column in columns}
    for depth, row in enumerate(levels):
        lower = depth + 1 < len(levels)
        last = ""
        for column in columns:
            text = cell_text(row.cells.get(column, ""))
            # A name of an upper level holds until the next one, where the cells are not merged.
            if not text and lower and last and not row.across and column not in row.down and column > columns[0]:
                text = last
            if text and (not names[column] or names[column][-1] != text):
                names[column].append(text)
            last = text
    return {column: " / ".join(parts) for column, parts in names.items()}
