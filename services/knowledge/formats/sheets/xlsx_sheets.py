"""XLSX workbooks (and XLSM, XLTX): the cells of each sheet as they are shown, row by row.

Read as XML, not by openpyxl: that refuses workbooks for style sheets that other programs write, and needs a hundred
times the size of a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from services.core.errors import BadInputError
from services.core.i18n import _
from services.knowledge.formats import marks
from services.knowledge.formats.open_package import Package, check_entities
from services.knowledge.formats.reading import Reading
from services.knowledge.formats.sheets.merged_cells import MergedCells
from services.knowledge.formats.sheets.number_formats import general
from services.knowledge.formats.sheets.sheet_notes import SheetNotes
from services.knowledge.formats.sheets.table_layout import Area, table_sections
from services.knowledge.formats.sheets.table_rows import Row
from services.knowledge.formats.sheets.xlsx_parts import (
    Styles,
    drawn_texts,
    local,
    page_header,
    people,
    plain,
    read_comments,
    read_styles,
    rich_text,
    shared_strings,
    streamed,
)
from services.knowledge.formats.xml_names import attribute
from services.knowledge.notes import NoteKind
from services.knowledge.types import Section

if TYPE_CHECKING:
    from lxml import etree  # type: ignore[import-untyped]

_MERGED = re.compile(rb"<(?:\w+:)?mergeCell\s[^>]*?ref=[\"']([A-Z]+)(\d+):([A-Z]+)(\d+)[\"']")
_BLOCK = 1 << 20
_OVERLAP = 200
_REFERENCE = re.compile(r"\$?([A-Z]{1,3})\$?(\d+)")
_MIDNIGHT = "T00:00:00"


@dataclass(slots=True)
class _Book:
    """What the cells of all sheets need."""

    package: Package
    strings: list[str]
    styles: Styles
    date1904: bool
    # Written by a program that computes nothing: a stored 0 is no value, Excel computes all when it opens the file.
    uncomputed: bool


def read_xlsx(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the sections of each sheet.

    Raises:
        BadInputError: the workbook or a sheet of it is damaged.
        TooLargeError: a sheet has more filled cells than a table that people read.
    """
    check_entities(stream)
    package = Package(stream, reading.notes)
    workbook = package.main_part("xl/workbook.xml")
    root = package.root(workbook)
    if root is None:
        raise BadInputError(
            _("The file is damaged: its list of sheets cannot be read."),
            _("Save it again with the program that made it."),
        )
    names = {local(each.tag): each for each in root.iter() if local(each.tag) in {"workbookPr", "calcPr"}}
    book = _Book(
        package,
        shared_strings(package, workbook),
        read_styles(package, workbook),
        "workbookPr" in names and attribute(names["workbookPr"], "date1904") in {"1", "true"},
        "calcPr" in names and attribute(names["calcPr"], "fullCalcOnLoad") in {"1", "true"},
    )
    authors = people(package, workbook)
    relations = package.relations(workbook)
    sheets = [each for each in root.iter() if local(each.tag) == "sheet"]
    for number, each in enumerate(sheets):
        reading.progress(number, len(sheets))
        title = attribute(each, "name")
        notes = SheetNotes(reading.notes, title)
        if attribute(each, "state") in {"hidden", "veryHidden"}:
            notes.hidden_sheet()
        relation = relations.get(attribute(each, "id"))
        if relation is None or relation.target not in package:
            reading.notes.add(NoteKind.DAMAGED_PARTS, place=title)
            continue
        if relation.kind == "worksheet":
            yield from _Sheet(
                book, relation.target, title, notes, read_comments(package, relation.target, authors)
            ).read()
        for text in drawn_texts(package, relation.target, reading.notes):
            yield Section(text, sheet=title)
    reading.progress(len(sheets), len(sheets))


