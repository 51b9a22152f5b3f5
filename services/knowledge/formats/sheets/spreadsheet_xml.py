"""Workbooks in one XML file, as Excel 2002 and 2003 write them ("XML Spreadsheet 2003")."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from services.core.i18n import _
from services.knowledge.formats import marks
from services.knowledge.formats.reading import Reading
from services.knowledge.formats.sheets.merged_cells import MergedCells
from services.knowledge.formats.sheets.number_formats import NumberFormat, general, number_format
from services.knowledge.formats.sheets.serial_dates import serial_of
from services.knowledge.formats.sheets.sheet_notes import SheetNotes
from services.knowledge.formats.sheets.table_layout import table_sections
from services.knowledge.formats.sheets.table_rows import Row
from services.knowledge.formats.xml_names import PROLOG_BYTES, refuse_entities
from services.knowledge.types import Section

if TYPE_CHECKING:
    from lxml import etree  # type: ignore[import-untyped]

SPACE = "urn:schemas-microsoft-com:office:spreadsheet"
_S = f"{{{SPACE}}}"
# Formats that have names, in every language version the same.
_NAMED = {
    "General Date": "yyyy-mm-dd hh:mm", "Short Date": "yyyy-mm-dd", "Medium Date": "d-mmm-yy",
    "Long Date": "yyyy-mm-dd", "Short Time": "h:mm", "Medium Time": "h:mm AM/PM", "Long Time": "h:mm:ss",
    "Currency": '"$"#,##0.00', "Euro Currency": "[$€]#,##0.00", "Fixed": "0.00", "Standard": "#,##0.00",
    "Percent": "0.00%", "Scientific": "0.00E+00", "General Number": "", "General": "",
}  # fmt: skip
_MOST_REPEATED = 16_384


def read_spreadsheet_xml(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of each sheet.

    Raises:
        BadInputError: the file defines entities.
        TooLargeError: a sheet has more filled cells than a table that people read.
    """
    from lxml import etree

    refuse_entities(stream.read(PROLOG_BYTES))
    stream.seek(0)
    tags = tuple(f"{_S}{name}" for name in ("Style", "Worksheet", "Row", "Column", "Visible"))
    events = etree.iterparse(stream, events=("start", "end"), tag=tags, resolve_entities=False, no_network=True)
    formats: dict[str, NumberFormat] = {}
    for event, element in events:
        if event == "end" and element.tag == f"{_S}Style":
            code = next((each.get(f"{_S}Format", "") for each in element.iter(f"{_S}NumberFormat")), "")
            if code:
                formats[element.get(f"{_S}ID", "")] = number_format(_NAMED.get(code, code))
        elif event == "start" and element.tag == f"{_S}Worksheet":
            name = element.get(f"{_S}Name", "")
            notes = SheetNotes(reading.notes, name)
            yield from table_sections(_rows(events, formats, notes), name)
            notes.finish()


def _rows(
    events: Iterator[tuple[str, etree._Element]], formats: dict[str, NumberFormat], notes: SheetNotes
) -> Iterator[Row]:
    """Yield the rows that are not empty, until the sheet ends."""
    merged = MergedCells()
    number = 0
    for event, element in events:
        if event == "start":
            continue
        if element.tag == f"{_S}Worksheet":
            if any(each.text == "SheetHidden" for each in element.iter("{*}Visible")):
                notes.hidden_sheet()
            return
        hidden = element.get(f"{_S}Hidden") == "1"
        if element.tag == f"{_S}Column" and hidden:
            notes.hidden_columns(1, 1 + int(element.get(f"{_S}Span", "0")))
        if element.tag != f"{_S}Row":
            continue
        number = int(element.get(f"{_S}Index") or number + 1)
        cells = _cells(element, number, formats, merged, notes)
        if hidden and cells:
            notes.hidden_row()
        row = merged.fill(number, cells)
        if row.cells:
            yield row
        number += min(int(element.get(f"{_S}Span", "0")), _MOST_REPEATED)
        element.clear()


def _cells(
    row: etree._Element, number: int, formats: dict[str, NumberFormat], merged: MergedCells, notes: SheetNotes
) -> dict[int, str]:
    found: dict[int, str] = {}
    column = -1
    for cell in row:
        if cell.tag != f"{_S}Cell":
            continue
        column = int(cell.get(f"{_S}Index") or column + 2) - 1
        style = cell.get(f"{_S}StyleID") or row.get(f"{_S}StyleID") or ""
        text = _text(cell, formats.get(style), notes)
        if text and not text.isspace():
            found[column] = text
        across, down = int(cell.get(f"{_S}MergeAcross", "0")), int(cell.get(f"{_S}MergeDown", "0"))
        if across or down:
            merged.add(number, column, number + down, column + across)
            column += across
    return found


def _text(cell: etree._Element, shown: NumberFormat | None, notes: SheetNotes) -> str:
    """Return what a cell shows, with its comment behind it."""
    parts: list[str] = []
    data = next((each for each in cell if each.tag == f"{_S}Data"), None)
    if data is not None:
        parts.append(_value("".join(data.itertext()), data.get(f"{_S}Type", "String"), shown))
    elif cell.get(f"{_S}Formula"):
        notes.formula_without_value()
        parts.append(cell.get(f"{_S}Formula", ""))
    for each in cell:
        if each.tag == f"{_S}Comment" and (text := "".join(each.itertext()).strip()):
            notes.comments(1)
            parts.append(f"[{marks.comment(each.get(f'{_S}Author', ''), text).text}]")
    return " ".join(part for part in parts if part)


def _value(text: str, kind: str, shown: NumberFormat | None) -> str:
    if kind == "Boolean":
        return _("TRUE") if text.strip() == "1" else _("FALSE")
    if kind == "DateTime":
        serial = serial_of(text.strip())
        if serial is not None and shown is not None and shown.is_date:
            return shown.number(serial)
        return text.strip().removesuffix(".000").removesuffix("T00:00:00").replace("T", " ")
    if kind == "Number":
        try:
            number = float(text)
        except ValueError:
            return text
        return general(number) if shown is None else shown.number(number)
    return text if shown is None or kind == "Error" else shown.text(text)
