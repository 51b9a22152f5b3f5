"""XLS workbooks (Excel 2 to 2003), through xlrd; through calamine, as stored values, what xlrd cannot read."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO

from services.core.errors import BadInputError
from services.core.i18n import _
from services.knowledge.formats import marks
from services.knowledge.formats.reading import Reading
from services.knowledge.formats.sheets.merged_cells import MergedCells
from services.knowledge.formats.sheets.number_formats import general, number_format
from services.knowledge.formats.sheets.sheet_notes import SheetNotes
from services.knowledge.formats.sheets.table_layout import table_sections
from services.knowledge.formats.sheets.table_rows import Row
from services.knowledge.notes import NoteKind
from services.knowledge.types import Section

if TYPE_CHECKING:
    from xlrd.book import Book  # type: ignore[import-untyped]
    from xlrd.sheet import Sheet  # type: ignore[import-untyped]

# Records of the file format, [MS-XLS] 2.3.
_BOF, _EOF, _CONTINUE, _TXO, _FORMULA = 0x0809, 0x000A, 0x003C, 0x01B6, 0x0006
_NO_VALUE = b"\x03\0\0\0\0\0\xff\xff"
_CHART = b"\x20\x00"
_BIFF8 = 80
_NUMBER, _DATE, _BOOLEAN, _ERROR = 2, 3, 4, 5
_MIDNIGHT = "00:00:00"


def read_xls(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of each sheet of an XLS workbook; one that xlrd cannot read is read without number formats.

    Raises:
        BadInputError: the workbook is protected with a password.
    """
    import xlrd  # type: ignore[import-untyped]

    data = stream.read()
    try:
        book = xlrd.open_workbook(file_contents=data, formatting_info=True, on_demand=True, logfile=io.StringIO())
    except xlrd.XLRDError as error:
        if "encrypted" in str(error).lower():
            raise _protected() from error
        yield from _values(io.BytesIO(data), reading)
        return
    except (AssertionError, IndexError, KeyError, TypeError, ValueError, UnicodeDecodeError, OverflowError):
        yield from _values(io.BytesIO(data), reading)  # formats that xlrd does not understand
        return
    for number, name in enumerate(book.sheet_names()):
        reading.progress(number, book.nsheets)
        sheet = book.sheet_by_index(number)
        notes = SheetNotes(reading.notes, name)
        if sheet.visibility:
            notes.hidden_sheet()
        beside = _beside(book, number)
        yield from table_sections(_xls_rows(book, sheet, notes, beside.formulas), name)
        notes.finish()
        if beside.charts:
            reading.notes.add(NoteKind.PICTURES, beside.charts)
        comments = {note.text.strip() for note in sheet.cell_note_map.values()}
        boxes = [text for text in beside.boxes if text and text not in comments]
        if boxes:
            yield Section("\n\n".join(boxes), sheet=name)
        book.unload_sheet(number)
    reading.progress(book.nsheets, book.nsheets)


def _protected() -> BadInputError:
    return BadInputError(
        _("The document is protected with a password."), _("Upload a copy that was saved without a password.")
    )


def _xls_rows(book: Book, sheet: Sheet, notes: SheetNotes, formulas: Mapping[int, Mapping[int, str]]) -> Iterator[Row]:
    merged = MergedCells()
    for top, bottom, left, right in sheet.merged_cells:
        merged.add(top + 1, left, bottom, right - 1)
    comments = _xls_comments(sheet)
    for column in (column for column, info in sheet.colinfo_map.items() if info.hidden):
        notes.hidden_columns(column, column)
    for at in range(sheet.nrows):
        cells: dict[int, str] = {}
        look = 0
        kinds, values = sheet.row_types(at), sheet.row_values(at)
        for column, (kind, value) in enumerate(zip(kinds, values, strict=True)):
            if kind == 0 or value == "":
                continue
            style = sheet.cell_xf_index(at, column)
            text = _xls_text(book, kind, value, style)
            if text and not text.isspace():
                cells[column] = text
                look = look or 1 + book.xf_list[style].font_index
        for column, text in formulas.get(at, {}).items():
            cells[column] = text
            notes.formula_without_value()
        if at in comments:
            notes.comments(len(comments[at]))
            for column, text in comments[at].items():
                cells[column] = f"{cells.get(column, '')} {text}".strip()
        if at in comments or at in formulas:
            cells = dict(sorted(cells.items()))
        if cells and at in sheet.rowinfo_map and sheet.rowinfo_map[at].hidden:
            notes.hidden_row()
        row = merged.fill(at + 1, cells, look)
        if row.cells:
            yield row


def _xls_comments(sheet: Sheet) -> dict[int, dict[int, str]]:
    """Return the comments of a sheet by row and column."""
    found: dict[int, dict[int, str]] = {}
    for (row, column), note in sheet.cell_note_map.items():
        if note.text.strip():
            text = note.text.removeprefix(f"{note.author}:").strip()
            found.setdefault(row, {})[column] = f"[{marks.comment(note.author or '', text).text}]"
    return found


