"""XLSB workbooks: Excel's binary records ([MS-XLSB]) in a zip file, the cells of each sheet as they are shown."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from services.core.i18n import _
from services.knowledge.formats import marks
from services.knowledge.formats.open_package import Package, check_entities
from services.knowledge.formats.reading import Reading
from services.knowledge.formats.sheets.merged_cells import MergedCells
from services.knowledge.formats.sheets.number_formats import BUILTIN, NumberFormat, general, number_format
from services.knowledge.formats.sheets.sheet_notes import SheetNotes
from services.knowledge.formats.sheets.table_layout import table_sections
from services.knowledge.formats.sheets.table_rows import Row
from services.knowledge.formats.sheets.xlsx_parts import drawn_texts
from services.knowledge.notes import NoteKind
from services.knowledge.types import Section

# Numbers of records, [MS-XLSB] 2.3.
# Cells: 2 short number, 3 error, 4 truth, 5 number, 6 text, 7 shared text, 8 to 11 the same of formulas.
_ROW, _FIRST_CELL, _LAST_CELL, _RICH_STRING = 0, 2, 11, 62
_STRING_ITEM, _FORMAT, _STYLE, _COLUMN, _WORKBOOK, _SHEET, _MERGED = 19, 44, 47, 60, 153, 156, 176
_STYLES_BEGIN, _STYLES_END, _AUTHOR, _COMMENT, _COMMENT_TEXT = 617, 618, 632, 635, 637
_HIDDEN_ROW = 0x10
_ERRORS = {0: "#NULL!", 7: "#DIV/0!", 15: "#VALUE!", 23: "#REF!", 29: "#NAME?", 36: "#NUM!", 42: "#N/A"}


def read_xlsb(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of each sheet.

    Raises:
        BadInputError: the workbook is damaged.
        TooLargeError: a sheet has more filled cells than a table that people read.
    """
    check_entities(stream)
    package = Package(stream, reading.notes)
    part = package.main_part("xl/workbook.bin")
    book = _Book(package, part)
    relations = package.relations(part)
    sheets = [data for number, data in _records(package, part) if number == _SHEET]
    for number, data in enumerate(sheets):
        reading.progress(number, len(sheets))
        identifier, at = _wide(data, 8)
        name, _at = _wide(data, at)
        notes = SheetNotes(reading.notes, name)
        if _u32(data, 0):
            notes.hidden_sheet()
        relation = relations.get(identifier)
        if relation is None or relation.target not in package:
            reading.notes.add(NoteKind.DAMAGED_PARTS, place=name)
            continue
        if relation.kind == "worksheet":
            yield from table_sections(book.rows(relation.target, notes), name)
            notes.finish()
        for text in drawn_texts(package, relation.target, reading.notes):
            yield Section(text, sheet=name)
    reading.progress(len(sheets), len(sheets))