@dataclass(slots=True)
class _Sheet:
    """One sheet while it is read."""

    book: _Book
    part: str
    title: str
    notes: SheetNotes
    comments: dict[str, list[str]]
    _commented: dict[int, list[str]] = field(default_factory=dict)  # the cells with comments by row
    _merged: MergedCells = field(default_factory=MergedCells)
    _headers: list[str] = field(default_factory=list)
    _formulas: dict[str, tuple[str, str]] = field(default_factory=dict)  # shared ones, with their first cell

    def read(self) -> Iterator[Section]:
        for reference in self.comments:
            if place := _REFERENCE.fullmatch(reference):
                self._commented.setdefault(int(place[2]), []).append(reference)
        self._find_merged()
        yield from table_sections(self._rows(), self.title, areas=list(self._areas()))
        left = [text for texts in self.comments.values() for text in texts]
        if left:
            self.notes.comments(len(left))
            lines = [f"{cell}: {text}" for cell, texts in self.comments.items() for text in texts]
            yield Section("\n".join(lines), sheet=self.title)
        for block in marks.header(self._headers):
            yield Section(block.text, sheet=self.title)
        self.notes.finish()

    def _find_merged(self) -> None:
        """Find the merged ranges, which stand behind the rows that need them."""
        with self.book.package.open(self.part) as stream:
            rest = b""
            while block := stream.read(_BLOCK):
                block = rest + block
                if b"mergeCell" in block:
                    # What the last match ends in must not be found again.
                    end = 0
                    for match in _MERGED.finditer(block):
                        left, top, right, bottom = match.groups()
                        self._merged.add(
                            int(top), column_number(left.decode()), int(bottom), column_number(right.decode())
                        )
                        end = match.end()
                    rest = block[max(end, len(block) - _OVERLAP) :]
                else:
                    rest = block[-_OVERLAP:]

    def _areas(self) -> Iterator[Area]:
        package = self.book.package
        for part in package.related(self.part, "table"):
            root = package.root(part)
            corners = _REFERENCE.findall(attribute(root, "ref")) if root is not None else []
            if root is None or len(corners) != 2:
                continue
            (left, top), (right, bottom) = corners
            yield Area(
                attribute(root, "displayName") or attribute(root, "name"),
                int(top),
                int(bottom),
                column_number(left),
                column_number(right),
                int(attribute(root, "headerRowCount", "1") or 1),
            )

    def _rows(self) -> Iterator[Row]:
        number = 0
        for element in streamed(self.book.package, self.part, "row", "col", "headerFooter"):
            name = local(element.tag)
            if name == "headerFooter":
                self._headers += page_header(element)
                continue
            hidden = element.get("hidden") in {"1", "true"}
            if name == "col":
                if hidden:
                    self.notes.hidden_columns(int(element.get("min", "0")), int(element.get("max", "0")))
                continue
            number = int(element.get("r") or number + 1)
            cells, look = self._cells(element, number)
            if hidden and cells:
                self.notes.hidden_row()
            row = self._merged.fill(number, cells, look)
            if row.cells:
                yield row

    def _cells(self, row: etree._Element, number: int) -> tuple[dict[int, str], int]:
        """Return the filled cells of a row by column, and how the first one looks. Empty ones cost next to nothing."""
        cells: dict[int, str] = {}
        look = 0
        space = row.tag[: row.tag.rfind("}") + 1]
        # Some programs leave the names of cells out: then they stand in their order.
        places = {cell: at for at, cell in enumerate(row)} if len(row) and row[0].get("r") is None else {}
        for content in row.iter(f"{space}v", f"{space}is", f"{space}f"):
            cell = content.getparent()
            if cell is None or (content.tag[-1] == "f" and cell[-1] is not content):
                continue  # a formula whose value follows
            reference = cell.get("r", "")
            column = places[cell] if places else column_number(reference.rstrip("0123456789"))
            text = self._text(cell, content, reference)
            if text and not text.isspace():
                cells[column] = text
                look = look or self.book.styles.appearance(int(cell.get("s", "0")))
        if self.comments and cells:
            self._add_comments(cells, number)
        return cells, look

    def _add_comments(self, cells: dict[int, str], number: int) -> None:
        """Put the comments of a row's cells behind their text; the others are listed below the sheet."""
        for reference in self._commented.get(number, ()):
            column = column_number(reference.rstrip("0123456789"))
            if column in cells and number > 1:
                texts = self.comments.pop(reference)
                self.notes.comments(len(texts))
                cells[column] += " " + " ".join(f"[{text}]" for text in texts)

    def _text(self, cell: etree._Element, content: etree._Element, reference: str) -> str:
        """Return what a cell shows."""
        kind = cell.get("t", "n")
        if local(content.tag) == "is":
            return rich_text(content)
        formula = next((each for each in cell if local(each.tag) == "f"), None)
        value = (content.text or "") if local(content.tag) == "v" else ""
        if formula is not None:
            known = self._formula(formula, reference)
            if (not value and not (kind == "str" and content is not formula)) or (
                self.book.uncomputed and value == "0"
            ):
                self.notes.formula_without_value()
                return f"={known}" if known else ""
        return self._value(kind, value, cell)

    def _value(self, kind: str, value: str, cell: etree._Element) -> str:
        match kind:
            case "s":
                number = int(value) if value.strip().isdigit() else -1
                shown = self.book.strings[number] if 0 <= number < len(self.book.strings) else ""
            case "n":
                shown = self._number(value.strip(), cell)
            case "b":
                shown = {"1": _("TRUE"), "0": _("FALSE")}.get(value.strip(), value)
            case "d":
                shown = value.removesuffix("Z").removesuffix(_MIDNIGHT).replace("T", " ")
            case "str":
                number_format = self.book.styles.number_format(int(cell.get("s", "0")))
                shown = plain(value) if number_format is None else number_format.text(plain(value))
            case _:
                shown = value  # an error: "#DIV/0!"
        return shown

    def _number(self, value: str, cell: etree._Element) -> str:
        try:
            number = float(value)
        except ValueError:
            return value
        shown = self.book.styles.number_format(int(cell.get("s", "0")))
        return general(number) if shown is None else shown.number(number, date1904=self.book.date1904)

    def _formula(self, formula: etree._Element, reference: str) -> str:
        """Return a formula's text; a shared one is moved from its first cell to this one."""
        shared = formula.get("si") if formula.get("t") == "shared" else None
        text = formula.text or ""
        if shared is None:
            return text
        if text:
            self._formulas[shared] = (text, reference)
            return text
        first = self._formulas.get(shared)
        if first is None:
            return ""
        from openpyxl.formula.translate import Translator  # type: ignore[import-untyped]

        return str(Translator(f"={first[0]}", origin=first[1]).translate_formula(reference)).removeprefix("=")


def column_number(letters: str) -> int:
    """Return the number of a column from 0: of "A" 0, of "AB" 27."""
    number = _COLUMNS.get(letters)
    if number is None:
        number = 0
        for letter in letters.upper():
            number = number * 26 + ord(letter) - 64
        _COLUMNS[letters] = number = number - 1
    return number


_COLUMNS: dict[str, int] = {}
