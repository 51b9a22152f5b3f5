"""CSV and XLSX as table sections, each with the header row first, so that every chunk can repeat it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import date, datetime, time
from typing import BinaryIO

from services.core.errors import TooLargeError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.knowledge.formats.reading import Reading
from services.knowledge.types import Section

# Rows of one section; each repeats the header.
_SECTION_ROWS = 200
_MAX_TITLES = 5
MAX_CELLS = 3_000_000
_DELIMITERS = ",;\t|"


def read_csv(text: str) -> Iterator[Section]:
    """Yield the sections of a table in CSV, the delimiter detected from the first lines."""
    csv.field_size_limit(16 * MEGABYTE)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text[:8192]))
    yield from _sections(rows, "")


def _delimiter(sample: str) -> str:
    """Return the delimiter that gives the first rows the most columns in common."""

    def columns(delimiter: str) -> int:
        rows = [row for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter) if row][:20]
        # The last row of a sample may be cut off.
        return min((len(row) for row in rows[:-1] or rows), default=0)

    return max(_DELIMITERS, key=columns)


def read_xlsx(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of each sheet, values as they were last computed."""
    import warnings

    import openpyxl  # type: ignore[import-untyped]

    from services.knowledge.formats.office import check_entities

    check_entities(stream)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about features irrelevant for text
        with closing(openpyxl.load_workbook(stream, read_only=True, data_only=True, keep_links=False)) as book:
            sheets = book.worksheets
            for number, sheet in enumerate(sheets, start=1):
                reading.progress(number - 1, len(sheets))
                # The declared extent may be wrong: rows are read until they end.
                sheet.reset_dimensions()
                rows = ([_cell(value) for value in row] for row in sheet.iter_rows(values_only=True))
                yield from _sections(rows, sheet.title)
            reading.progress(len(sheets), len(sheets))


def _sections(rows: Iterable[list[str]], sheet: str) -> Iterator[Section]:
    header = ""
    lines: list[str] = []
    titles: list[str] = []
    cells = sent = 0
    for row in rows:
        cells += max(len(row), 1)
        if cells > MAX_CELLS:
            raise TooLargeError(
                _("The table has more than {most} cells.").format(most=MAX_CELLS),
                _("Split it into smaller tables, or export only the columns that matter."),
            )
        line = _line(row)
        if not line:
            continue
        if header:
            lines.append(line)
        elif " | " not in line and len(titles) < _MAX_TITLES:
            titles.append(line)  # a title above the table, if a row with more cells follows
        elif " | " in line:
            header = line
            if titles:
                yield Section("\n".join(title[2:-2] for title in titles), sheet=sheet)
        else:
            header, lines = titles[0], [*titles[1:], line]
        if len(lines) >= _SECTION_ROWS:
            yield _table(header, lines, sheet)
            sent += 1
            lines = []
    if not header and titles:
        header, lines = titles[0], titles[1:]
    if lines:
        yield _table(header, lines, sheet)
    elif header and not sent:
        yield Section(header, sheet=sheet)


def _table(header: str, lines: list[str], sheet: str) -> Section:
    rule = "|" + " --- |" * max(header.count(" |"), 1)
    return Section("\n".join([header, rule, *lines]), sheet=sheet)


def _line(row: list[str]) -> str:
    """Return a row as a table line, empty cells at its end dropped; "" for an empty row."""
    cells = [" ".join(cell.split()).replace("|", "¦") for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return "| " + " | ".join(cells) + " |" if cells else ""


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(" ") if value.time() != time() else value.date().isoformat()
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
