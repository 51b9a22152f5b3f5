"""OpenDocument spreadsheets (.ods, .ots, and .fods in one XML file): the cells of each sheet as they are shown."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, BinaryIO

from services.core.errors import BadInputError
from services.core.i18n import _
from services.knowledge.formats import marks
from services.knowledge.formats.open_package import check_entities
from services.knowledge.formats.reading import Reading
from services.knowledge.formats.sheets.merged_cells import MergedCells
from services.knowledge.formats.sheets.number_formats import general
from services.knowledge.formats.sheets.sheet_notes import SheetNotes
from services.knowledge.formats.sheets.table_layout import table_sections
from services.knowledge.formats.sheets.table_rows import Row
from services.knowledge.formats.xml_names import PROLOG_BYTES, refuse_entities
from services.knowledge.notes import NoteKind
from services.knowledge.types import Section

if TYPE_CHECKING:
    from lxml import etree  # type: ignore[import-untyped]

_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_MANIFEST = "{urn:oasis:names:tc:opendocument:xmlns:manifest:1.0}"
_CREATOR = "{http://purl.org/dc/elements/1.1/}creator"
# Rows and columns that repeat are written once. Empty ones reach to the end of the sheet; filled ones do not.
_MOST_REPEATED = 16_384


def read_ods(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of each sheet.

    Raises:
        BadInputError: the document is damaged or protected with a password.
        TooLargeError: a sheet has more filled cells than a table that people read.
    """
    check_entities(stream)
    with zipfile.ZipFile(stream) as archive:
        names = set(archive.namelist())
        if "META-INF/manifest.xml" in names and b"encryption-data" in archive.read("META-INF/manifest.xml"):
            raise BadInputError(
                _("The document is protected with a password."), _("Upload a copy that was saved without a password.")
            )
        if "content.xml" not in names:
            raise BadInputError(
                _("The document is damaged: its main part is missing."),
                _("Save it again with the program that made it."),
            )
        with archive.open("content.xml") as content:
            yield from _Document(reading).read(content)


