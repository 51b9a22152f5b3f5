"""CSV and its relatives: which character separates the cells, how they are quoted, and what stands above the table."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from services.core.machine import MEGABYTE
from services.knowledge.formats.sheets.table_layout import table_sections
from services.knowledge.formats.sheets.table_rows import Row, is_number
from services.knowledge.types import Section

# In the order of preference where several fit equally well.
_DELIMITERS = (",", ";", "\t", "|", ":", "^", "~", "\x1f", "¦", "§", "，", "；")
_SAMPLE_CHARACTERS = 20_000
_SAMPLE_ROWS = 100
_LEAST_TAB_ROWS = 3
_LARGEST_CELL = 16 * MEGABYTE
# More line breaks than a quoted cell has: a quotation mark that was never closed.
_MOST_BREAKS = 200
_SEP = re.compile(r"\ufeff?\"?sep=(.)\"?[ \t]*\n", re.IGNORECASE)


class _Dialect(csv.Dialect):
    """A dialect of CSV with what the reader needs."""

    quotechar = '"'
    doublequote = True
    skipinitialspace = True
    lineterminator = "\n"
    quoting = csv.QUOTE_MINIMAL
    strict = False

    def __init__(self, delimiter: str, *, escapes: bool = False, quotes: bool = True) -> None:
        self.delimiter = delimiter
        self.skipinitialspace = delimiter != "\t"
        if escapes:
            self.escapechar, self.doublequote = "\\", False
        if not quotes:
            self.quoting, self.quotechar = csv.QUOTE_NONE, None  # type: ignore[assignment]  # as csv has it
        super().__init__()


def read_csv(text: str, name: str = "") -> Iterator[Section]:
    """Yield the sections of the tables in a CSV file.

    Raises:
        TooLargeError: it has more filled cells than a table that people read.
    """
    csv.field_size_limit(_LARGEST_CELL)
    stated = _SEP.match(text)
    if stated:
        text = text[stated.end() :]
    dialect = _dialect(text, stated[1] if stated else "\t" if name.lower().endswith((".tsv", ".tab")) else "")
    yield from table_sections(_rows(text, dialect), side_by_side=False)


def is_tab_table(text: str) -> bool:
    """Whether a plain text is a table with tabs: the same number of them in each of its first lines."""
    lines = [line for line in text[:_SAMPLE_CHARACTERS].split("\n")[:_SAMPLE_ROWS] if line.strip()]
    if len(text) > _SAMPLE_CHARACTERS:
        lines = lines[:-1]
    counts = {line.count("\t") for line in lines}
    return len(counts) == 1 and len(lines) >= _LEAST_TAB_ROWS and min(counts) > 0 and not text.startswith("\t")


def _rows(text: str, dialect: _Dialect) -> Iterator[Row]:
    for number, cells in enumerate(csv.reader(io.StringIO(text, newline=""), dialect), start=1):
        filled = {column: cell for column, cell in enumerate(cells) if cell and not cell.isspace()}
        if filled:
            yield Row(number, filled)


def _dialect(text: str, delimiter: str) -> _Dialect:
    """Return the dialect of a file, by its first rows; `delimiter` is what its name or its first line says."""
    sample = text[:_SAMPLE_CHARACTERS]
    if len(text) > len(sample):
        # The last row of a sample may be cut off.
        sample = sample[: sample.rfind("\n") + 1] or sample
    escapes = '\\"' in sample and '""' not in sample.replace('\\"', "")
    if not delimiter or delimiter not in sample:
        delimiter = max(_DELIMITERS, key=lambda each: _fit(sample, _Dialect(each, escapes=escapes)))
        if _fit(sample, _Dialect(delimiter, escapes=escapes)) <= 0:
            delimiter = ","
    dialect = _Dialect(delimiter, escapes=escapes)
    if '"' in text and _is_unclosed(text, dialect):
        dialect = _Dialect(delimiter, escapes=escapes, quotes=False)
    return dialect


def _is_unclosed(text: str, dialect: _Dialect) -> bool:
    """Whether a quotation mark swallows many lines: it stands for inches, or was forgotten."""
    try:
        return any(
            cell.count("\n") > _MOST_BREAKS or (cell.count("\n") > 3 and cell.count(dialect.delimiter) > 50)
            for row in csv.reader(io.StringIO(text, newline=""), dialect)
            for cell in row
            if "\n" in cell
        )
    except csv.Error:
        return True


def _fit(sample: str, dialect: _Dialect) -> float:
    """Return how well a dialect explains a sample, 0 where it finds one column.

    The share of rows with as many cells as most rows have, times the share of cells that are whole: no number cut in
    two, no other delimiter at work inside.
    """
    rows: list[Sequence[str]] = []
    if dialect.delimiter not in sample:
        return 0.0
    try:
        for row in csv.reader(io.StringIO(sample, newline=""), dialect):
            if any(cell and not cell.isspace() for cell in row):
                rows.append(row)
            if len(rows) >= _SAMPLE_ROWS:
                break
    except csv.Error:
        return 0.0
    counts = Counter(len(row) for row in rows)
    width, alike = max(counts.items(), key=lambda item: (item[0] > 1 and item[1], item[0]), default=(0, 0))
    if width < 2:
        return 0.0
    # Prose has commas, too: rows with cells of a sentence each are no table.
    cells = [cell for row in rows if len(row) == width for cell in row]
    whole = sum(_is_whole(cell, dialect.delimiter) for cell in cells) / len(cells)
    consistent = alike / len(rows) if len(rows) > 1 else 0.5
    times = 1.0 if dialect.delimiter in {",", ";", "\t", "|"} else 0.7
    return times * consistent * whole * (1 - 1 / (2 * width))


def _is_whole(cell: str, delimiter: str) -> bool:
    if not cell or is_number(cell):
        return True
    others = [other for other in (";", "\t", "|") if other != delimiter]
    return not any(other in cell for other in others) and not (delimiter != "," and _many_commas(cell))


def _many_commas(cell: str) -> bool:
    """Whether commas separate more cells than words: "a,b,c"."""
    return len(re.findall(r",(?=\S)", cell)) > 1