@dataclass(slots=True)
class _Book:
    """What the cells of all sheets need, and the rows of a sheet."""

    package: Package
    part: str
    strings: list[str] = field(default_factory=list)
    formats: list[NumberFormat | None] = field(default_factory=list)
    date1904: bool = False

    def __post_init__(self) -> None:
        for part in self.package.related(self.part, "sharedStrings"):
            self.strings = [
                _wide(data, 1)[0] for number, data in _records(self.package, part) if number == _STRING_ITEM
            ]
        self.date1904 = any(number == _WORKBOOK and data[0] & 1 for number, data in _records(self.package, self.part))
        codes = dict(BUILTIN)
        in_cells = False
        for part in self.package.related(self.part, "styles"):
            for number, data in _records(self.package, part):
                if number == _FORMAT:
                    codes[_u16(data, 0)] = _wide(data, 2)[0]
                elif number in {_STYLES_BEGIN, _STYLES_END}:
                    in_cells = number == _STYLES_BEGIN
                elif number == _STYLE and in_cells:
                    code = codes.get(_u16(data, 2), "")
                    self.formats.append(None if code in {"", "General"} else number_format(code))

    def rows(self, part: str, notes: SheetNotes) -> Iterator[Row]:
        """Yield the rows of a sheet that are not empty."""
        merged = MergedCells()
        for number, data in _records(self.package, part):
            if number == _MERGED:
                top, bottom, left, right = struct.unpack_from("<4I", data)
                merged.add(top + 1, left, bottom + 1, right)
            elif number == _COLUMN and data[16] & 1:
                notes.hidden_columns(_u32(data, 0), _u32(data, 4))
        comments = self._comments(part)
        at, cells, hidden = -1, dict[int, str](), False
        for number, data in _records(self.package, part):
            if number == _ROW:
                yield from _row(merged, at, cells, hidden=hidden, notes=notes)
                at, cells, hidden = _u32(data, 0), {}, bool(data[11] & _HIDDEN_ROW)
            elif _FIRST_CELL <= number <= _LAST_CELL or number == _RICH_STRING:
                column = _u32(data, 0)
                text = self._text(number, data)
                for comment in comments.get((at, column), ()):
                    notes.comments(1)
                    text = f"{text} [{comment}]"
                if text and not text.isspace():
                    cells[column] = text
        yield from _row(merged, at, cells, hidden=hidden, notes=notes)

    def _text(self, number: int, data: bytes) -> str:
        """Return what a cell shows."""
        style = _u32(data, 4) & 0xFFFFFF
        shown = self.formats[style] if style < len(self.formats) else None
        match number:
            case 2:  # a number in 30 bits
                raw = _u32(data, 8)
                value = float(struct.unpack("<i", data[8:12])[0] >> 2)
                if not raw & 2:
                    value = struct.unpack("<d", b"\0\0\0\0" + struct.pack("<I", raw & 0xFFFFFFFC))[0]
                return self._number(value / 100 if raw & 1 else value, shown)
            case 5 | 9:
                return self._number(struct.unpack_from("<d", data, 8)[0], shown)
            case 3 | 11:
                return _ERRORS.get(data[8], "#ERROR")
            case 4 | 10:
                return _("TRUE") if data[8] else _("FALSE")
            case 7:
                at = _u32(data, 8)
                text = self.strings[at] if at < len(self.strings) else ""
            case _:
                text = _wide(data, 9 if number == _RICH_STRING else 8)[0]
        return text if shown is None else shown.text(text)

    def _number(self, value: float, shown: NumberFormat | None) -> str:
        return general(value) if shown is None else shown.number(value, date1904=self.date1904)

    def _comments(self, sheet: str) -> dict[tuple[int, int], list[str]]:
        """Return the comments of a sheet by row and column."""
        found: dict[tuple[int, int], list[str]] = {}
        for part in self.package.related(sheet, "comments"):
            authors: list[str] = []
            place, author = (0, 0), ""
            for number, data in _records(self.package, part):
                if number == _AUTHOR:
                    authors.append(_wide(data, 0)[0])
                elif number == _COMMENT:
                    by, row, column = _u32(data, 0), _u32(data, 4), _u32(data, 12)
                    place, author = (row, column), authors[by] if by < len(authors) else ""
                elif number == _COMMENT_TEXT:
                    text = _wide(data, 1)[0].removeprefix(f"{author}:").strip()
                    found.setdefault(place, []).append(marks.comment(author, text).text)
        return found


def _row(merged: MergedCells, at: int, cells: dict[int, str], *, hidden: bool, notes: SheetNotes) -> Iterator[Row]:
    if at < 0:
        return
    if hidden and cells:
        notes.hidden_row()
    row = merged.fill(at + 1, cells)
    if row.cells:
        yield row


def _records(package: Package, part: str) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the data of each record of a part."""
    with package.open(part) as stream:
        data = stream.read()
    at = 0
    while at < len(data):
        number = data[at]
        at += 1
        if number & 0x80:
            number = (number & 0x7F) | (data[at] << 7)
            at += 1
        size = shift = 0
        while True:
            byte = data[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        yield number, data[at : at + size]
        at += size


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _wide(data: bytes, at: int) -> tuple[str, int]:
    """Return the text at a place, and the place behind it."""
    length = _u32(data, at)
    if length > len(data):  # a text that is absent
        return "", at + 4
    end = at + 4 + 2 * length
    return data[at + 4 : end].decode("utf-16-le", errors="replace"), end