def read_fods(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of each sheet of a document in one XML file.

    Raises:
        BadInputError: it defines entities.
    """
    refuse_entities(stream.read(PROLOG_BYTES))
    stream.seek(0)
    yield from _Document(reading).read(stream)


@dataclass(slots=True)
class _Document:
    """A document while it is read."""

    reading: Reading
    _hidden_styles: set[str] = field(default_factory=set)
    _drawn: list[str] = field(default_factory=list)

    def read(self, content: IO[bytes]) -> Iterator[Section]:
        from lxml import etree

        tags = (f"{_TABLE}table", f"{_TABLE}table-row", f"{_TABLE}table-column", f"{_STYLE}style", f"{_TABLE}shapes")
        events = etree.iterparse(
            content, events=("start", "end"), tag=tags, resolve_entities=False, no_network=True, remove_comments=True
        )
        for event, element in events:
            if event == "end" and element.tag == f"{_STYLE}style":
                self._add_style(element)
            elif event == "start" and element.tag == f"{_TABLE}table":
                sheet = _Sheet(self, element.get(f"{_TABLE}name", ""), element.get(f"{_TABLE}style-name", ""))
                yield from table_sections(sheet.rows(events), sheet.name)
                yield from sheet.rest()

    def _add_style(self, style: etree._Element) -> None:
        for each in style:
            if each.tag == f"{_STYLE}table-properties" and each.get(f"{_TABLE}display") == "false":
                self._hidden_styles.add(style.get(f"{_STYLE}name", ""))

    def is_hidden(self, style: str) -> bool:
        """Whether sheets of this style are hidden."""
        return style in self._hidden_styles


@dataclass(slots=True)
class _Sheet:
    """A sheet while it is read."""

    document: _Document
    name: str
    style: str
    _merged: MergedCells = field(default_factory=MergedCells)
    _drawn: list[str] = field(default_factory=list)
    _notes: SheetNotes = field(init=False)

    def __post_init__(self) -> None:
        self._notes = SheetNotes(self.document.reading.notes, self.name)
        if self.document.is_hidden(self.style):
            self._notes.hidden_sheet()

    def rows(self, events: Iterator[tuple[str, etree._Element]]) -> Iterator[Row]:
        """Yield the rows that are not empty, until the sheet ends."""
        number = 1
        depth = 1
        for event, element in events:
            if element.tag == f"{_TABLE}table":
                depth += 1 if event == "start" else -1  # a table in a chart, or in a cell
                if not depth:
                    return
            elif event == "start":
                continue
            elif element.tag == f"{_TABLE}shapes":
                self._add_drawings(element)
            elif element.tag == f"{_TABLE}table-column":
                if element.get(f"{_TABLE}visibility") in {"collapse", "filter"}:
                    self._notes.hidden_columns(1, _repeated(element, "columns"))
            elif element.tag == f"{_TABLE}table-row" and depth == 1:
                repeated = _repeated(element, "rows")
                cells, look = self._cells(element, number)
                if cells and element.get(f"{_TABLE}visibility") in {"collapse", "filter"}:
                    self._notes.hidden_row()
                for at in range(min(repeated, _MOST_REPEATED) if cells else 1):
                    row = self._merged.fill(number + at, dict(cells), look)
                    if row.cells:
                        yield row
                number += repeated
                element.clear()
                above = element.getparent()
                while above is not None and element.getprevious() is not None:
                    del above[0]

    def rest(self) -> Iterator[Section]:
        """Yield the text boxes of the sheet, and add its notes."""
        if self._drawn:
            yield Section("\n\n".join(self._drawn), sheet=self.name)
        self._notes.finish()

    def _cells(self, row: etree._Element, number: int) -> tuple[dict[int, str], int]:
        cells: dict[int, str] = {}
        look = 0
        column = 0
        for cell in row:
            if cell.tag not in {f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"}:
                continue
            repeated = _repeated(cell, "columns")
            if len(cell) or cell.get(f"{_TABLE}formula") or cell.get(f"{_OFFICE}value-type"):
                text = self._text(cell)
                if text and not text.isspace():
                    look = look or hash(cell.get(f"{_TABLE}style-name", "")) or 1
                    for at in range(min(repeated, _MOST_REPEATED)):
                        cells[column + at] = text
                down, across = _spanned(cell, "rows"), _spanned(cell, "columns")
                if down > 1 or across > 1:
                    self._merged.add(number, column, number + down - 1, column + across - 1)
            column += repeated
        return cells, look

    def _text(self, cell: etree._Element) -> str:
        """Return what a cell shows, with its comment behind it."""
        lines: list[str] = []
        comments: list[str] = []
        for each in cell:
            if each.tag == f"{_TEXT}p":
                lines.append(paragraph(each))
            elif each.tag == f"{_OFFICE}annotation":
                author = " ".join(part.text or "" for part in each if part.tag == _CREATOR)
                text = " ".join(paragraph(part) for part in each.iter(f"{_TEXT}p"))
                if text.strip():
                    comments.append(f"[{marks.comment(author, text).text}]")
            elif isinstance(each.tag, str) and each.tag.startswith(_DRAW):
                self._add_drawings(each)
        shown = " ".join(line for line in lines if line)
        formula = cell.get(f"{_TABLE}formula")
        value = cell.get(f"{_OFFICE}value")
        if not shown and value is not None:
            shown = _plain_number(value, cell.get(f"{_OFFICE}value-type", ""))
        elif not shown and formula and cell.get(f"{_OFFICE}value-type") is None:
            self._notes.formula_without_value()
            shown = "=" + formula.partition("=")[2]
        for name in ("date-value", "time-value", "boolean-value", "string-value"):
            shown = shown or cell.get(f"{_OFFICE}{name}", "")
        if comments:
            self._notes.comments(len(comments))
        return " ".join([shown, *comments]).strip()

    def _add_drawings(self, element: etree._Element) -> None:
        """Keep the text of shapes; pictures, and charts that are files in the file, are noted."""
        for each in element.iter():
            if each.tag == f"{_DRAW}object":
                self.document.reading.notes.add(NoteKind.EMBEDDED_FILES)
            elif each.tag == f"{_DRAW}image" and not _has_object(each):
                self.document.reading.notes.add(NoteKind.PICTURES)
            elif each.tag == f"{_TEXT}p" and (text := paragraph(each).strip()):
                self._drawn.append(text)


def _has_object(image: etree._Element) -> bool:
    """Whether a picture only stands for an embedded file beside it."""
    above = image.getparent()
    return above is not None and any(each.tag == f"{_DRAW}object" for each in above)


def paragraph(element: etree._Element) -> str:
    """Return the text of a paragraph: blanks, tabs and line breaks are elements."""
    parts = [element.text or ""]
    for each in element:
        if each.tag == f"{_TEXT}s":
            parts.append(" " * min(int(each.get(f"{_TEXT}c", "1")), 100))
        elif each.tag in {f"{_TEXT}tab", f"{_TEXT}line-break"}:
            parts.append(" ")
        elif each.tag != f"{_TEXT}ruby-text" and isinstance(each.tag, str) and each.tag != f"{_OFFICE}annotation":
            parts.append(paragraph(each))
        parts.append(each.tail or "")
    return "".join(parts)


def _repeated(element: etree._Element, what: str) -> int:
    text = element.get(f"{_TABLE}number-{what}-repeated", "1")
    return max(int(text), 1) if text.isdigit() else 1


def _spanned(element: etree._Element, what: str) -> int:
    text = element.get(f"{_TABLE}number-{what}-spanned", "1")
    return max(int(text), 1) if text.isdigit() else 1


def _plain_number(value: str, kind: str) -> str:
    """Return a number that a program stored without saying how it is shown."""
    try:
        number = float(value)
    except ValueError:
        return value
    return f"{general(number * 100)}%" if kind == "percentage" else general(number)