@dataclass(slots=True)
class _Beside:
    """What xlrd leaves out of a sheet: formulas that were never computed, by row and column, text boxes, charts."""

    formulas: dict[int, dict[int, str]] = field(default_factory=dict)
    boxes: list[str] = field(default_factory=list)
    charts: int = 0


def _beside(book: Book, number: int) -> _Beside:
    """Return what stands in the records of a sheet beside its cells."""
    found = _Beside()
    if book.biff_version < _BIFF8:
        return found
    formulas: list[bytes] = []
    at, depth, length = book._sh_abs_posn[number], 0, 0  # noqa: SLF001 - nothing public says where a sheet begins
    while at + 4 <= len(book.mem):
        record, size = struct.unpack_from("<HH", book.mem, at)
        data = book.mem[at + 4 : at + 4 + size]
        if record == _BOF:
            depth += 1
            found.charts += depth == 2 and data[2:4] == _CHART
        elif record == _EOF:
            depth -= 1
            if depth == 0:
                break
        elif record == _FORMULA and size > 22 and depth == 1:
            formulas.append(data)
        elif record == _TXO and depth == 1 and size >= 12:
            length = int.from_bytes(data[10:12], "little")
        elif record == _CONTINUE and length and size:
            wide = data[0] & 1
            text = data[1 : 1 + length * (1 + wide)].decode("utf-16-le" if wide else "latin-1", errors="replace")
            found.boxes.append(text.strip())
            length = 0
        at += 4 + size
    # A formula may well give nothing; all of a sheet do so where nobody has computed them.
    if formulas and all(data[6:14] == _NO_VALUE for data in formulas):
        for data in formulas:
            row, column = struct.unpack_from("<HH", data)
            found.formulas.setdefault(row, {})[column] = _formula_text(book, data, row, column)
    return found


def _formula_text(book: Book, data: bytes, row: int, column: int) -> str:
    """Return the text of a formula from its stored tokens, "=?" where xlrd cannot tell."""
    from xlrd.formula import FMLA_TYPE_CELL, FormulaError, decompile_formula  # type: ignore[import-untyped]

    length = int.from_bytes(data[20:22], "little")
    try:
        text = decompile_formula(book, data[22:], length, FMLA_TYPE_CELL, row, column)
    except (FormulaError, AssertionError, IndexError, KeyError, TypeError, ValueError, struct.error):
        text = None
    return f"={text or '?'}"


def _xls_text(book: Book, kind: int, value: Any, style: int) -> str:
    import xlrd

    if kind in {_NUMBER, _DATE}:
        form = book.format_map.get(book.xf_list[style].format_key)
        code = form.format_str if form is not None else ""
        return number_format("" if code == "General" else code).number(float(value), date1904=book.datemode == 1)
    if kind == _BOOLEAN:
        return _("TRUE") if value else _("FALSE")
    if kind == _ERROR:
        return str(xlrd.error_text_from_code.get(value, "#ERROR"))
    return str(value)


def _values(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetVisibleEnum

    try:
        book = CalamineWorkbook.from_filelike(stream)
    except PasswordError as error:
        raise _protected() from error
    except CalamineError as error:
        raise BadInputError(
            _("The file is damaged: its list of sheets cannot be read."),
            _("Save it again with the program that made it."),
        ) from error
    shown = {each.name: each.visible for each in book.sheets_metadata}
    for number, name in enumerate(book.sheet_names):
        reading.progress(number, len(book.sheet_names))
        if shown.get(name, SheetVisibleEnum.Visible) != SheetVisibleEnum.Visible:
            SheetNotes(reading.notes, name).hidden_sheet()
        sheet = book.get_sheet_by_index(number)
        merged = MergedCells()
        for (top, left), (bottom, right) in sheet.merged_cell_ranges or ():
            merged.add(top + 1, left, bottom + 1, right)
        first = sheet.start[0] if sheet.start else 0
        rows = (
            merged.fill(first + at, {column: text for column, value in enumerate(row) if (text := _plain(value))})
            for at, row in enumerate(sheet.iter_rows(), start=1)
        )
        yield from table_sections((row for row in rows if row.cells), name)
        reading.notes.add(NoteKind.NUMBER_FORMATS)
    reading.progress(len(book.sheet_names), len(book.sheet_names))


def _plain(value: object) -> str:
    """Return a value without a format as text."""
    if isinstance(value, bool):
        return _("TRUE") if value else _("FALSE")
    if isinstance(value, (int, float)):
        return general(float(value))
    if isinstance(value, datetime):
        return value.isoformat(" ").removesuffix(_MIDNIGHT).strip()
    if isinstance(value, (date, time)):
        return value.isoformat()
    return str(value) if isinstance(value, (str, timedelta)) else ""
